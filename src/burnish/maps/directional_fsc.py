"""Directional FSC: agreement of two half maps along each direction, and how even it is.

Cones as in Tan et al. 2017 (Nat. Methods 14, 793). Coefficients are first summed into cells of (shell, direction), so
that a cone is a sum of cells: one pass over the transform, whatever the number of cones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.fourier.shells import radius_blocks, shell_count
from burnish.fourier.transforms import wave_numbers
from burnish.maps.postprocess import THRESHOLD, resolution_at

_ENOUGH = 12  # coefficients of a shell in a cone
_RINGS = 24  # of equal area on the half sphere: cells of about 4°


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionalFsc:
    """FSC by direction; a direction and its opposite are one, given with z ≥ 0.

    Attributes
    ----------
    directions : unit vectors (x, y, z). (directions, 3)
    curves : FSC in the cone about each direction. (directions, shells)
    resolution : of each at the threshold, Å. (directions,)
    sphericity : of the surface s(direction) = 1/resolution: 1 for a sphere (Wadell 1935).
    worst, best, median : of `resolution`, Å.
    """

    directions: Tensor
    curves: Tensor
    resolution: Tensor
    sphericity: float
    worst: float
    best: float
    median: float


def half_sphere(count: int) -> Tensor:
    """Directions spread evenly over the half sphere z ≥ 0 along a Fibonacci spiral, (count, 3) float64."""
    i = torch.arange(count, dtype=torch.float64) + 0.5
    z = 1.0 - i / count
    angle = math.pi * (1.0 + math.sqrt(5.0)) * i
    r = (1.0 - z * z).sqrt()
    return torch.stack([r * torch.cos(angle), r * torch.sin(angle), z], dim=1)


def directional_fsc(
    half1: Tensor, half2: Tensor, pixel_size: float, *, half_angle_deg: float = 20.0, count: int = 300
) -> DirectionalFsc:
    """FSC of two half maps in cones.

    Parameters
    ----------
    half1, half2 : half maps, masked if the solvent should not count [z, y, x].
    pixel_size : Å.
    half_angle_deg : between the axis of a cone and its side, °.
    count : of directions on the half sphere.
    """
    shape = half1.shape
    cells = _sum_cells(torch.fft.rfftn(half1), torch.fft.rfftn(half2), shape)
    centres = _cell_centres().to(half1.device)
    directions = half_sphere(count).to(half1.device)
    inside = (directions @ centres.T).abs() >= math.cos(math.radians(half_angle_deg))
    cross, power1, power2, number = (inside.double() @ c.T for c in cells)
    cross_all, power1_all, power2_all, _ = (c.sum(1) for c in cells)
    everywhere = cross_all / (power1_all * power2_all).sqrt().clamp_min(1e-300)
    # near the origin a narrow cone holds too few coefficients to tell
    curves = torch.where(
        number >= _ENOUGH, cross / (power1 * power2).sqrt().clamp_min(1e-300), everywhere.expand_as(cross)
    )
    curves[:, 0] = 1.0  # one coefficient without direction
    box_length = max(shape) * pixel_size
    resolution = torch.tensor(
        [min(resolution_at(c, THRESHOLD, box_length).between, box_length) for c in curves], dtype=torch.float64
    )
    return DirectionalFsc(
        directions=directions,
        curves=curves,
        resolution=resolution,
        sphericity=sphericity(directions, 1.0 / resolution),
        worst=float(resolution.max()),
        best=float(resolution.min()),
        median=float(resolution.median()),
    )


def fsc_map(found: DirectionalFsc, n: int) -> Tensor:
    """Directional FSC in Fourier space, origin at voxel n//2: each voxel its shell in the nearest direction."""
    curves = torch.cat([found.curves.float(), torch.zeros(len(found.curves), 1)], dim=1)
    nearest = (_cell_centres() @ found.directions.T).abs().argmax(1)  # direction of each cell
    k = torch.arange(n, dtype=torch.float32) - n // 2
    out = torch.empty(n, n, n)
    for z in range(n):
        radius = (k[z] ** 2 + k[:, None] ** 2 + k**2).sqrt()
        cell = _cell_of(k[z].expand(n, n), k[:, None].expand(n, n), k.expand(n, n), radius)
        out[z] = curves[nearest[cell], radius.round().long().clamp_max(curves.shape[1] - 1)]
    return out


def sphericity(directions: Tensor, radii: Tensor) -> float:
    """π^⅓ (6V)^⅔ / A of the body with these radii along ± the directions.

    Volume and area are those of triangles between neighbouring directions, divided by what the same triangles give
    for a ball, so that a ball has 1 however few the directions.
    """
    from scipy.spatial import ConvexHull  # triangles of points on a sphere

    unit = torch.cat([directions, -directions]).cpu()
    triangles = torch.from_numpy(ConvexHull(unit.numpy()).simplices).long()

    def ratio(points: Tensor) -> float:
        a, b, c = points[triangles].unbind(1)
        volume = float((a * torch.linalg.cross(b, c)).sum(1).abs().sum()) / 6.0
        area = float(torch.linalg.cross(b - a, c - a).norm(dim=1).sum()) / 2.0
        return math.pi ** (1 / 3) * (6.0 * volume) ** (2 / 3) / area

    return ratio(unit * torch.cat([radii, radii]).cpu()[:, None]) / ratio(unit)


def _rings() -> tuple[Tensor, Tensor]:
    """Number of cells in each ring of the half sphere, and the first cell of each."""
    middle = (torch.arange(_RINGS, dtype=torch.float64) + 0.5) / _RINGS
    per_ring = (2 * math.pi * (1 - middle**2).sqrt() * _RINGS).round().long().clamp_min(1)
    return per_ring, torch.cat([torch.zeros(1, dtype=torch.int64), per_ring.cumsum(0)])


def _cell_centres() -> Tensor:
    """Direction (x, y, z) of each cell, (cells, 3) float64."""
    per_ring, first = _rings()
    ring = torch.repeat_interleave(torch.arange(_RINGS), per_ring)
    z = (ring.double() + 0.5) / _RINGS
    angle = 2 * math.pi * (torch.arange(len(ring)) - first[ring] + 0.5) / per_ring[ring]
    r = (1 - z * z).sqrt()
    return torch.stack([r * angle.cos(), r * angle.sin(), z], dim=1)


def _cell_of(kz: Tensor, ky: Tensor, kx: Tensor, radius: Tensor) -> Tensor:
    """Cell of each wave vector, all tensors of one shape; k and −k fall in the same."""
    per_ring, first = (t.to(radius.device) for t in _rings())
    lower = (kz < 0) | ((kz == 0) & ((ky < 0) | ((ky == 0) & (kx < 0))))
    sign = torch.where(lower, -1.0, 1.0)  # F(−k) = F(k)*: the half sphere z ≥ 0 holds all
    ring = (kz.abs() / radius.clamp_min(1e-6) * _RINGS).long().clamp_max_(_RINGS - 1)
    turn = torch.atan2(sign * ky + 0.0, sign * kx + 0.0)  # + 0: −0 would turn by π
    turn = turn.div_(2 * math.pi).remainder_(1.0)
    return first[ring] + (turn * per_ring[ring]).long().clamp_max(per_ring[ring] - 1)


def _sum_cells(f1: Tensor, f2: Tensor, shape: torch.Size) -> list[Tensor]:
    """Sums of Re F₁F₂*, |F₁|², |F₂|² and 1 by (shell, direction cell), (shells, cells) each."""
    shells, cells = shell_count(shape), int(_rings()[1][-1])
    kz, ky, kx = (k.float() for k in wave_numbers(shape, f1.device))
    sums = [torch.zeros(shells * cells, dtype=torch.float64, device=f1.device) for _ in range(4)]
    for planes, radius in radius_blocks(shape, f1.device):
        shell = radius.round().long()
        used = (shell < shells) & (shell > 0)
        z, y, x = (k.expand(radius.shape)[used] for k in (kz[planes], ky, kx))
        index = shell[used] * cells + _cell_of(z, y, x, radius[used])
        a, b = f1[planes][used], f2[planes][used]
        ar, ai, br, bi = a.real, a.imag, b.real, b.imag
        products = (ar * br + ai * bi, ar * ar + ai * ai, br * br + bi * bi, torch.ones_like(ar))
        for total, product in zip(sums, products, strict=True):
            total += torch.bincount(index, product.double(), minlength=shells * cells)
    return [s.reshape(shells, cells) for s in sums]
