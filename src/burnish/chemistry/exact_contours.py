"""Ramachandran levels from exact contours in place of the fitted densities, where somebody has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from burnish.chemistry.ramachandran import RamachandranClass

Contours = Callable[[list[tuple[str, float, float]]], list[float]]  # (class in cctbx's words, φ, ψ in °) → levels
CCTBX_CLASS: dict[RamachandranClass, str] = {
    "general": "general", "ile_val": "isoleucine or valine", "pre_proline": "pre-proline", "glycine": "glycine",
    "trans_proline": "trans-proline", "cis_proline": "cis-proline",
}  # fmt: skip


def contour_levels(contours: Contours, kinds: Sequence[RamachandranClass], phi_psi: Tensor) -> Tensor:
    """Level of each residue from the contours.

    Parameters
    ----------
    contours : look all levels up at once.
    kinds : class of each residue. n
    phi_psi : torsions, rad. (n, 2)
    """
    degrees = torch.rad2deg(phi_psi).tolist()
    asked = [(CCTBX_CLASS[kind], phi, psi) for kind, (phi, psi) in zip(kinds, degrees, strict=True)]
    return torch.tensor(contours(asked), dtype=phi_psi.dtype)
