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

COLUMNS = ("R-free", "favoured, %", "rotamer outliers, %", "clash score", "MolProbity score", "bond Z", "angle Z")


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


def numbers(validation: dict[str, Any], r_free: float) -> list[float]:
    """What the table shows of one model."""
    return [
        r_free,
        validation["ramachandran"]["favoured_percent"],
        validation["rotamer_outlier_percent"],
        validation["clashscore"],
        validation["molprobity_score"],
        validation["bond_rmsz"],
        validation["angle_rmsz"],
    ]


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
        for label, row, cpu in (
            (f"{name} as given", numbers(given, given["r_free"]), ""),
            ("after one round", numbers(after, done["r_free"]), str(done["cpu_s"])),
        ):
            print(f"| {label} | {row[0]:.4f} | " + " | ".join(f"{x:.2f}" for x in row[1:]) + f" | {cpu} |", flush=True)


if __name__ == "__main__":
    main()
