"""Cβ deviation: how far the Cβ lies from where the backbone says it should be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.chemistry.residues import ResidueView
from burnish.geometry.torsions import place_atoms

OUTLIER_DEVIATION = 0.25  # Å (Lovell et al. 2003, Proteins 50, 437)

# Ideal Cα–Cβ length in Å, then angle C–CA–CB, torsion N–C–CA–CB, angle N–CA–CB, torsion C–N–CA–CB in °:
# the averages of MolProbity (Lovell et al. 2003; Engh & Huber 1991 for the angles)
_IDEAL = {
    "ALA": (1.536, 110.1, 122.9, 110.6, -122.6),
    "PRO": (1.530, 112.2, 115.1, 103.0, -120.7),
    "branched": (1.540, 109.1, 123.4, 111.5, -122.0),
    "other": (1.530, 110.1, 122.8, 110.5, -122.6),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CBetaDeviation:
    """Cβ of one residue: index into the residue views, and its distance from the ideal position, Å."""

    view: int
    deviation: float

    @property
    def is_outlier(self) -> bool:
        return self.deviation >= OUTLIER_DEVIATION


def ideal_cbeta(n: Tensor, ca: Tensor, c: Tensor, name: str) -> Tensor:
    """Ideal Cβ positions of residues of one type from their backbones. (n, 3)

    Notes
    -----
    Mean of the positions built from the C side and from the N side, brought back to the ideal bond length (Lovell et
    al. 2003).
    """
    length, angle_c, torsion_n, angle_n, torsion_c = _IDEAL.get(
        "branched" if name in ("VAL", "THR", "ILE") else name, _IDEAL["other"]
    )

    def placed(first: Tensor, second: Tensor, angle: float, torsion: float) -> Tensor:
        size = n.new_full((len(n),), length)
        return place_atoms(
            first, second, ca, size, torch.full_like(size, math.radians(angle)), size * 0 + math.radians(torsion)
        )

    middle = 0.5 * (placed(n, c, angle_c, torsion_n) + placed(c, n, angle_n, torsion_c)) - ca
    return ca + length * middle / middle.norm(dim=-1, keepdim=True)


def validate_cbeta(xyz: Tensor, views: Sequence[ResidueView]) -> tuple[CBetaDeviation, ...]:
    """Cβ deviation of every residue with a Cβ.

    Parameters
    ----------
    xyz : positions of all atoms, Å. (n, 3)
    views : residues by conformer.
    """
    by_type: dict[str, list[tuple[int, tuple[int, ...]]]] = {}
    for i, residue in enumerate(views):
        if residue.kind == "protein" and (atoms := residue.indices("N", "CA", "C", "CB")) is not None:
            by_type.setdefault(residue.name, []).append((i, atoms))
    found = []
    for name, items in by_type.items():
        n, ca, c, cb = xyz[torch.tensor([a for _, a in items])].unbind(1)
        away = (ideal_cbeta(n, ca, c, name) - cb).norm(dim=-1)
        found += [CBetaDeviation(view=i, deviation=d) for (i, _), d in zip(items, away.tolist(), strict=True)]
    return tuple(sorted(found, key=lambda d: d.view))
