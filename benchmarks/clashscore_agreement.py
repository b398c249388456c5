"""Clash scores beside those of MolProbity's own programs, Reduce and Probe as cctbx has them.

Usage: clashscore_agreement.py DATA CASE... --cctbx PYTHON --monomers CCP4_LIBRARY

DATA/mx holds CASE/model.cif; PYTHON is an interpreter with cctbx-base. What is changed of CCP4's library so that cctbx
can read it: hydrogens of methylene groups are called as in its older editions (HB1 and HB2 for HB3 and HB2), and
residues of proteins lose the atoms that they have only as free amino acids.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path

import gemmi

from burnish.chemistry.library import read_library
from burnish.validate.clashes import find_clashes
from burnish.validate.model_validation import full_model

STEMS = ("HA", "HB", "HG", "HD", "HE", "HG1")
FREE_ONLY = {"H2", "H3", "OXT", "HXT"}


def spent(who: int) -> float:
    """Processor seconds so far."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def library_for_cctbx(source: Path, names: list[str], out: Path) -> None:
    """Copy what the components need, renamed."""
    (out / "list").mkdir(parents=True)
    shutil.copy(source / "ener_lib.cif", out)
    shutil.copy(source / "list" / "mon_lib_list.cif", out / "list")
    for name in names:
        document = gemmi.cif.read(str(source / name[0].lower() / f"{name}.cif"))
        if gemmi.find_tabulated_residue(name).is_amino_acid():
            rename(document[-1])
        (out / name[0].lower()).mkdir(exist_ok=True)
        document.write_file(str(out / name[0].lower() / f"{name}.cif"))


def rename(block: gemmi.cif.Block) -> None:
    """An amino acid as a residue with the names of older editions."""
    atoms = set(block.find_loop("_chem_comp_atom.atom_id"))
    pairs = [s for s in STEMS if {s + "2", s + "3"} <= atoms and s + "1" not in atoms]
    new = {s + "3": s + "1" for s in pairs}
    for row in block.find("_chem_comp_atom.", ["atom_id", "type_energy"]):
        if row[0] in new or row[0] in {s + "2" for s in pairs}:
            row[1] = "HCH2"
    for category in block.get_mmcif_category_names():
        table = block.find_mmcif_category(category)
        for k in reversed(range(len(table))):
            row = table[k]
            if FREE_ONLY & set(row) and len(table) > 1:
                table.remove_row(k)
                continue
            for j, value in enumerate(row):
                row[j] = new.get(value, value)


def theirs(model: Path, python: Path, monomers: Path) -> float:
    """Clash score of `mmtbx.programs.clashscore2`."""
    structure = gemmi.read_structure(str(model))
    names = sorted({residue.name for chain in structure[0] for residue in chain})
    with tempfile.TemporaryDirectory() as folder:
        library_for_cctbx(monomers, names, Path(folder) / "library")
        done = subprocess.run(
            [str(python), str(Path(__file__).with_name("cctbx_clashscore.py")), str(model)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "MMTBX_CCP4_MONOMER_LIB": str(Path(folder) / "library")},
        )
    found = re.search(r"clashscore = ([\d.]+)", done.stdout)
    if found is None:
        raise SystemExit(f"{model}: {done.stderr[-2000:]}")
    return float(found[1])


def ours(model: Path) -> float:
    """Clash score of Burnish."""
    structure = gemmi.read_structure(str(model))
    library = read_library(sorted({residue.name for chain in structure[0] for residue in chain}))
    return find_clashes(full_model(structure, library.monlib)).score


def main() -> None:
    """One row a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("cases", nargs="+")
    parser.add_argument("--cctbx", type=Path, required=True)
    parser.add_argument("--monomers", type=Path, required=True)
    options = parser.parse_args()
    print("| | cctbx | Burnish | difference | CPU s |\n|---|---|---|---|---|")
    for case in options.cases:
        model = options.data / "mx" / case / "model.cif"
        start, start_theirs = spent(resource.RUSAGE_SELF), spent(resource.RUSAGE_CHILDREN)
        mine = ours(model)
        cpu = spent(resource.RUSAGE_SELF) - start
        reference = theirs(model, options.cctbx, options.monomers)
        cpu_theirs = spent(resource.RUSAGE_CHILDREN) - start_theirs
        share = f"{100.0 * (mine / reference - 1.0):+.0f} %" if reference else "–"
        change = f"{mine - reference:+.2f}, {share}"
        print(f"| {case} | {reference:.2f} | {mine:.2f} | {change} | {cpu_theirs:.0f} / {cpu:.1f} |", flush=True)


if __name__ == "__main__":
    main()
