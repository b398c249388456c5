"""Anisotropic magnification of an optics group."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.data.optics import Defocus
from burnish.optics.ctf import defocus_axes, defocus_coefficients


@dataclass(frozen=True, slots=True, kw_only=True)
class MagnificationParts:
    """What a magnification matrix does, in words.

    Attributes
    ----------
    mean : mean factor on frequencies.
    anisotropy : largest over smallest factor, minus 1.
    angle : direction of the largest factor from x, rad.
    rotation : rad.
    """

    mean: float
    anisotropy: float
    angle: float
    rotation: float


def split_magnification(matrix: Tensor) -> MagnificationParts:
    """Polar decomposition M = R·S of a magnification matrix: rotation and symmetric stretch.

    Examples
    --------
    >>> parts = split_magnification(torch.diag(torch.tensor([1.02, 1.0], dtype=torch.float64)))
    >>> round(parts.mean, 4), round(parts.anisotropy, 4), round(parts.rotation, 4)
    (1.01, 0.02, 0.0)
    """
    u, singular, vt = torch.linalg.svd(matrix.double())
    rotation = u @ vt
    axis = vt[0]
    return MagnificationParts(
        mean=float(singular.mean()),
        anisotropy=float(singular[0] / singular[1] - 1.0),
        angle=math.atan2(float(axis[1]), float(axis[0])) % math.pi,
        rotation=math.atan2(float(rotation[1, 0]), float(rotation[0, 0])),
    )


def carry_defocus(defocus: Defocus, old: Tensor, new: Tensor) -> Defocus:
    """Defocus that gives the same phase in the recorded image after the magnification matrix has changed.

    Parameters
    ----------
    defocus : fitted to the recorded images under `old`.
    old, new : magnification matrices. (2, 2)

    Notes
    -----
    The phase πλ·kᵀMᵀ A M k must stay: A_new = N⁻ᵀ Mᵀ A M N⁻¹ with A = mean·1 + astigmatism, the new matrix N. The
    change of the C_s term, of fourth order, is left out, as in RELION.
    """
    mean, a, b = defocus_coefficients(defocus).unbind(dim=-1)
    form = torch.stack([torch.stack([mean + a, b], -1), torch.stack([b, mean - a], -1)], -2)
    carry = (old.double() @ torch.linalg.inv(new.double())).to(form)
    form = carry.T @ form @ carry
    mean, a = 0.5 * (form[:, 0, 0] + form[:, 1, 1]), 0.5 * (form[:, 0, 0] - form[:, 1, 1])
    u, v, angle = defocus_axes(torch.stack([mean, a, form[:, 0, 1]], dim=-1))
    return Defocus(
        u=u, v=v, angle=angle, phase_shift=defocus.phase_shift, b_factor=defocus.b_factor, scale=defocus.scale
    )
