"""`burnish fit` from random starts: how often the right place comes first.

    fit.py MODEL MAP --resolution 4 [--seeds 10] [--lowpass] [--symmetry D2] [--search-resolution A]

MODEL stands at its true place. For each seed it is turned by a random rotation and moved by up to 100 Å, placed by a
global search, and its rms distance from the true place (or, of a symmetric map, from the nearest copy about the middle
of the box) is printed; below 1 Å it is right. `--lowpass` first filters the map to the resolution.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gemmi
import torch
from scipy.spatial.transform import Rotation

from burnish.fourier.filters import low_pass
from burnish.io.models import read_model
from burnish.io.mrc import read_map
from burnish.models.placement import PlacementSettings, place_globally
from burnish.symmetry.point_groups import point_group

RIGHT = 1.0  # Å rms


def main() -> None:
    """Place from each start."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("map", type=Path)
    parser.add_argument("--resolution", type=float, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--lowpass", action="store_true")
    parser.add_argument("--symmetry", default="C1")
    parser.add_argument("--search-resolution", type=float)
    options = parser.parse_args()
    torch.set_num_threads(1)
    atoms = read_model(options.model).atoms
    heavy = torch.tensor([e not in ("H", "D") for e in atoms.elements])
    truth = atoms.xyz[heavy].double()
    weights = torch.tensor([gemmi.Element(e).atomic_number for e in atoms.elements], dtype=torch.float64)[heavy]
    density = read_map(options.map)
    if options.lowpass:
        filtered = low_pass(density.values.float(), options.resolution, density.voxel_size[0])
        density = replace(density, values=filtered)
    nx = density.values.shape[::-1]
    middle = torch.tensor(
        [o + (n // 2) * v for o, n, v in zip(density.origin, nx, density.voxel_size, strict=True)], dtype=torch.float64
    )
    copies = [
        (truth - middle) @ torch.as_tensor(r, dtype=torch.float64).T + middle for r in point_group(options.symmetry)
    ]
    settings = PlacementSettings(resolution=options.resolution, search_resolution=options.search_resolution)
    right = 0
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        generator = torch.Generator().manual_seed(seed)
        turn = torch.from_numpy(Rotation.random(random_state=seed).as_matrix())
        away = 200.0 * (torch.rand(3, generator=generator, dtype=torch.float64) - 0.5)
        start = (truth - truth.mean(0)) @ turn.T + away
        before = resource.getrusage(resource.RUSAGE_SELF)
        places = place_globally(density, start, weights, settings)
        after = resource.getrusage(resource.RUSAGE_SELF)
        placed = places[0].apply(start)
        rms = min(math.sqrt(float((placed - c).square().sum(1).mean())) for c in copies)
        right += rms < RIGHT
        second = f"{places[1].correlation:.3f}" if len(places) > 1 else "none"
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(
            f"seed {seed}: {rms:.2f} Å, correlation {places[0].correlation:.3f}, next {second}, {cpu:.0f} CPU s",
            flush=True,
        )
    print(f"{right} of {options.seeds} right")


if __name__ == "__main__":
    main()
