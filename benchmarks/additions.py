"""What moves add beside the chains: taken out of deposited models, refined without it, and looked for again.

    python benchmarks/additions.py SHARED/data/mx [CASE …] [--work FOLDER]

Each case removes ligands, ions, second conformers or sugars from a deposited model, refines what is left against the
measured data, lets the move look for what is missing, and compares with the deposited model: how many there are, how
many were placed within 1 Å rms, how far off, and how many were placed where the deposited model has none.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from burnish.chemistry.edit_model import without_atoms, without_hydrogens
from burnish.core.events import ignore
from burnish.options.rebuild import RebuildOptions
from burnish.rebuild.additions import add_ligand
from burnish.rebuild.conformer_moves import add_conformers
from burnish.rebuild.moves.ions import place_ions
from burnish.rebuild.scene import Change, Scene
from burnish.rebuild.sugar_moves import add_sugars
from burnish.workflows.model_rounds import make_scene, make_term, read_start

SUGARS = ("NAG", "BMA", "MAN")
NEAR = 1.0  # Å rms; placed


@dataclass(frozen=True)
class Case:
    """What is removed from a model, what looks for it, and the refinement before."""

    model: str
    gone: tuple[str, ...]
    move: Callable[[Scene], Change]
    cycles: int = 6
    single: bool = False
    ligand: str = ""
    file: str = ""


def ligand_move(name: str) -> Callable[[Scene], Change]:
    return lambda scene: add_ligand(scene, name)


CASES = {
    "NUT": Case("4hg7", ("NUT", "SO4"), ligand_move("NUT"), ligand="NUT", file="4hg7/NUT.cif"),
    "SO4": Case("4hg7", ("NUT", "SO4"), ligand_move("SO4"), ligand="SO4"),
    "PEG": Case("3zt9", ("PEG",), ligand_move("PEG"), ligand="PEG"),
    "SF4": Case("1dur", ("SF4",), ligand_move("SF4"), ligand="SF4"),
    "NOJ": Case("4iid", ("NOJ", "MRD", "MPD"), ligand_move("NOJ"), cycles=3, ligand="NOJ"),
    "no NUT in 3zt9": Case("3zt9", (), ligand_move("NUT"), cycles=0, ligand="NUT", file="4hg7/NUT.cif"),
    "no BTN in rnase": Case("rnase_tutorial", (), ligand_move("BTN"), cycles=0, ligand="BTN"),
    "no ATP in 1l2h": Case("1l2h_twin", (), ligand_move("ATP"), cycles=0, ligand="ATP"),
    "ions 3zt9": Case("3zt9", ("MN", "PEG"), place_ions),
    "ions 4hg7": Case("4hg7", (), place_ions, cycles=0, file="4hg7/NUT.cif"),
    "ions 1g8a": Case("1g8a", (), place_ions, cycles=0),
    "conformers 4hg7": Case("4hg7", (), add_conformers, single=True, file="4hg7/NUT.cif"),
    "conformers 3zt9": Case("3zt9", (), add_conformers, single=True),
    "sugars 4iid": Case("4iid", (*SUGARS, "NOJ", "MRD", "MPD"), add_sugars, cycles=4),
}


def stripped(structure: gemmi.Structure, case: Case) -> gemmi.Structure:
    """The model without what is looked for."""
    sites = list(structure[0].all())
    gone = {k for k, c in enumerate(sites) if c.residue.name in case.gone}
    if case.single:
        gone |= {k for k, c in enumerate(sites) if c.atom.altloc not in ("\0", "A")}
    left = without_atoms(structure, gone)
    if case.single:
        for site in left[0].all():
            if site.atom.altloc == "A":
                site.atom.altloc, site.atom.occ = "\0", 1.0
    there = [c for c in left.connections if all(left[0].find_cra(p, True).atom for p in (c.partner1, c.partner2))]
    left.connections = gemmi.ConnectionList(there)
    return left


def prepared(name: str, case: Case, data: Path, work: Path) -> Path:
    """The stripped model, refined where the case asks for it; made once."""
    start, refined = work / f"{name}.cif", work / name / "refined.cif"
    if not start.exists():
        structure = gemmi.read_structure(str(data / case.model / "model.cif"))
        structure.setup_entities()
        stripped(structure, case).make_mmcif_document().write_file(str(start))
    if case.cycles == 0:
        return start
    if not refined.exists():
        command = [sys.executable, "-m", "burnish.cli.main", "refine", str(start), str(data / case.model / "data.mtz")]
        command += ["--out", str(work / name), "--cycles", str(case.cycles)]
        command += ["--ligand", str(data / case.file)] if case.file else []
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return refined


def scene_of(case: Case, model: Path, data: Path, work: Path) -> Scene:
    """The density as the moves see it."""
    asked = tuple(x for x in (str(data / case.file) if case.file else "", case.ligand if not case.file else "") if x)
    options = RebuildOptions(
        model=model, data=data / case.model / "data.mtz", out=work / "none", ligand=asked, twin="twin" in case.model
    )
    start = read_start(options, ignore, cycles=0)
    return make_scene(start, without_hydrogens(start.inputs.topology.structure), make_term(start, ignore))


def deviation(cell: gemmi.UnitCell, found: list[gemmi.Atom], truth: list[gemmi.Atom]) -> float:
    """Rms over nearest images, Å; atoms of one element are exchangeable, since rings turned over look the same."""
    away = np.full((len(found), len(truth)), 1e4)
    for i, a in enumerate(found):
        for j, b in enumerate(truth):
            if a.element == b.element:
                away[i, j] = cell.find_nearest_image(a.pos, b.pos, gemmi.Asu.Any).dist() ** 2
    return float(np.sqrt(away[linear_sum_assignment(away)].mean()))


def compared(case: Case, change: Change, deposited: gemmi.Structure) -> tuple[int, list[float], int]:
    """How many the deposited model has, deviations of those placed, and how many were placed elsewhere."""
    added: dict[str, list[gemmi.Atom]] = {}
    names = {name for r in change.records if r.accepted for name in r.added}
    for c in change.structure[0].all():
        label = f"{c.chain.name} {c.residue.seqid} {c.residue.name}"
        letter = f" {c.atom.altloc}" if c.atom.altloc != "\0" else ""
        if f"{label} {c.atom.name}{letter}" in names and c.atom.altloc != "A":
            added.setdefault(label, []).append(c.atom)
    truth: list[list[gemmi.Atom]] = []
    for chain in deposited[0]:
        for residue in chain:
            if case.single:
                other = [a for a in residue if a.altloc not in ("\0", "A") and not a.is_hydrogen()]
                first = [a for a in residue if a.altloc == "A" and not a.is_hydrogen()]
                truth += [group for group in (other + first,) if other and not residue.is_water()]
            elif residue.name in case.gone and (not case.ligand or residue.name == case.ligand):
                truth.append([a for a in residue if not a.is_hydrogen()])
    if case.gone and "MN" in case.gone:
        truth = [t for t in truth if t[0].element.name == "Mn"]
    if SUGARS[0] in case.gone:
        truth = [[a for a in t if a.name != "O1"] for t in truth if len(t) > 10]
    best, wrong = [], 0
    for atoms in added.values():
        if case.single:
            same = [[b for b in t if any(b.name == a.name for a in atoms)] for t in truth]
            values = [_nearest_conformer(deposited.cell, atoms, t) for t in same if len(t) >= len(atoms)]
        else:
            values = [deviation(deposited.cell, atoms, t) for t in truth if len(t) == len(atoms)]
        value = min(values, default=np.inf)
        if value < NEAR:
            best.append(value)
        else:
            wrong += 1
    return len(truth), best, wrong


def _nearest_conformer(cell: gemmi.UnitCell, atoms: list[gemmi.Atom], truth: list[gemmi.Atom]) -> float:
    """Smallest deviation from one of the deposited conformers, atom by atom."""
    values = []
    for letter in {b.altloc for b in truth}:
        own = {b.name: b for b in truth if b.altloc == letter}
        pairs = [(a, own[a.name]) for a in atoms if a.name in own]
        if pairs:
            square = [cell.find_nearest_image(a.pos, b.pos, gemmi.Asu.Any).dist() ** 2 for a, b in pairs]
            values.append(float(np.sqrt(np.mean(square))))
    return min(values, default=np.inf)


def main() -> None:
    """Run the cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--work", type=Path, default=Path("additions"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    print("| case | deposited | placed within 1 Å | rms, Å: median, largest | elsewhere | refused | CPU s |")
    print("|---|---|---|---|---|---|---|")
    for name in given.cases:
        case = CASES[name]
        model = prepared(name, case, given.data, given.work)
        scene = scene_of(case, model, given.data, given.work)
        began = time.process_time()
        change = case.move(scene)
        spent = time.process_time() - began
        deposited = gemmi.read_structure(str(given.data / case.model / "model.cif"))
        total, placed, wrong = compared(case, change, deposited)
        refused = sum(not r.accepted for r in change.records)
        rms = f"{np.median(placed):.2f}, {max(placed):.2f}" if placed else "–"
        print(f"| {name} | {total} | {len(placed)} | {rms} | {wrong} | {refused} | {spent:.0f} |", flush=True)
        for record in change.records:
            sys.stderr.write(f"{name}: {record.accepted} {record.residue}: {record.why} | {record.reason}\n")


if __name__ == "__main__":
    main()
