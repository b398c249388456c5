"""Burnish and RELION on one simulated set: processor time, resolution, agreement with the truth.

    refine3d.py SET_PREFIX --symmetry D2 --diameter 200 --score SCORE.py [--relion RUN.sh] [--seeds 1 2 3] [--lowpass
    50] [--cold]

SET_PREFIX names PREFIX_particles.star, PREFIX_initial.mrc, PREFIX_true.mrc and PREFIX_truth.npz. SCORE.py prints one
JSON object for `PREFIX run_data.star half1 half2 --symmetry S --diameter D`; RUN.sh takes `PARTICLES REFERENCE SYMMETRY
DIAMETER OUT`. Without --relion only Burnish runs. --cold runs the first seed once more before, with nothing compiled
yet. Times are user plus system of the whole process and its children, so that other work on the machine matters less.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path


def processor_seconds(command: list[str], folder: Path) -> float:
    """User plus system time of a command and its children, s."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def score(o: argparse.Namespace, folder: Path, job: Path) -> dict[str, float]:
    """Errors and resolutions of a finished job."""
    halves = [str(job / f"run_half{h}_class001_unfil.mrc") for h in (1, 2)]
    command = [sys.executable, o.score, o.prefix.name, str(job / "run_data.star"), *halves]
    command += ["--symmetry", o.symmetry, "--diameter", f"{o.diameter:g}"]
    printed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    return json.loads(printed)


def burnish(o: argparse.Namespace, folder: Path, out: Path, seed: int) -> float:
    """Run Burnish; return its processor seconds."""
    command = [sys.executable, "-m", "burnish.cli.main", "refine3d", "--json"]
    command += ["--particles", f"{o.prefix.name}_particles.star", "--reference", f"{o.prefix.name}_initial.mrc"]
    command += ["--symmetry", o.symmetry, "--mask-diameter", f"{o.diameter:g}", "--initial-lowpass", f"{o.lowpass:g}"]
    return processor_seconds([*command, "--seed", str(seed), "--out", str(out)], folder)


def relion(o: argparse.Namespace, folder: Path, out: Path) -> float:
    """Run RELION on the same set; return its processor seconds. Its reference must have the images' box."""
    reference = out / "reference.mrc"
    out.mkdir(parents=True)
    resized = [sys.executable, "-m", "burnish.cli.main", "image", f"{o.prefix.name}_initial.mrc"]
    resized += ["--rescale-angpix", f"{o.angpix:g}", "--new-box", str(o.box), "--out", str(reference)]
    subprocess.run(resized, cwd=folder, check=True)
    command = [o.relion, f"{o.prefix.name}_particles.star", str(reference), o.symmetry, f"{o.diameter:g}", str(out)]
    return processor_seconds(command, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", type=Path)
    parser.add_argument("--symmetry", required=True)
    parser.add_argument("--diameter", type=float, required=True)
    parser.add_argument("--lowpass", type=float, default=50.0)
    parser.add_argument("--score", required=True)
    parser.add_argument("--relion")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--box", type=int, default=128)
    parser.add_argument("--angpix", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    o = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    folder = o.prefix.resolve().parent
    rows: list[tuple[str, float, dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as scratch:
        if o.cold:
            os.environ["NUMBA_CACHE_DIR"] = str(Path(scratch) / "compiled")
            out = Path(scratch) / "cold"
            rows.append(("Burnish, nothing compiled", burnish(o, folder, out, o.seeds[0]), score(o, folder, out)))
        for seed in o.seeds:
            out = Path(scratch) / f"burnish{seed}"
            rows.append((f"Burnish, seed {seed}", burnish(o, folder, out, seed), score(o, folder, out)))
        if o.relion:
            out = Path(scratch) / "relion"
            rows.append(("RELION", relion(o, folder, out), score(o, folder, out)))
    columns = list(rows[0][2])
    print("| run | CPU s | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 2))
    for name, seconds, values in rows:
        print(f"| {name} | {seconds:.0f} | " + " | ".join(f"{values[c]:g}" for c in columns) + " |")
    if o.cold:
        print(f"compiling: {rows[0][1] - rows[1][1]:.1f} s")
    if o.relion:
        print(f"RELION's processor time over Burnish's: {rows[-1][1] / rows[o.cold][1]:.1f}")


if __name__ == "__main__":
    main()
