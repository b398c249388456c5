"""Density between grid points, smooth and with derivatives: cubic B-splines through the values of the grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from burnish.data.sampled_map import SampledMap


@dataclass(frozen=True, slots=True, kw_only=True)
class SplineMap:
    """A map as coefficients of cubic B-splines.

    Attributes
    ----------
    coefficients : the spline through the grid's values. (n0, n1, n2) float32
    grid : the map that it came from.
    """

    coefficients: Tensor
    grid: SampledMap


def spline_map(grid: SampledMap) -> SplineMap:
    """Make the spline that goes through every value of a map.

    Notes
    -----
    The transform of the values is divided by that of the B-spline at the grid points, Π (2 + cos 2πk/n)/3 (Unser
    1999, IEEE Signal Process. Mag. 16(6), 22, eq. 13 in its periodic form). A box is taken as periodic as well; density
    should have died away at its faces.
    """
    transform = torch.fft.rfftn(grid.values)
    for axis, n in enumerate(grid.values.shape):
        k = torch.arange(transform.shape[axis], device=transform.device, dtype=torch.float32)
        response = (2.0 + torch.cos(2.0 * math.pi * k / n)) / 3.0
        transform /= response.reshape([-1 if a == axis else 1 for a in range(3)])
    return SplineMap(coefficients=torch.fft.irfftn(transform, s=grid.values.shape), grid=grid)


def local_part(grid: SampledMap, xyz: Tensor, margin: float = 4.0) -> SampledMap:
    """The part of a map about some positions, as a box.

    Parameters
    ----------
    grid : the map.
    xyz : positions that will be looked at, Å. (n, 3)
    margin : how far beyond them the part reaches, Å; four grid steps more are taken.
    """
    u = (xyz @ grid.to_grid.to(xyz).T + grid.offset.to(xyz)).detach()
    reach = margin * grid.to_grid.norm(dim=1) + 4.0
    low, high = (u.min(0).values - reach).floor().long(), (u.max(0).values + reach).ceil().long()
    if not grid.periodic:
        size = torch.tensor(grid.values.shape)
        low, high = torch.minimum(low.clamp(min=0), size - 2), torch.minimum(high.clamp(min=1), size - 1)
    axes = [torch.arange(int(a), int(b) + 1) % n for a, b, n in zip(low, high, grid.values.shape, strict=True)]
    part = grid.values[axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]]
    return SampledMap(values=part, to_grid=grid.to_grid, offset=grid.offset - low, periodic=False)


def local_spline(grid: SampledMap, xyz: Tensor, margin: float = 4.0) -> SplineMap:
    """The spline of the part of a map near some positions: much cheaper than that of a whole cell; see `local_part`.

    Notes
    -----
    What lies at the faces of the part is mirrored; a value counts .27 a grid step, so that four steps inside the
    faces the spline is that of the whole map within half a percent.
    """
    from scipy.ndimage import spline_filter  # takes long to import

    box = local_part(grid, xyz, margin)
    coefficients = spline_filter(box.values.numpy(), order=3, output=np.float32, mode="mirror")
    return SplineMap(coefficients=torch.from_numpy(coefficients), grid=box)


def sample(spline: SplineMap, xyz: Tensor) -> Tensor:
    """Density at positions, Å; differentiable by them, in their dtype. (n,)

    Parameters
    ----------
    spline : the map.
    xyz : Cartesian positions, Å. (n, 3)
    """
    grid = spline.grid
    u = xyz @ grid.to_grid.to(xyz).T + grid.offset.to(xyz)
    base = u.detach().floor()
    weights = _weights(u - base)  # (n, 3, 4)
    index, inside = _index(base.long(), grid)
    n1, n2 = grid.values.shape[1], grid.values.shape[2]
    flat = (index[:, 0, :, None, None] * n1 + index[:, 1, None, :, None]) * n2 + index[:, 2, None, None, :]
    taps = spline.coefficients.reshape(-1)[flat].to(xyz)
    density = torch.einsum("nabc,na,nb,nc->n", taps, weights[:, 0], weights[:, 1], weights[:, 2])
    return torch.where(inside, density, torch.zeros_like(density))


def sample_with_gradient(spline: SplineMap, xyz: Tensor) -> tuple[Tensor, Tensor]:
    """Density at positions and its gradient, Å⁻¹. (n,), (n, 3)"""
    grid = spline.grid
    to_grid = grid.to_grid.to(xyz)
    u = xyz.detach() @ to_grid.T + grid.offset.to(xyz)
    base = u.floor()
    w, slope = _weights(u - base), _slopes(u - base)
    index, inside = _index(base.long(), grid)
    n1, n2 = grid.values.shape[1], grid.values.shape[2]
    flat = (index[:, 0, :, None, None] * n1 + index[:, 1, None, :, None]) * n2 + index[:, 2, None, None, :]
    taps = spline.coefficients.reshape(-1)[flat].to(xyz)
    along_c = torch.stack([(taps * f[:, 2, None, None, :]).sum(-1) for f in (w, slope)])  # (2, n, 4, 4)
    along_b = (along_c[0] * w[:, 1, None, :]).sum(-1)
    by_b = (along_c[0] * slope[:, 1, None, :]).sum(-1)
    by_c = (along_c[1] * w[:, 1, None, :]).sum(-1)
    density = (along_b * w[:, 0]).sum(-1)
    by_grid = torch.stack([(along_b * slope[:, 0]).sum(-1), (by_b * w[:, 0]).sum(-1), (by_c * w[:, 0]).sum(-1)], dim=1)
    zero = torch.zeros_like(density)
    return torch.where(inside, density, zero), torch.where(inside[:, None], by_grid @ to_grid, zero[:, None])


def _slopes(t: Tensor) -> Tensor:
    """Derivatives of the weights. (..., 4)"""
    one_minus = 1.0 - t
    t2 = t * t
    return torch.stack(
        [-0.5 * one_minus**2, 0.5 * (3.0 * t2 - 4.0 * t), 0.5 * (1.0 + 2.0 * t - 3.0 * t2), 0.5 * t2], dim=-1
    )


def _weights(t: Tensor) -> Tensor:
    """Cubic B-spline weights of the four grid points around each position. (..., 4)"""
    one_minus = 1.0 - t
    t2, t3 = t * t, t * t * t
    return torch.stack(
        [one_minus**3 / 6.0, (4.0 - 6.0 * t2 + 3.0 * t3) / 6.0, (1.0 + 3.0 * (t + t2 - t3)) / 6.0, t3 / 6.0], dim=-1
    )


def _index(base: Tensor, grid: SampledMap) -> tuple[Tensor, Tensor]:
    """Indices of the four points along each axis, and whether the position lies on the grid."""
    size = torch.tensor(grid.values.shape, device=base.device)
    around = base[:, :, None] + torch.arange(-1, 3, device=base.device)
    inside = torch.ones(len(base), dtype=torch.bool, device=base.device)
    if not grid.periodic:
        inside = ((base >= 0) & (base < size - 1)).all(dim=1)
    return around % size[:, None], inside


def points_near(grid: SampledMap, xyz: Tensor, radius: float) -> tuple[Tensor, Tensor, Tensor]:
    """Grid points within a sphere about each position.

    Parameters
    ----------
    grid : whose points.
    xyz : centres, Å. (n, 3)
    radius : Å.

    Returns
    -------
    Which centre each point belongs to (m,), the point's flat index (m,), and its squared distance, Å² (m,).
    """
    to_grid = grid.to_grid.to(xyz)
    from_grid = torch.linalg.inv(to_grid)
    reach = [math.ceil(radius * float(row.norm())) for row in to_grid]
    ranges = [torch.arange(-r, r + 1) for r in reach]
    offsets = torch.cartesian_prod(*ranges)
    centre = xyz @ to_grid.T + grid.offset.to(xyz)
    nearest = centre.round()
    owners, points, squares = [], [], []
    size = torch.tensor(grid.values.shape)
    n1, n2 = grid.values.shape[1], grid.values.shape[2]
    keep_offset = (offsets.to(xyz) @ from_grid.T).norm(dim=1) <= radius + grid.step
    offsets = offsets[keep_offset]
    for start in range(0, len(xyz), 2000):
        part = slice(start, start + 2000)
        index = nearest[part].long()[:, None, :] + offsets
        away = (index.to(xyz) - centre[part][:, None, :]) @ from_grid.T
        square = away.square().sum(-1)
        keep = square <= radius**2
        if not grid.periodic:
            keep &= ((index >= 0) & (index < size)).all(-1)
        owner, which = torch.nonzero(keep, as_tuple=True)
        chosen = index[owner, which] % size
        owners.append(owner + start)
        points.append((chosen[:, 0] * n1 + chosen[:, 1]) * n2 + chosen[:, 2])
        squares.append(square[owner, which])
    if not owners:
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), xyz.new_zeros(0)
    return torch.cat(owners), torch.cat(points), torch.cat(squares)


def rms(grid: SampledMap) -> float:
    """Root mean square deviation of the map from its mean: its σ, unless the map says another."""
    if grid.sigma is not None:
        return grid.sigma
    values = grid.values.reshape(-1)
    mean = float(values.mean(dtype=torch.float64))
    square = float(torch.linalg.vector_norm(values, dtype=torch.float64)) ** 2 / max(len(values), 1)
    if mean**2 > 1e-4 * square:  # the difference of large numbers loses digits
        return float(np.asarray(grid.values.double().std(correction=0)))
    return math.sqrt(square - mean**2)
