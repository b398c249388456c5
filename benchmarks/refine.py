"""Burnish, Servalcat and TorchRef on the same crystals, each final model scored by one judge.

    python benchmarks/refine.py FOLDER… --servalcat BIN --torchref BIN --monomers CLIBD_MON [--start disturbed.cif]

Every folder holds `data.mtz` (measured amplitudes or intensities, free flags with 0 = free), a start, and perhaps
ligand dictionaries of three capital letters (`NUT.cif`). All programs read the same dictionaries, so that rms Z mean
the same. The judge is Servalcat with zero cycles: it brings its own scales and solvent and counts its own geometry
for every model. CPU seconds are user + system of the whole command; nothing else is compared than what ran here, one
after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import gemmi

from measure import Cost, run

CALCULATED = re.compile(r"^(FC|FWT|DELFWT|F-model|2FOFC|FOFC|PH|FOM|FCALC)", re.IGNORECASE)


@dataclass(frozen=True)
class Case:
    """One crystal: where its files are, the labels of data, sigma and free flags, and what a program must be told."""

    folder: Path
    start: Path
    labels: tuple[str, str, str]
    ligands: tuple[Path, ...]
    twin: bool

    @property
    def data(self) -> Path:
        return self.folder / "data.mtz"


@dataclass(frozen=True)
class Score:
    """What the judge says of a model."""

    r_work: float
    r_free: float
    bond_rmsd: float
    bond_z: float
    angle_rmsd: float
    angle_z: float


def read_case(folder: Path, start: str) -> Case:
    """Labels by type: an amplitude that is not calculated, else an intensity; its sigma follows it."""
    mtz = gemmi.read_mtz_file(str(folder / "data.mtz"))
    columns = [c for c in mtz.columns if not CALCULATED.match(c.label)]
    values = [c for c in columns if c.type == "F"] or [c for c in columns if c.type == "J"]
    after = mtz.columns[values[0].idx + 1]
    free = next(c for c in columns if c.type == "I" and "free" in c.label.lower())
    ligands = tuple(p for p in sorted(folder.glob("*.cif")) if re.fullmatch(r"[A-Z0-9]{2,3}", p.stem))
    labels = (values[0].label, after.label, free.label)
    return Case(folder=folder, start=folder / start, labels=labels, ligands=ligands, twin="twin" in folder.name)


def run_burnish(case: Case, out: Path, cycles: int) -> tuple[Path, Cost]:
    """The command line of the working tree; returns the final model."""
    command = [sys.executable, "-m", "burnish.cli.main", "refine", str(case.start), str(case.data), "--out", str(out)]
    command += [
        "--labels",
        f"{case.labels[0]},{case.labels[1]}",
        "--free-label",
        case.labels[2],
        "--cycles",
        str(cycles),
    ]
    for ligand in case.ligands:
        command += ["--ligand", str(ligand)]
    return out / "refined.cif", run(command + (["--twin"] if case.twin else []), out.parent)


def _servalcat(program: str, model: Path, case: Case, out: Path, cycles: int) -> tuple[Path, Cost]:
    command = [program, "refine_xtal_norefmac", "--hklin", str(case.data), "--labin", ",".join(case.labels)]
    command += ["--model", str(model), "--ncycle", str(cycles), "-s", "xray", "-o", str(out / "ref")]
    for ligand in case.ligands:
        command += ["--ligand", str(ligand)]
    structure = gemmi.read_structure(str(model))
    if any(site.atom.occ > 1.0 for site in structure[0].all()):
        command.append("--allow_unusual_occupancies")
    out.mkdir(parents=True, exist_ok=True)
    return out / "ref.mmcif", run(command + (["--twin"] if case.twin else []), out)


def run_torchref(program: str, case: Case, out: Path) -> tuple[Path, Cost]:
    """TorchRef with its defaults."""
    command = [program, "-m", str(case.start), "-sf", str(case.data), "-o", str(out), "--output-format", "cif"]
    command += ["-csf", case.labels[0], "-csig", case.labels[1], "--device", "cpu"]
    for ligand in case.ligands:
        command += ["--cif", str(ligand)]
    cost = run(command, out.parent, {"TORCHREF_NUM_THREADS": "1"})
    return max(out.glob("*.cif"), key=lambda p: p.stat().st_mtime), cost


def judge(program: str, model: Path, case: Case, out: Path) -> Score:
    """Servalcat's zero cycles on a final model."""
    _servalcat(program, model, case, out, 0)
    last = json.loads((out / "ref_stats.json").read_text())[-1]
    data, geometry = last["data"]["summary"], last["geom"]["summary"]
    key = "R1" if "R1work" in data else "R"
    bonds, angles = "Bond distances, non H", "Bond angles, non H"
    return Score(
        r_work=data[key + "work"],
        r_free=data[key + "free"],
        bond_rmsd=geometry["r.m.s.d."][bonds],
        bond_z=geometry["r.m.s.Z"][bonds],
        angle_rmsd=geometry["r.m.s.d."][angles],
        angle_z=geometry["r.m.s.Z"][angles],
    )


def line(name: str, program: str, score: Score | None, cost: Cost | None, note: str = "") -> str:
    """One row of the table."""
    if score is None:
        return f"| {name} | {program} | {note} |  |  |  |  |  |"
    numbers = f"{score.r_work:.4f} | {score.r_free:.4f} | {score.bond_rmsd:.4f} / {score.bond_z:.2f}"
    numbers += f" | {score.angle_rmsd:.2f} / {score.angle_z:.2f}"
    spent = f"{cost.cpu:.1f} | {cost.memory:.0f}" if cost else " | "
    return f"| {name} | {program} | {numbers} | {spent} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--servalcat", required=True, help="the servalcat program")
    parser.add_argument("--torchref", help="the torchref.refine program; left out without it")
    parser.add_argument("--monomers", required=True, help="CCP4 monomer library for all of them")
    parser.add_argument("--start", default="disturbed.cif")
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--only", choices=("burnish", "servalcat", "torchref"), help="run only one program")
    chosen = parser.parse_args()
    os.environ["CLIBD_MON"] = str(Path(chosen.monomers).resolve()) + "/"
    print("| case | program | R-work | R-free | bond rmsd Å / Z | angle rmsd ° / Z | CPU s | MB |", flush=True)
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for folder in chosen.folders:
        case = read_case(folder.resolve(), chosen.start)
        with tempfile.TemporaryDirectory() as scratch:
            here = Path(scratch)
            programs = {
                "servalcat": lambda out, c=case: _servalcat(chosen.servalcat, c.start, c, out, chosen.cycles),
                "burnish": lambda out, c=case: run_burnish(c, out, chosen.cycles),
                "torchref": lambda out, c=case: run_torchref(chosen.torchref, c, out),
            }
            if not chosen.torchref:
                del programs["torchref"]
            for name, program in programs.items():
                if chosen.only not in (None, name):
                    continue
                try:
                    model, cost = program(here / name)
                    score = judge(chosen.servalcat, model, case, here / f"judge_{name}")
                except (RuntimeError, FileNotFoundError, ValueError) as error:
                    print(
                        line(folder.name, name, None, None, f"failed: {str(error).splitlines()[-1][:80]}"), flush=True
                    )
                    continue
                print(line(folder.name, name, score, cost), flush=True)


if __name__ == "__main__":
    main()
