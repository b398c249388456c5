"""Burnish and Servalcat on the same cryo-EM maps, each final model scored by one judge.

    python benchmarks/refine_em.py CASES.json --servalcat BIN --monomers CLIBD_MON [--only NAME…] [--out TABLE.md]

CASES.json is a list of objects with `name`, `start` (model), `map` or `half1` and `half2`, `resolution`, and where
known `truth` (a model with the true positions, or the deposited one) and `symmetry` (a point group; the start is then
one asymmetric unit). Both programs read the same monomer library and run ten cycles with their defaults. The judge is
Servalcat with zero cycles: its mask, its FSC average, its count of the geometry. Against half maps each program also
refines the same start against half map 1 alone; the judge then compares that model with both (work and free).
CPU seconds are user + system of the whole command, start-up included.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from measure import Cost, run


@dataclass(frozen=True)
class Tools:
    """Where the peer and its dictionaries are."""

    servalcat: str
    monomers: str

    @property
    def environment(self) -> dict[str, str]:
        return {"CLIBD_MON": self.monomers}


@dataclass(frozen=True)
class Score:
    """What the judge says of a model, and how far it is from the truth."""

    fsc: float
    work: float
    free: float
    bond_z: float
    angle_z: float
    rms: float


def maps_of(case: dict[str, Any], *, burnish: bool) -> list[str]:
    """The arguments that name the maps, resolution and symmetry."""
    if "map" in case:
        maps = ["--map", case["map"]]
    elif burnish:
        maps = ["--half1", case["half1"], "--half2", case["half2"]]
    else:
        maps = ["--halfmaps", case["half1"], case["half2"]]
    if "symmetry" in case:
        maps += ["--symmetry" if burnish else "--pg", case["symmetry"]]
    return [*maps, "--resolution", str(case["resolution"])]


def run_burnish(
    case: dict[str, Any], folder: Path, tools: Tools, *, half1_only: bool, given: Sequence[str] = ()
) -> tuple[Path, Cost]:
    """The command line of the working tree; `given` are more options."""
    out = folder / ("burnish_half1" if half1_only else "burnish")
    maps = maps_of(case, burnish=True)
    command = [sys.executable, "-m", "burnish.cli.main", "refine", case["start"], *maps, "--out", str(out)]
    command += [*(["--cross-validation"] if half1_only else []), *given]
    name = "refined_half1.cif" if half1_only else "refined.cif"
    return out / name, run(command, folder, tools.environment)


def run_servalcat(
    case: dict[str, Any], folder: Path, tools: Tools, *, half1_only: bool, given: Sequence[str] = ()
) -> tuple[Path, Cost]:
    """Ten cycles with its defaults; `given` are more options."""
    prefix = "servalcat_half1" if half1_only else "servalcat"
    command = [tools.servalcat, "refine_spa_norefmac", *maps_of(case, burnish=False), "--model", case["start"]]
    command += ["--ncycle", "10", "-o", prefix, *(["--cross_validation"] if half1_only else []), *given]
    return folder / f"{prefix}.mmcif", run(command, folder, tools.environment)


def judged(
    model: Path, case: dict[str, Any], folder: Path, tools: Tools, *, half1_only: bool, given: Sequence[str] = ()
) -> dict[str, float]:
    """Servalcat's FSC averages, those of its final statistics, and geometry of a model, unrefined."""
    command = [tools.servalcat, "refine_spa_norefmac", *maps_of(case, burnish=False), "--model", str(model)]
    command += ["--ncycle", "0", "-o", "judge", *(["--cross_validation"] if half1_only else []), *given]
    run(command, folder, tools.environment)
    text = (folder / "judge.log").read_text()
    found = {}
    for half in (1, 2):
        at = re.findall(rf"FSCaverage\(half{half}\) *= +([\d.]+)", text)
        found[f"half{half}"] = float(at[-1]) if at else float("nan")
    # cycle, FSC average, −LL, rms and Z of bonds, rms and Z of angles; the log of an earlier call may stand before
    row = re.findall(r"^ +0 +[-\d.]+ +[-\d.]+ +[\d.]+ +([\d.]+) +[\d.]+ +([\d.]+)", text, re.MULTILINE)[-1]
    full = float(re.findall(r"FSCaverage\(full\) *= +([\d.]+)", text)[-1])
    return {**found, "fsc": full, "bond_z": float(row[0]), "angle_z": float(row[1])}


def rms_between(model: Path, truth: str | None) -> float:
    """Rms distance of atoms of the same name, without hydrogens, Å."""
    if truth is None:
        return float("nan")
    places = []
    for path in (model, truth):
        structure = gemmi.read_structure(str(path))
        places.append(
            {
                (site.chain.name, str(site.residue.seqid), site.atom.name, site.atom.altloc): site.atom.pos.tolist()
                for site in structure[0].all()
                if not site.atom.is_hydrogen()
            }
        )
    one, other = places
    shared = sorted(one.keys() & other.keys())
    away = np.array([one[key] for key in shared]) - np.array([other[key] for key in shared])
    return float(np.sqrt((away**2).sum(1).mean()))


def measure(case: dict[str, Any], tools: Tools) -> list[str]:
    """Rows of the table for one case."""
    rows, costs = [], {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for program, runner in (("servalcat", run_servalcat), ("burnish", run_burnish)):
            model, cost = runner(case, folder, tools, half1_only=False)
            costs[program] = cost.cpu
            verdict = judged(model, case, folder, tools, half1_only=False)
            gap = {"half1": float("nan"), "half2": float("nan")}
            if "half1" in case:
                alone, _ = runner(case, folder, tools, half1_only=True)
                gap = judged(alone, case, folder, tools, half1_only=True)
            score = Score(
                fsc=verdict["fsc"],
                work=gap["half1"],
                free=gap["half2"],
                bond_z=verdict["bond_z"],
                angle_z=verdict["angle_z"],
                rms=rms_between(model, case.get("truth")),
            )
            ratio = ""
            if program == "burnish":
                ratio = f"{cost.cpu / costs['servalcat']:.2f}"
            rows.append(row_of(case["name"], program, score, cost, ratio))
            print(rows[-1], flush=True)
    return rows


def row_of(name: str, program: str, score: Score, cost: Cost, ratio: str) -> str:
    """One line of the table."""

    def shown(value: float, form: str) -> str:
        return "" if np.isnan(value) else format(value, form)

    cells = [
        name,
        program,
        f"{score.fsc:.4f}",
        "" if np.isnan(score.work) else f"{score.work:.4f} / {score.free:.4f}",
        shown(score.work - score.free, ".4f"),
        f"{score.bond_z:.2f} / {score.angle_z:.2f}",
        shown(score.rms, ".3f"),
        f"{cost.cpu:.1f}",
        f"{cost.memory:.0f}",
        ratio,
    ]
    return f"| {' | '.join(cells)} |"


HEAD = [
    "case", "program", "FSC average", "work / free", "gap", "bond / angle Z", "rms to truth, Å", "CPU s", "MB", "ratio"
]  # fmt: skip


def main() -> None:
    """Every case, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--servalcat", required=True)
    parser.add_argument("--monomers", required=True)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    tools = Tools(servalcat=given.servalcat, monomers=given.monomers)
    lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    print("\n".join(lines), flush=True)
    for case in json.loads(given.cases.read_text()):
        if not given.only or case["name"] in given.only:
            lines += measure(case, tools)
    if given.out:
        given.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
