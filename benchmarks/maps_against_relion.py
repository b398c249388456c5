"""Mask, post-processing and local resolution against RELION, in one run: CPU seconds, memory, agreement.

    python benchmarks/maps_against_relion.py FOLDER_OF_BENCH_RELION [--only mask|postprocess|localres]

The half maps are those of the folder, brought to larger boxes by padding their transforms, with white noise added.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch

from burnish.data.density import DensityMap
from burnish.fourier.resize import fourier_resize
from burnish.io.mrc import read_map, write_map
from burnish.io.postprocess_star import read_postprocess
from measure import Cost, run

BURNISH = [sys.executable, "-m", "burnish.cli.main"]


def correlation(a: Path, b: Path) -> float:
    """Correlation of two maps."""
    values = [read_map(p).values.flatten().double() for p in (a, b)]
    return float(torch.corrcoef(torch.stack(values))[0, 1])


def prepare(source: Path, folder: Path, box: int) -> float:
    """Write x_half1.mrc and x_half2.mrc of `box` voxels into the folder; return their pixel size."""
    g = torch.Generator().manual_seed(1)
    for number in (1, 2):
        half = read_map(source / f"run_half{number}_class001_unfil.mrc")
        pixel = half.voxel_size[0] * half.values.shape[0] / box
        values = fourier_resize(half.values, (box,) * 3)
        values = values + 0.3 * values.std() * torch.randn(values.shape, generator=g)
        write_map(folder / f"x_half{number}.mrc", DensityMap(values=values, voxel_size=(pixel,) * 3))
    return pixel


def show(what: str, relion: Cost, burnish: Cost, agreement: str) -> None:
    """Print one line of the table."""
    print(
        f"| {what} | {relion.cpu:.2f} | {burnish.cpu:.2f} | {relion.cpu / burnish.cpu:.1f} | "
        f"{relion.memory:.0f} | {burnish.memory:.0f} | {agreement} |",
        flush=True,
    )


def mask(source: Path, folder: Path) -> None:
    """216 voxels, low-pass 15 Å, extend 4, edge 8."""
    pixel = prepare(source, folder, 216)
    shape = ["--lowpass", "15", "--angpix", f"{pixel:.6f}"]
    theirs = ["relion_mask_create", "--i", "x_half1.mrc", "--o", "relion.mrc", "--ini_threshold", "0.02", *shape]
    relion = run([*theirs, "--extend_inimask", "4", "--width_soft_edge", "8"], folder)
    ours = [*BURNISH, "mask", "x_half1.mrc", "--threshold", "0.02", "--extend", "4", "--soft-edge", "8", *shape]
    for what, extra in (("mask 216", ["--no-picture"]), ("mask 216, with its picture", [])):
        burnish = run([*ours, "--out", "burnish.mrc", *extra], folder)
        show(what, relion, burnish, f"correlation {correlation(folder / 'relion.mrc', folder / 'burnish.mrc'):.6f}")


def postprocess(source: Path, folder: Path) -> None:
    """256 voxels, automatic B factor."""
    pixel = prepare(source, folder, 256)
    run([*BURNISH, "mask", "x_half1.mrc", "--out", "mask.mrc", "--no-picture"], folder)
    (folder / "relion").mkdir()
    theirs = ["relion_postprocess", "--i", "x_half1.mrc", "--mask", "mask.mrc", "--o", "relion/postprocess"]
    relion = run([*theirs, "--angpix", f"{pixel:.6f}", "--auto_bfac", "--autob_lowres", "10"], folder)
    burnish = run([*BURNISH, "postprocess", "x_half1.mrc", "--mask", "mask.mrc", "--out", "burnish"], folder)
    reading = "import sys\nfrom pathlib import Path\nfrom burnish.workflows import postprocess\n"
    reading += "import burnish.reports.fsc_figures\nfrom burnish.io.mrc import read_map\n"
    reading += "kept = [read_map(Path(p)) for p in ('x_half1.mrc', 'x_half2.mrc', 'mask.mrc')]\n"
    inputs = run([sys.executable, "-c", reading], folder)
    volumes = (burnish.memory - inputs.memory) / (256**3 * 4 / 2**20)
    files = [read_postprocess(folder / f"{p}/postprocess.star") for p in ("relion", "burnish")]
    cc = correlation(folder / "relion/postprocess.mrc", folder / "burnish/postprocess.mrc")
    text = f"{files[0].resolution:.3f} and {files[1].resolution:.3f} Å, B {files[0].b_factor:.1f} and "
    show("postprocess 256", relion, burnish, text + f"{files[1].b_factor:.1f} Å², correlation {cc:.5f}")
    print(f"postprocess 256: {volumes:.1f} volumes of float32 beyond the inputs", flush=True)


def localres(source: Path, folder: Path) -> None:
    """128 voxels, RELION's defaults: every 25 Å in the whole ball."""
    prepare(source, folder, 128)
    (folder / "relion").mkdir()
    theirs = ["relion_postprocess", "--i", "x_half1.mrc", "--o", "relion/relion", "--angpix", "2.0", "--locres"]
    relion = run([*theirs, "--adhoc_bfac", "0"], folder)
    ours = [*BURNISH, "localres", "x_half1.mrc", "--step", "25", "--no-directional", "--out", "burnish"]
    burnish = run(ours, folder)
    found = [read_map(folder / p).values for p in ("relion/relion_locres.mrc", "burnish/locres.mrc")]
    inside = (read_map(source / "mask.mrc").values > 0.5) & (found[0] > 0) & (found[1] > 0)
    difference = (found[0] - found[1])[inside].abs().median()
    show("localres 128", relion, burnish, f"median difference in the mask {difference:.3f} Å")


STEPS = {"mask": mask, "postprocess": postprocess, "localres": localres}


def main() -> None:
    """Run the steps and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--only", choices=STEPS)
    options = parser.parse_args()
    print("| step | RELION, CPU s | Burnish, CPU s | ratio | RELION, MiB | Burnish, MiB | agreement |")
    print("|---|---|---|---|---|---|---|")
    for name, step in STEPS.items():
        if options.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                step(options.source, Path(folder))


if __name__ == "__main__":
    main()
