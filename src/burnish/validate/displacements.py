"""Residues whose B does not go with that of their surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from burnish.chemistry.residues import ResidueView

REACH = 6.0  # Å
OUTLIER_Z = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DisplacementOutlier:
    """A residue whose mean B is far from that of the atoms around it.

    Attributes
    ----------
    view : index into the residue views.
    mean_b, around : mean B of its atoms and of the atoms within 6 Å, Å².
    z : difference of their logarithms in robust standard deviations of all residues; positive where the residue moves
        more than its surroundings.
    """

    view: int
    mean_b: float
    around: float
    z: float


def displacement_outliers(
    xyz: np.ndarray, b_iso: np.ndarray, is_hydrogen: np.ndarray, views: Sequence[ResidueView]
) -> tuple[DisplacementOutlier, ...]:
    """Residues with |z| of at least 4.

    Parameters
    ----------
    xyz, b_iso, is_hydrogen : of all atoms. (n, 3), (n,), (n,)
    views : residues by conformer.
    """
    heavy = np.nonzero(~is_hydrogen)[0]
    if len(heavy) < 2:
        return ()
    tree = cKDTree(xyz[heavy])
    rows = []
    for i, view in enumerate(views):
        atoms = [a for a in view.atoms.values() if not is_hydrogen[a]]
        if not atoms:
            continue
        near = {int(heavy[k]) for found in tree.query_ball_point(xyz[atoms], REACH) for k in found} - set(atoms)
        if len(near) >= 5:
            mean_b, around = float(b_iso[atoms].mean()), float(b_iso[list(near)].mean())
            rows.append((i, mean_b, around, np.log(max(mean_b, 0.5) / max(around, 0.5))))
    if len(rows) < 10:
        return ()
    ratio = np.array([r[3] for r in rows])
    centre = np.median(ratio)
    spread = max(1.4826 * float(np.median(np.abs(ratio - centre))), 0.05)
    return tuple(
        DisplacementOutlier(view=i, mean_b=b, around=a, z=float((q - centre) / spread))
        for i, b, a, q in rows
        if abs(q - centre) / spread >= OUTLIER_Z
    )
