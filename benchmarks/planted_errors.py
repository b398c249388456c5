"""Damage a good model, let `burnish cycle` repair it, and count what was repaired and what was changed wrongly.

Usage: planted_errors.py MODEL DATA FOLDER [--rounds N] [--ligand CIF]

Planted, all seeded: side chains in another rotamer, peptides turned over, waters removed, waters put where there are
none. A side chain counts as repaired when its atoms beyond Cβ are within 0.7 Å rms of where they were, a peptide when
its oxygen is within 1 Å, a removed water when one is within 0.7 Å of its place, a misplaced one when none is left
there. Wrong changes: side chains that were right and are not any more.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
import torch

from burnish.chemistry.edit_model import with_positions, with_waters, without_atoms, without_hydrogens
from burnish.chemistry.residues import ResidueView, residue_views
from burnish.chemistry.rotamers import rotamers_of
from burnish.io.models import atoms_of, read_model
from burnish.rebuild.conformations import BACKBONE, chi_of, with_chi, with_peptide_turned
from burnish.validate.rotamers import validate_rotamers

SHARE = {"rotamers": 0.10, "peptides": 0.05, "waters removed": 0.3, "waters misplaced": 0.1}
FIT_B = 1.3  # only side chains whose B is below this times the mean of the model are damaged: they have density


@dataclass(frozen=True)
class Damage:
    """What was done, by residue label, and the model it was done to."""

    structure: gemmi.Structure
    rotamers: list[str]
    peptides: list[str]
    removed: list[list[float]]
    misplaced: list[list[float]]


def graph_of(structure: gemmi.Structure) -> dict[int, list[int]]:
    """Bonds within residues by distance."""
    graph: dict[int, list[int]] = {}
    start = 0
    for chain in structure[0]:
        for residue in chain:
            for i, a in enumerate(residue):
                for j in range(i):
                    reach = 2.0 if "S" in (a.element.name, residue[j].element.name) else 1.75
                    if a.pos.dist(residue[j].pos) < reach:
                        graph.setdefault(start + i, []).append(start + j)
                        graph.setdefault(start + j, []).append(start + i)
            start += len(residue)
    return graph


def single(view: ResidueView) -> bool:
    """Whether the residue has one conformer."""
    return not view.altloc


def damage(structure: gemmi.Structure, seed: int) -> Damage:
    """Plant the errors."""
    rng = np.random.default_rng(seed)
    views, xyz = residue_views(structure[0]), atoms_of(structure).xyz.numpy().copy()
    b_iso = atoms_of(structure).b_iso.numpy()
    graph = graph_of(structure)
    good = {r.view for r in validate_rotamers(torch.from_numpy(xyz), views) if r.verdict == "favoured"}
    proteins = [i for i, v in enumerate(views) if v.kind == "protein" and single(v)]
    sides = [
        i
        for i in proteins
        if i in good
        and views[i].name not in ("PRO", "ALA", "GLY", "CYS")
        and b_iso[list(views[i].atoms.values())].max() < FIT_B * b_iso.mean()
    ]
    chosen = rng.choice(sides, max(3, round(SHARE["rotamers"] * len(sides))), replace=False)
    for i in chosen:
        now = np.array(chi_of(xyz, views[i]))
        other = [
            r
            for r in rotamers_of(views[i].name)
            if r.frequency > 0.03 and np.abs(np.angle(np.exp(1j * (np.array(r.chi) - now)))).max() > math.radians(60)
        ]
        if other:
            xyz = with_chi(xyz, views[i], graph, other[rng.integers(len(other))].chi)
    peptides = []
    for i in rng.permutation(proteins):
        turned = with_peptide_turned(xyz, views, int(i), math.pi)
        if turned is not None and i not in chosen and views[i].next not in chosen:
            xyz = turned
            peptides.append(views[i].label)
            if len(peptides) >= max(2, round(SHARE["peptides"] * len(proteins))):
                break
    waters = [(i, v.atoms["O"]) for i, v in enumerate(views) if v.kind == "water" and "O" in v.atoms]
    well = [a for _, a in waters if b_iso[a] < 1.5 * b_iso.mean()]
    gone = rng.choice(well, round(SHARE["waters removed"] * len(well)), replace=False)
    damaged = with_positions(structure, xyz)
    misplaced = spots_without_water(xyz, rng, round(SHARE["waters misplaced"] * len(waters)))
    damaged = without_atoms(damaged, {int(a) for a in gone})
    damaged, _ = with_waters(damaged, [tuple(s) for s in misplaced], [25.0] * len(misplaced))
    return Damage(
        structure=damaged,
        rotamers=[views[i].label for i in chosen],
        peptides=peptides,
        removed=[xyz[a].tolist() for a in gone],
        misplaced=misplaced,
    )


def spots_without_water(xyz: np.ndarray, rng: np.random.Generator, number: int) -> list[list[float]]:
    """Places 3 to 4 Å from some atom and at least 2.9 Å from every other."""
    found: list[list[float]] = []
    while len(found) < number:
        direction = rng.normal(size=3)
        spot = xyz[rng.integers(len(xyz))] + rng.uniform(3.0, 4.0) * direction / np.linalg.norm(direction)
        if np.linalg.norm(xyz - spot, axis=1).min() > 2.9:
            found.append(spot.tolist())
    return found


def side_rms(a: dict[str, np.ndarray], b: dict[str, np.ndarray], name: str) -> float:
    """Rms distance of the atoms beyond Cβ; rings and carboxylates may be turned over."""
    names = [n for n in a if n in b and n not in BACKBONE and n != "CB"]
    swaps = {"PHE": ("D", "E"), "TYR": ("D", "E"), "ASP": ("D",), "GLU": ("E",), "ARG": ("H",), "LEU": (), "VAL": ()}
    best = math.inf
    for turned in (False, True):

        def other(n: str, turned: bool = turned) -> str:
            if turned and name in swaps and len(n) > 2 and n[-2] in swaps[name] and n[-1] in "12":
                return n[:-1] + ("2" if n[-1] == "1" else "1")
            return n

        square = [float(((a[n] - b[other(n)]) ** 2).sum()) for n in names if other(n) in b]
        best = min(best, math.sqrt(sum(square) / max(len(square), 1)))
    return best


def residues_of(structure: gemmi.Structure) -> dict[str, dict[str, np.ndarray]]:
    """Positions by residue label and atom name, first conformers."""
    views, xyz = residue_views(structure[0]), atoms_of(structure).xyz.numpy()
    return {f"{v.chain} {v.number} {v.name}": {n: xyz[a] for n, a in v.atoms.items()} for v in views if v.is_primary}


def oxygens_of(structure: gemmi.Structure) -> np.ndarray:
    """Positions of all waters. (n, 3)"""
    return np.array([s.atom.pos.tolist() for s in structure[0].all() if s.residue.is_water()]).reshape(-1, 3)


def count(truth: gemmi.Structure, done: Damage, repaired: gemmi.Structure) -> dict[str, str]:
    """Repaired of planted, by kind, and wrong changes of the side chains that were right."""
    was, now = residues_of(truth), residues_of(repaired)
    planted = set(done.rotamers)
    sides = {k: side_rms(was[k], now[k], k.split()[-1]) for k in was if k in now and len(was[k]) > 5}
    turned = [k for k in done.peptides if np.linalg.norm(was[k]["O"] - now[k]["O"]) < 1.0]
    waters = oxygens_of(repaired)

    def near(spot: list[float], reach: float) -> bool:
        return len(waters) > 0 and bool(np.linalg.norm(waters - np.array(spot), axis=1).min() < reach)

    others = {k: r for k, r in sides.items() if k not in planted and k in was}
    wrong = [k for k, r in others.items() if r > 1.5]
    return {
        "rotamers": f"{sum(sides[k] < 0.7 for k in planted)} of {len(planted)}",
        "peptides": f"{len(turned)} of {len(done.peptides)}",
        "waters removed": f"{sum(near(s, 0.7) for s in done.removed)} of {len(done.removed)}",
        "waters misplaced": f"{sum(not near(s, 0.7) for s in done.misplaced)} of {len(done.misplaced)}",
        "side chains changed wrongly": f"{len(wrong)} of {len(others)} ({', '.join(wrong)})",
    }


def main() -> None:
    """Damage, repair, count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ligand", action="append", default=[])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    truth = without_hydrogens(read_model(options.model).structure)
    done = damage(truth, options.seed)
    options.folder.mkdir(parents=True, exist_ok=True)
    damaged = options.folder / "damaged.cif"
    done.structure.make_mmcif_document().write_file(str(damaged))
    before = count(truth, done, done.structure)
    command = [sys.executable, "-m", "burnish.cli.main", "cycle", str(damaged), str(options.data)]
    command += ["--out", str(options.folder / "cycle"), "--rounds", str(options.rounds), "--json"]
    for ligand in options.ligand:
        command += ["--ligand", ligand]
    start = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    summary = json.loads(ended.stdout)
    after = count(truth, done, read_model(options.folder / "cycle" / "refined.cif").structure)
    print("before:", before)
    print("after: ", after)
    print({k: summary[k] for k in ("r_work_first", "r_free_first", "r_work", "r_free", "best_round")})
    print(f"{time.perf_counter() - start:.0f} s wall time")


if __name__ == "__main__":
    main()
