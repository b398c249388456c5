"""Processor time and memory of a whole refinement at several numbers of particles.

    refine3d_scaling.py SET_PREFIX --symmetry D2 --diameter 200 --counts 100 200 400 [--memory 1.8] [--iterations 10]

The first so many particles of PREFIX_particles.star are taken each time. --memory (GiB) leaves no room to keep images
between iterations where it is little more than what the plan needs: what is measured then is the store that reads them
again. --iterations ends every run after so many, since fewer particles may need more of them. Times are user plus
system of the whole process, memory its largest resident set.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from burnish.io.star import read_star, write_star


def measured(command: list[str], folder: Path) -> tuple[float, float]:
    """Processor seconds and MiB of a command."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", type=Path)
    parser.add_argument("--symmetry", required=True)
    parser.add_argument("--diameter", type=float, required=True)
    parser.add_argument("--lowpass", type=float, default=50.0)
    parser.add_argument("--counts", type=int, nargs="+", required=True)
    parser.add_argument("--memory", type=float)
    parser.add_argument("--iterations", type=int, default=50)
    o = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    folder, name = o.prefix.resolve().parent, o.prefix.name
    star = read_star(folder / f"{name}_particles.star")
    print("| particles | CPU s | iterations | CPU s a particle and iteration | largest memory, MiB |\n|" + "---|" * 5)
    with tempfile.TemporaryDirectory() as scratch:
        for count in o.counts:
            rows = star["particles"].columns
            table = star["particles"].with_columns({k: v[:count] for k, v in rows.items()})
            part = Path(scratch) / f"{count}.star"
            write_star(part, [star["optics"], table])
            out = Path(scratch) / str(count)
            command = [sys.executable, "-m", "burnish.cli.main", "refine3d", "--particles", str(part)]
            command += ["--reference", f"{name}_initial.mrc", "--symmetry", o.symmetry]
            command += ["--mask-diameter", f"{o.diameter:g}", "--initial-lowpass", f"{o.lowpass:g}", "--out", str(out)]
            command += ["--max-iterations", str(o.iterations)]
            command += ["--memory", f"{o.memory:g}"] if o.memory else []
            seconds, memory = measured(command, folder)
            iterations = len(json.loads((out / "run_history.json").read_text()))
            print(
                f"| {count} | {seconds:.1f} | {iterations} | {seconds / count / iterations:.4f} | {memory:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
