"""Sampling of orientations and shifts for a search: HEALPix directions times in-plane angles, discs of shifts."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from burnish.geometry.rotations import euler_to_matrix

# A direction of low symmetry: the asymmetric unit is the region nearer to it than to its equivalents.
_GENERIC = (0.3716, 0.2293, 0.8997)


def healpix_directions(order: int) -> tuple[Tensor, Tensor]:
    """Longitude and colatitude of the HEALPix pixel centres, rad. (12·4^order,) each

    Notes
    -----
    Górski et al. 2005, ApJ 622, 759, eqs 4–9, ring order. Written out since astropy-healpix imports astropy, half a
    second of
    processor time, for these ten lines.
    """
    side = 2**order
    longitude, cosine = [], []
    for ring in range(1, 4 * side):
        polar = min(ring, 4 * side - ring)
        if polar < side:
            count, z, start = 4 * polar, 1.0 - polar**2 / (3.0 * side**2), 0.5
            z = z if ring < 2 * side else -z
        else:
            count, z, start = 4 * side, 4.0 / 3.0 - 2.0 * ring / (3.0 * side), 0.5 * ((ring - side + 1) % 2)
        longitude += [(j + start) * 2.0 * math.pi / count for j in range(count)]
        cosine += [z] * count
    return torch.tensor(longitude, dtype=torch.float64), torch.acos(torch.tensor(cosine, dtype=torch.float64))


def nested_directions(order: int) -> tuple[Tensor, Tensor]:
    """The same directions in nested order: pixels of one of the twelve faces after each other. (12·4^order,) each

    Notes
    -----
    Górski et al. 2005, section 4: within a face the bits of a pixel's number are those of its two coordinates in turn.
    """
    side = 2**order
    number = torch.arange(12 * side * side)
    face, within = number // (side * side), number % (side * side)
    x, y = torch.zeros_like(within), torch.zeros_like(within)
    for bit in range(order):
        x |= ((within >> (2 * bit)) & 1) << bit
        y |= ((within >> (2 * bit + 1)) & 1) << bit
    ring = (2 + face // 4) * side - x - y - 1  # from the north, 1 … 4 side − 1
    column = torch.tensor([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])[face]  # of the face's middle, in eighths of a turn
    polar = torch.minimum(ring, 4 * side - ring).double()
    z = torch.where(
        polar < side, 1.0 - polar**2 * (1.0 / (3.0 * side**2)), (2 * side - ring).double() * (2.0 / (3.0 * side))
    )
    z = torch.where((polar < side) & (ring > 2 * side), -z, z)
    eighths = column + (x - y) / polar.clamp(max=side)
    return (eighths % 8.0) * (math.pi / 4.0), torch.acos(z)


def angular_step(order: int) -> float:
    """Mean spacing of a sampling of that HEALPix order, rad: 360° / (6·2^order), as RELION counts it."""
    return 2.0 * math.pi / (6 * 2**order)


def rotation_grid(order: int, operators: Tensor, jitter: Tensor | None = None) -> Tensor:
    """Rotations of one HEALPix order over the asymmetric unit of a point group. (n, 3, 3) float64

    Parameters
    ----------
    order : HEALPix order; directions 12·4^order, in-plane angles at the same spacing.
    operators : matrices of the point group. (m, 3, 3)
    jitter : rotation that turns the whole grid, so that iterations do not repeat the same samples. (3, 3)
    """
    rot, tilt = healpix_directions(order)
    psi = torch.arange(6 * 2**order, dtype=torch.float64) * angular_step(order)
    directions, angles = torch.meshgrid(torch.arange(len(rot)), torch.arange(len(psi)), indexing="ij")
    d, a = directions.reshape(-1), angles.reshape(-1)
    grid = euler_to_matrix(rot[d], tilt[d], psi[a])
    if jitter is not None:
        grid = grid @ jitter.to(grid.dtype)
    return grid[in_asymmetric_unit(grid[:, 2, :], operators)]


def in_asymmetric_unit(directions: Tensor, operators: Tensor) -> Tensor:
    """Which viewing directions (n, 3) lie in the asymmetric unit of a point group (m, 3, 3): one of each orbit."""
    generic = torch.tensor(_GENERIC, dtype=directions.dtype)
    generic = generic / generic.norm()
    nearness = torch.einsum("ni,mij,j->nm", directions, operators.to(directions.dtype), generic)
    return nearness.argmax(1) == 0


def shift_disc(radius: float, step: float) -> Tensor:
    """Shifts (x, y) on a square grid of `step` within `radius`, in the unit of both, (0, 0) among them. (n, 2)
    float64"""
    count = int(radius / step + 1e-9)
    line = torch.arange(-count, count + 1, dtype=torch.float64) * step
    y, x = torch.meshgrid(line, line, indexing="ij")
    shifts = torch.stack([x.reshape(-1), y.reshape(-1)], 1)
    return shifts[shifts.norm(dim=1) <= radius + 1e-9]
