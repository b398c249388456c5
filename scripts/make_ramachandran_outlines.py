"""Outlines of the favoured and allowed regions for the web page, from the package's own densities.

Writes src/burnish/web/static/ramachandran.json: for each class the closed lines (φ, ψ in °) of both regions.
"""

import json
from pathlib import Path

import numpy as np
import torch
from contourpy import contour_generator

from burnish.chemistry.ramachandran import CLASSES, FAVOURED_LEVEL, OUTLIER_LEVEL, ramachandran_levels

STEP = 3.0  # °
LEAST = 4  # points of a line that is kept


def outlines(kind: str) -> dict[str, list[list[list[int]]]]:
    """Lines of one class; they run past ±180° by one step, so that regions close at the edge."""
    axis = np.arange(-180.0 - STEP, 180.0 + 1.5 * STEP, STEP)
    psi, phi = np.meshgrid(axis, axis, indexing="ij")
    angles = torch.from_numpy(np.radians(np.stack([phi.ravel(), psi.ravel()], axis=1)))
    level = ramachandran_levels([kind] * len(angles), angles).numpy().reshape(phi.shape)
    made = contour_generator(axis, axis, np.log(np.maximum(level, 1e-7)))
    limits = {"allowed": OUTLIER_LEVEL[kind], "favoured": FAVOURED_LEVEL}
    return {
        name: [np.rint(line).astype(int).tolist() for line in made.lines(np.log(limit)) if len(line) >= LEAST]
        for name, limit in limits.items()
    }


if __name__ == "__main__":
    target = Path(__file__).parents[1] / "src/burnish/web/static/ramachandran.json"
    record = {kind: outlines(kind) for kind in CLASSES}
    target.write_text(json.dumps(record, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{target}: {target.stat().st_size / 1e3:.0f} kB")
