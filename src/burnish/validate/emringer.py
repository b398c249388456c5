"""EMRinger: whether the density of side chains lies where rotamers put it.

The γ atom of every side chain with an unbranched Cβ is turned about Cα–Cβ in steps of 5° and the density sampled on the
circle. Where the highest density is above a threshold, its angle should be near 60°, 180° or 300° (Barad, Echols, Wang,
Cheng, DiMaio, Adams & Fraser 2015, Nat. Methods 12, 943). With n peaks above the threshold, k of them in the
three windows, which hold 39 of 72 steps,

    z = (k − 39/72 n) / √(39/72 · 33/72 · n),      score = 10 max z / √(residues)

the maximum over twenty thresholds from the mean density to the highest. A score above 1 is good at 3.2 to 3.5 Å. As in
the program of the authors a window has twelve steps, 35°–90° and so on, and the share expected by chance is 39/72.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from burnish.chemistry.residues import ResidueView
from burnish.data.density import DensityMap
from burnish.maps.linear import sample_linear

STEPS = 72
THRESHOLDS = 20
CHANCE = 39.0 / 72.0
GAMMA = {
    **dict.fromkeys(("ARG", "ASN", "ASP", "GLU", "GLN", "HIS", "LEU", "LYS", "MET", "PHE", "TRP", "TYR"), "CG"),
    "CYS": "SG",
    "SEC": "SE",
    "SER": "OG",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RingerResidue:
    """One side chain.

    Attributes
    ----------
    view : index into the residue views.
    angle : χ₁ of the highest density, rad.
    height : of that density.
    is_rotameric : whether it lies in one of the three windows.
    modelled : χ₁ of the model, rad.
    """

    view: int
    angle: float
    height: float
    is_rotameric: bool
    modelled: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EmRinger:
    """Score of a model and its map.

    Attributes
    ----------
    score : EMRinger score; NaN without side chains.
    threshold : density at which it was reached.
    rotameric : share of the peaks above it that lie at rotamers.
    thresholds, scores, shares, counts : over all thresholds.
    residues : every side chain that was looked at.
    """

    score: float
    threshold: float
    rotameric: float
    thresholds: tuple[float, ...]
    scores: tuple[float, ...]
    shares: tuple[float, ...]
    counts: tuple[int, ...]
    residues: tuple[RingerResidue, ...]


NOTHING = EmRinger(
    score=math.nan,
    threshold=math.nan,
    rotameric=math.nan,
    thresholds=(),
    scores=(),
    shares=(),
    counts=(),
    residues=(),
)


def emringer(density: DensityMap, xyz: Tensor, views: Sequence[ResidueView]) -> EmRinger:
    """Score the side chains of a model.

    Parameters
    ----------
    density : the map, as it will be deposited: sharpened.
    xyz : positions of all atoms, Å. (n, 3)
    views : residues by conformer; the first conformer counts.
    """
    chosen = [(i, atoms) for i, view in enumerate(views) if (atoms := _chi1_atoms(view)) is not None]
    if not chosen:
        return NOTHING
    angles = (np.arange(STEPS) + 1) * 2.0 * math.pi / STEPS
    sites = xyz.detach().cpu().numpy()[np.array([atoms for _, atoms in chosen])]
    modelled, circle = chi1_circle(sites, angles)
    waves, inside = sample_linear(density, circle)
    whole = np.asarray(inside.all(axis=1))  # a circle that leaves the map says nothing
    if not whole.any():
        return NOTHING
    chosen = [pair for pair, kept in zip(chosen, whole.tolist(), strict=True) if kept]
    waves, modelled = waves[whole], modelled[whole]
    best = waves.argmax(axis=1)
    height = waves.max(axis=1)
    rotameric = (best - 6) % 24 < 12
    lowest, highest = float(waves.mean(axis=1).mean()), float(height.max())
    thresholds = lowest + np.arange(THRESHOLDS) * (highest - lowest) / THRESHOLDS
    scores, shares, counts = [], [], []
    for threshold in thresholds:
        above = height > threshold
        n, k = int(above.sum()), int((above & rotameric).sum())
        if k == 0:
            break
        z = (k - CHANCE * n) / math.sqrt(CHANCE * (1.0 - CHANCE) * n)
        scores.append(10.0 * z / math.sqrt(len(chosen)))
        shares.append(k / n)
        counts.append(n)
    top = int(np.argmax(scores)) if scores else -1
    return EmRinger(
        score=scores[top] if scores else math.nan,
        threshold=float(thresholds[top]) if scores else math.nan,
        rotameric=shares[top] if scores else math.nan,
        thresholds=tuple(float(t) for t in thresholds[: len(scores)]),
        scores=tuple(scores),
        shares=tuple(shares),
        counts=tuple(counts),
        residues=tuple(
            RingerResidue(
                view=i,
                angle=float(angles[best[k]] % (2.0 * math.pi)),
                height=float(height[k]),
                is_rotameric=bool(rotameric[k]),
                modelled=float(modelled[k]),
            )
            for k, (i, _) in enumerate(chosen)
        ),
    )


def _chi1_atoms(view: ResidueView) -> tuple[int, ...] | None:
    """N, Cα, Cβ, γ of a side chain that counts."""
    if view.kind != "protein" or not view.is_primary or view.name not in GAMMA:
        return None
    return view.indices("N", "CA", "CB", GAMMA[view.name])


def chi1_circle(sites: np.ndarray, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """χ₁ of the model, and where γ would be at other angles.

    Parameters
    ----------
    sites : N, Cα, Cβ, γ of each side chain, Å. (n, 4, 3)
    angles : χ₁, rad. (m,)

    Returns
    -------
    χ₁ (n,) in rad, 0 to 2π, and positions (n, m, 3).
    """
    n, ca, cb, gamma = sites[:, 0], sites[:, 1], sites[:, 2], sites[:, 3]
    axis = cb - ca
    axis = axis / np.linalg.norm(axis, axis=1, keepdims=True)
    back = n - ca
    back = back - (back * axis).sum(1, keepdims=True) * axis
    back = back / np.linalg.norm(back, axis=1, keepdims=True)
    side = np.cross(axis, back)
    out = gamma - cb
    along = (out * axis).sum(1, keepdims=True) * axis
    radial = out - along
    radius = np.linalg.norm(radial, axis=1)
    modelled = np.arctan2((radial * side).sum(1), (radial * back).sum(1)) % (2.0 * math.pi)
    around = np.cos(angles)[None, :, None] * back[:, None] + np.sin(angles)[None, :, None] * side[:, None]
    return modelled, (cb + along)[:, None] + radius[:, None, None] * around
