"""Are good models left no worse? One round of `burnish cycle` on each, and `burnish validate` before and after.

Usage: good_models.py DATA FOLDER CASE...     DATA holds CASE/model.cif and CASE/data.mtz; FOLDER keeps the results
       CASE may be written "CASE:OPTIONS", as "4hg7:--ligand NUT.cif"
"""

from __future__ import annotations

import argparse
import json
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

COLUMNS = (
    "R-work / R-free", "favoured, %", "outliers, %", "rotamer outliers, %", "clash score", "MolProbity score", "bond Z",
    "angle Z", "Cβ outliers",
)  # fmt: skip


def burnish(arguments: list[str], out: Path) -> dict[str, Any]:
    """Run a command unless its summary is already there."""
    summary = out.with_suffix(".json")
    if not summary.exists():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "burnish.cli.main", *arguments, "--out", str(out), "--json"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise SystemExit(ended.stderr)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        summary.write_text(json.dumps({**json.loads(ended.stdout), "cpu_s": round(spent)}))
    found: dict[str, Any] = json.loads(summary.read_text())
    return found


def row(label: str, validation: dict[str, Any], agreement: dict[str, Any], cpu: str = "") -> str:
    """What the table shows of one model."""
    shown = [f"{agreement['r_work']:.4f} / {agreement['r_free']:.4f}"]
    for name in ("ramachandran_favoured_percent", "ramachandran_outlier_percent", "rotamer_outlier_percent"):
        shown.append(f"{validation[name]:.2f}")
    for name in ("clashscore", "molprobity_score", "bond_rmsz", "angle_rmsz"):
        shown.append(f"{validation[name]:.2f}")
    return f"| {label} | " + " | ".join((*shown, str(validation["cbeta_outliers"]), cpu)) + " |"


def main() -> None:
    """Validate as given, cycle once, validate again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("cases", nargs="+")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print("| | " + " | ".join(COLUMNS) + " | CPU s |\n|" + "---|" * (len(COLUMNS) + 2))
    for case in options.cases:
        name, _, more = case.partition(":")
        extra = shlex.split(more)
        files = [str(options.data / name / "model.cif"), str(options.data / name / "data.mtz")]
        given = burnish(["validate", *files, *extra], options.folder / f"{name}_given")
        done = burnish(["cycle", *files, "--rounds", "1", *extra], options.folder / f"{name}_cycle")
        refined = str(options.folder / f"{name}_cycle" / "refined.cif")
        after = burnish(["validate", refined, files[1], *extra], options.folder / f"{name}_after")
        print(row(f"{name} as given", given, given))
        print(row("after one round", after, done, str(done["cpu_s"])), flush=True)


if __name__ == "__main__":
    main()
