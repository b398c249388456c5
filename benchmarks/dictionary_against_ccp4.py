"""The project's own monomer library against a complete CCP4 one, and the geometry of models against Servalcat's.

    python benchmarks/dictionary_against_ccp4.py --monomers $CLIBD_MON [--models MODEL.cif ...]

First table: rms differences of ideal bonds and angles between heavy atoms by class of component, mean sigmas of both,
hands of chiral centres that agree. Second table: for each model, counts and rmsd of bonds and angles under either
library, and the CPU time to build its topology. Nothing of the CCP4 library goes into the project: it is only compared
with.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import defaultdict
from pathlib import Path

import gemmi
import numpy as np
import torch

from burnish.chemistry.library import OWN_LIBRARY, monomer_path, read_library
from burnish.chemistry.topology import build_topology
from burnish.validate.geometry import report_geometry

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
from dictionary import amino_acids, nucleotides, others

CLASSES = {
    "amino acids": list(amino_acids.BONDS),
    "nucleotides": list(nucleotides.COMPONENTS),
    "pyranoses": list(others.PYRANOSES),
    "solvents": list(others.SOLVENTS),
    "modified amino acids": list(others.MODIFIED_AMINO_ACIDS),
    "cofactors": list(others.COFACTORS),
    "Fe-S clusters": list(others.CLUSTERS),
    "haem": ["HEM"],
}


def component(folder: Path, name: str) -> gemmi.ChemComp | None:
    path = monomer_path(folder, name)
    if not path.is_file():
        return None
    monlib = gemmi.MonLib()
    monlib.read_monomer_cif(str(path))
    return monlib.monomers[name]


def heavy(comp: gemmi.ChemComp) -> set[str]:
    return {atom.id for atom in comp.atoms if not atom.is_hydrogen()}


def bonds(comp: gemmi.ChemComp) -> dict[frozenset[str], tuple[float, float]]:
    return {frozenset((b.id1.atom, b.id2.atom)): (b.value, b.esd) for b in comp.rt.bonds}


def angles(comp: gemmi.ChemComp) -> dict[tuple[str, frozenset[str]], tuple[float, float]]:
    return {(a.id2.atom, frozenset((a.id1.atom, a.id3.atom))): (a.value, a.esd) for a in comp.rt.angles}


def hands(comp: gemmi.ChemComp) -> dict[str, tuple[tuple[str, ...], int]]:
    """Neighbours in alphabetical order and the sign of the volume for that order, by centre."""
    result = {}
    for chiral in comp.rt.chirs:
        if chiral.sign == gemmi.ChiralityType.Both:
            continue
        names = (chiral.id1.atom, chiral.id2.atom, chiral.id3.atom)
        swaps = sum(a > b for a, b in itertools.combinations(names, 2))
        sign = 1 if chiral.sign == gemmi.ChiralityType.Positive else -1
        result[chiral.id_ctr.atom] = (tuple(sorted(names)), sign * (-1) ** swaps)
    return result


def compare_class(names: list[str], folder: Path) -> str:
    differences: dict[str, list[float]] = defaultdict(list)
    sigmas: dict[str, list[tuple[float, float]]] = defaultdict(list)
    agree = total = compared = 0
    for name in names:
        own, other = component(OWN_LIBRARY, name), component(folder, name)
        if own is None or other is None or heavy(own) != heavy(other):
            continue
        compared += 1
        for kind, table in (("bond", bonds), ("angle", angles)):
            mine, theirs = table(own), table(other)
            for key in mine.keys() & theirs.keys():
                atoms = set(key) if kind == "bond" else {key[0], *key[1]}
                if atoms <= heavy(own):
                    differences[kind].append(mine[key][0] - theirs[key][0])
                    sigmas[kind].append((mine[key][1], theirs[key][1]))
        mine_hands, their_hands = hands(own), hands(other)
        for centre in mine_hands.keys() & their_hands.keys():
            if mine_hands[centre][0] == their_hands[centre][0]:
                total += 1
                agree += mine_hands[centre][1] == their_hands[centre][1]
    columns = [f"{compared} of {len(names)}"]
    for kind, digits in (("bond", 4), ("angle", 2)):
        rms = np.sqrt(np.mean(np.square(differences[kind])))
        mine_sigma, their_sigma = np.mean(sigmas[kind], axis=0)
        columns += [
            f"{len(differences[kind])}",
            f"{rms:.{digits}f}",
            f"{mine_sigma:.{digits}f} / {their_sigma:.{digits}f}",
        ]
    return " | ".join([*columns, f"{agree} of {total}"])


def model_row(path: Path, folder: Path, ligands: list[Path]) -> str:
    model = gemmi.read_structure(str(path))
    cells = []
    for environment in ({}, {"CLIBD_MON": str(folder)}):
        library = read_library(model[0].get_all_residue_names(), environment=environment, ligands=ligands)
        begin = time.process_time()
        topology = build_topology(model, library.monlib)
        seconds = time.process_time() - begin
        sites = list(topology.structure[0].all())
        xyz = torch.tensor(np.array([site.atom.pos.tolist() for site in sites]))
        found = report_geometry(topology.restraints, xyz, [str(site) for site in sites]).summaries
        bond, angle = found["bond"], found["angle"]
        cells.append(
            f"{bond.count} | {bond.rmsd:.4f} / {bond.rmsz:.2f} | {angle.count} | {angle.rmsd:.2f} / {angle.rmsz:.2f}"
            f" | {seconds:.2f}"
        )
    return " | ".join([path.parent.name, *cells])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--monomers", type=Path, required=True, help="a complete CCP4 monomer library")
    parser.add_argument("--models", type=Path, nargs="*", default=[])
    parser.add_argument("--ligand", type=Path, action="append", default=[])
    options = parser.parse_args()
    torch.set_num_threads(1)
    sys.stdout.write(
        "| class | components | bonds | rms, Å | σ own / CCP4 | angles | rms, ° | σ own / CCP4 | hands |\n"
    )
    sys.stdout.write("|---|---|---|---|---|---|---|---|---|\n")
    for label, names in CLASSES.items():
        sys.stdout.write(f"| {label} | {compare_class(names, options.monomers)} |\n")
    if options.models:
        head = "bonds | rmsd / Z | angles | rmsd / Z | CPU s"
        sys.stdout.write(f"\n| model | {head} (own) | {head} (CCP4) |\n|{'---|' * 11}\n")
        for path in options.models:
            sys.stdout.write(f"| {model_row(path, options.monomers, options.ligand)} |\n")


if __name__ == "__main__":
    main()
