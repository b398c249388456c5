"""The picture of maps in the README: surfaces of the start and of the result, and the FSC curves, from a job's files.

python tools/picture_of_maps.py start.mrc PostProcess/job003 picture.png [--truth map.mrc] [--lowpass 50]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from burnish.fourier.array_low_pass import low_pass_array
from burnish.fourier.resize import fourier_resize
from burnish.fourier.shells import fsc
from burnish.io.mrc import read_array
from burnish.io.postprocess_star import read_postprocess
from burnish.maps.mask import automatic_threshold
from burnish.maps.surface import shade_surface
from burnish.reports.map_figures import coloured

FINER = 3  # voxels of the surface's map for each of the map


def surface(values: np.ndarray, threshold: float) -> np.ndarray:
    """RGB picture of a map's surface, cut to the particle."""
    box = values.shape[0] * FINER
    fine = fourier_resize(torch.from_numpy(values), (box, box, box)).numpy()
    seen = shade_surface(fine, threshold)
    rows, columns = (np.flatnonzero(np.isfinite(seen).any(axis=a)) for a in (1, 0))
    picture = coloured(seen).astype(np.uint8)[::-1]
    margin = 8
    top, bottom = box - 1 - rows[-1] - margin, box - rows[0] + margin
    return picture[max(top, 0) : bottom, max(columns[0] - margin, 0) : columns[-1] + margin]


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", type=Path)
    parser.add_argument("postprocess", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--lowpass", type=float, default=50.0)
    parser.add_argument("--level", type=float, default=5.0, help="of the result's surface, σ")
    given = parser.parse_args()
    start, result = read_array(given.start), read_array(given.postprocess / "postprocess_masked.mrc")
    rough = low_pass_array(start.values, given.lowpass, start.voxel_size[0])
    pictures = [surface(rough, automatic_threshold(rough)), surface(result.values, given.level * result.values.std())]
    star = read_postprocess(given.postprocess / "postprocess.star")

    figure, panels = plt.subplots(1, 3, figsize=(12, 3.9), width_ratios=[1, 1, 1.1], layout="constrained")
    for panel, picture, title in zip(panels, pictures, (f"start: {given.lowpass:g} Å", "result"), strict=False):
        panel.imshow(picture)
        panel.set_title(title)
        panel.axis("off")
    curves = panels[2]
    shells = star.spacing.numpy()
    curves.plot(shells, star.fsc, color="#0b6e99", label="half maps, corrected")
    if given.truth is not None:
        truth = torch.from_numpy(read_array(given.truth).values)
        curves.plot(shells, fsc(truth, torch.from_numpy(result.values)), color="#d97706", label="against the truth")
    curves.axhline(0.143, color="#94a3b8", linewidth=0.8)
    curves.axhline(0.5, color="#94a3b8", linewidth=0.8, linestyle=":")
    curves.set(xlim=(0, shells[-1]), ylim=(-0.05, 1.02), xlabel="resolution, Å", ylabel="FSC")
    ticks = [d for d in (20, 10, 7, 5, 4, 3) if 1 / d <= shells[-1]]
    curves.set_xticks([1 / d for d in ticks], [str(d) for d in ticks])
    curves.legend(frameon=False, loc="lower left")
    curves.spines[["top", "right"]].set_visible(False)
    figure.savefig(given.out, dpi=100)


if __name__ == "__main__":
    main()
