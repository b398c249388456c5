"""Map weighted place by place: each band of resolution as far as the half maps agree there.

The maps of both halves are cut into bands. In each the two are correlated in a soft window of a few resolution lengths
about every voxel, cc(x), and the band of the mean map is multiplied by √(2cc / (1 + cc)), the expected correlation with
the truth: what one weight by shell does for the whole map (Rosenthal & Henderson 2003, J. Mol. Biol. 333, 721, eq. 16),
here for every place. Well-ordered parts keep their detail, others come out as smooth as they are known.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from burnish.data.density import DensityMap
from burnish.models.boxed_maps import BoxedMaps
from burnish.models.em_density_maps import box_density
from burnish.models.structure_factors import miller_grid

BANDS = 8
WINDOW = 1.5  # σ of the window in units of the band's resolution
SMALLEST_WINDOW = 4.0  # Å; fewer voxels do not hold a correlation
UNKNOWN = 0.143  # correlation of halves below which a band is left out


def locally_filtered(maps: BoxedMaps) -> DensityMap | None:
    """Mean of two half maps, sharpened and weighted by local agreement, in σ inside the mask; None from one map."""
    if len(maps.halves) != 2:
        return None
    scale = maps.shell_mean(maps.f_obs.abs().square()).sqrt().clamp_min(1e-30)
    flat = maps.halves / scale[maps.shell].to(maps.halves.real.dtype)
    total: Tensor | None = None
    like: DensityMap | None = None
    lookup = miller_grid(maps.crystal, maps.hkl, maps.shape)
    for band in _bands(maps):
        one, two = (box_density(torch.where(band, half, 0.0), maps, lookup) for half in flat)
        resolution = 1.0 / float(maps.s2[band].sqrt().mean())
        cc = local_correlation(one.values, two.values, one.voxel_size, max(WINDOW * resolution, SMALLEST_WINDOW))
        weight = torch.where(cc > UNKNOWN, (2.0 * cc / (1.0 + cc)).clamp(0.0, 1.0).sqrt(), 0.0)
        part = weight * 0.5 * (one.values + two.values)
        total = part if total is None else total + part
        like = one
    if total is None or like is None:
        return None
    inside = total[maps.mask.permute(2, 1, 0) > 0.5]
    spread = float(inside.std()) if len(inside) > 1 else 0.0
    return replace(like, values=total / spread if spread > 0 else total)


def _bands(maps: BoxedMaps) -> list[Tensor]:
    """Coefficients of bands of equal width in s, without empty ones. (n,) bool each"""
    s = maps.s2.sqrt()
    number = ((s - s.min()) / (s.max() - s.min()).clamp_min(1e-12) * BANDS).long().clamp_max(BANDS - 1)
    return [number == k for k in range(BANDS) if bool((number == k).any())]


def local_correlation(one: Tensor, two: Tensor, voxel_size: tuple[float, float, float], sigma: float) -> Tensor:
    """Correlation of two maps in a Gaussian window about every voxel. [z, y, x]

    Parameters
    ----------
    voxel_size : along x, y, z, Å.
    sigma : of the window, Å.
    """
    cross, first, second = (_smoothed(v, voxel_size, sigma) for v in (one * two, one.square(), two.square()))
    floor = 1e-6 * float((first.mean() * second.mean()).sqrt())
    return cross / (first.clamp_min(0.0) * second.clamp_min(0.0)).sqrt().clamp_min(max(floor, 1e-30))


def _smoothed(values: Tensor, voxel_size: tuple[float, float, float], sigma: float) -> Tensor:
    """Convolution with a Gaussian, periodic. [z, y, x]"""
    transform = torch.fft.rfftn(values)
    for axis, length in enumerate(voxel_size[::-1]):
        n = values.shape[axis]
        k = torch.fft.rfftfreq(n, length) if axis == 2 else torch.fft.fftfreq(n, length)
        shape = [1, 1, 1]
        shape[axis] = len(k)
        transform *= torch.exp(-2.0 * (math.pi * sigma * k) ** 2).reshape(shape).to(values.dtype)
    return torch.fft.irfftn(transform, s=values.shape)
