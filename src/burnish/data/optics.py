"""Microscope settings of the optics groups."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class OpticsGroup:
    """Microscope settings shared by the particles of one optics group.

    Attributes
    ----------
    name : name in the optics table.
    voltage : accelerating voltage, V.
    spherical_aberration : Cs, Å.
    amplitude_contrast : Q0, fraction.
    pixel_size : of the particle images, Å.
    box_size : of the particle images, pixels.
    beam_tilt : (x, y), rad.
    odd_zernike, even_zernike : coefficients of the antisymmetric and symmetric aberrations of the phase, rad, in
        RELION's order of the polynomials over (n, m) with frequencies in Å⁻¹; None where the file has none.
    magnification : 2 × 2 matrix of anisotropic magnification, RELION's `rlnMagMat`.
    """

    name: str
    voltage: float
    spherical_aberration: float
    amplitude_contrast: float
    pixel_size: float
    box_size: int
    beam_tilt: tuple[float, float] = (0.0, 0.0)
    odd_zernike: tuple[float, ...] | None = None
    even_zernike: tuple[float, ...] | None = None
    magnification: Tensor = field(default_factory=lambda: torch.eye(2, dtype=torch.float64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Defocus:
    """Defocus of each particle.

    Attributes
    ----------
    u, v : defocus along the major and minor axis, Å; underfocus is positive. (n,)
    angle : of the major axis from x, rad. (n,)
    phase_shift : of a phase plate, rad. (n,)
    b_factor : envelope exp(−B s² / 4), Å². (n,)
    scale : of the transfer function, RELION's `rlnCtfScalefactor`. (n,)
    """

    u: Tensor
    v: Tensor
    angle: Tensor
    phase_shift: Tensor
    b_factor: Tensor
    scale: Tensor
