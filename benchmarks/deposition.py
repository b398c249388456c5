"""Depositions of refined cases: what the dictionary says, and whether the files give the R factors that are claimed.

Usage: deposition.py REFINED ... --dictionary mmcif_pdbx_v50.dic [--no-validate] [--reference ENTRY.cif ...]

REFINED are folders of `burnish refine` or `cycle`. ENTRY.cif are released entries of the wwPDB, checked alike: what
the dictionary says of them is what every file draws.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from burnish.io.deposition.dictionary import Dictionary


def main() -> None:
    """Deposit each and print one row."""
    parser = argparse.ArgumentParser()
    parser.add_argument("refined", type=Path, nargs="+")
    parser.add_argument("--dictionary", type=Path, required=True)
    parser.add_argument("--no-validate", action="store_true")
    parser.add_argument("--reference", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    dictionary = Dictionary(options.dictionary)
    print("case | R-work, R-free claimed | read back | dictionary errors, notes | to fill in")
    for folder in options.refined:
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "deposit"
            command = [sys.executable, "-m", "burnish.cli.main", "deposit", str(folder), "--out", str(out)]
            command += ["--dictionary", str(options.dictionary)]
            command += ["--no-validate-files"] if options.no_validate else []
            subprocess.run(command, check=True, capture_output=True)
            record = json.loads((out / "deposit.json").read_text())
        final = json.loads((folder / "refined.json").read_text())["final"]
        claimed = " ".join(f"{final[n]:.4f}" for n in ("r_work", "r_free") if n in final)
        read = " ".join(f"{record['read_back'][n]:.4f}" for n in ("r_work", "r_free") if n in record["read_back"])
        checks = record["dictionary"].values()
        counts = [sum(len(c[kind]) for c in checks) for kind in ("errors", "notes")]
        print(folder.name, "|", claimed, "|", read or "–", "|", *counts, "|", len(record["to_fill_in"]), flush=True)
    for path in options.reference:
        check = dictionary.check(path)
        print(path.name, "(released entry) |", len(check.errors), len(check.notes))


if __name__ == "__main__":
    main()
