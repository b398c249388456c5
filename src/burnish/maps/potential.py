"""Electrostatic potential of a model on a grid, exact up to the grid's Nyquist limit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from burnish.core.errors import DataError
from burnish.fourier.filters import b_factor_weight
from burnish.fourier.resize import fourier_resize
from burnish.fourier.shells import weight_radially_
from burnish.scattering.form_factors import FormFactors, Radiation, form_factors

_PER_SIGMA = 1.5  # grid points to a standard deviation of the narrowest Gaussian: aliasing below 1e-4
_REACH = 4.5  # standard deviations out to which a Gaussian is drawn
_CHUNK = 1 << 22


def electron_potential(
    xyz: Tensor, b_iso: Tensor, occ: Tensor, elements: Sequence[str], box: int, pixel_size: float, oversampling: int = 2
) -> Tensor:
    """Potential of atoms in a cube, [z, y, x] float32; Å⁻² as the form factors of electrons give it.

    Parameters
    ----------
    xyz : positions relative to the centre voxel n//2, Å. (n, 3)
    b_iso : Å², occ : occupancy. (n,)
    elements : symbol of each atom.
    box, pixel_size : of the map; pixel in Å.
    oversampling : finer grid on which the Gaussians are drawn.

    Notes
    -----
    ρ(r) = Σ a (4π/b)^{3/2} exp(−4π² r²/b), b = b_g + B (Peng et al. 1996, Acta Cryst. A52, 257). All B are raised by
    one amount that makes the narrowest Gaussian wide enough for the grid; it is taken out again in Fourier space.
    """
    fine, n = pixel_size / oversampling, box * oversampling
    centre = (box // 2) * oversampling
    half = (box // 2 - 1) * pixel_size
    reach = float(xyz.abs().max())
    if reach > half:
        raise DataError(f"the model reaches {reach:.0f} Å from the centre, the box {half:.0f} Å; use a larger --box")
    factors = form_factors(elements, radiation=Radiation.ELECTRON)
    narrowest = float(np.min(factors.width[factors.amplitude != 0])) + float(b_iso.min())
    blur = max(0.0, 8.0 * math.pi**2 * (_PER_SIGMA * fine) ** 2 - narrowest)
    grid = torch.zeros(n**3)
    for kind in range(len(factors.amplitude)):
        chosen = torch.from_numpy(np.flatnonzero(factors.kind == kind))
        chosen = chosen[b_iso[chosen].argsort()]  # atoms of like B share the reach of their Gaussians
        for part in chosen.split(1024):
            _draw(grid, n, xyz[part] / fine + centre, b_iso[part] + blur, occ[part], factors, kind, fine)
    density = fourier_resize(grid.reshape(n, n, n), (box,) * 3) if oversampling > 1 else grid.reshape(n, n, n)
    if blur > 0:
        f = torch.fft.rfftn(density)
        weight_radially_(f, density.shape, b_factor_weight(-blur, box * pixel_size))
        density = torch.fft.irfftn(f, s=density.shape)
    return density


def _draw(
    grid: Tensor, n: int, at: Tensor, b: Tensor, occ: Tensor, factors: FormFactors, kind: int, fine: float
) -> None:
    """Add atoms of one kind; `at` in fine voxels. Each Gaussian is a product of three along the axes."""
    width = torch.from_numpy(factors.width[kind]) + b.double()[:, None]  # (atoms, 5) Å²
    amplitude = torch.from_numpy(factors.amplitude[kind]) * occ.double()[:, None] * (4 * math.pi / width) ** 1.5
    sigma = math.sqrt(float(width.max()) / (8 * math.pi**2)) / fine
    steps = torch.arange(-math.ceil(_REACH * sigma), math.ceil(_REACH * sigma) + 1)
    nearest = at.round().long()
    offset = (nearest[:, :, None] + steps).double() - at[:, :, None]  # (atoms, 3, steps)
    rate = (4 * math.pi**2 * fine**2 / width)[:, None, :, None]
    x, y, z = torch.exp(-rate * offset.square()[:, :, None, :]).float().unbind(1)  # (atoms, 5, steps) each
    for i in torch.arange(len(at)).split(max(1, _CHUNK // len(steps) ** 3)):
        plane = torch.einsum("ag,agz,agy->agzy", amplitude[i].float(), z[i], y[i])
        values = torch.einsum("agzy,agx->azyx", plane, x[i])
        wrapped = (nearest[i][:, :, None] + steps) % n
        wx, wy, wz = wrapped.unbind(1)
        index = (wz[:, :, None, None] * n + wy[:, None, :, None]) * n + wx[:, None, None, :]
        grid.index_add_(0, index.reshape(-1), values.reshape(-1))
