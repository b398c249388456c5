"""Evenly spread rotations without a lattice: super-Fibonacci spirals."""

from __future__ import annotations

import math

import torch
from torch import Tensor

PSI = 1.533751168755204288118041  # real root of ψ⁴ = ψ + 4 (Alexa 2022)


def even_quaternions(count: int) -> Tensor:
    """`count` evenly spread unit quaternions (x, y, z, w). (count, 4) float64

    Notes
    -----
    Alexa 2022, Super-Fibonacci spirals (CVPR), algorithm 1.
    """
    s = torch.arange(count, dtype=torch.float64) + 0.5
    t = s / count
    inner, outer = t.sqrt(), (1.0 - t).sqrt()
    alpha, beta = 2.0 * math.pi * s / math.sqrt(2.0), 2.0 * math.pi * s / PSI
    return torch.stack([inner * alpha.sin(), inner * alpha.cos(), outer * beta.sin(), outer * beta.cos()], dim=1)


def even_rotations(step: float) -> Tensor:
    """Rotation matrices about `step` (rad) apart. (n, 3, 3) float64

    Notes
    -----
    The volume of the rotation group is 8π² in units where a small rotation by θ about each of three axes takes θ³.

    Examples
    --------
    >>> len(even_rotations(math.radians(15.0)))
    4400
    """
    count = max(1, round(8.0 * math.pi**2 / step**3))
    x, y, z, w = even_quaternions(count).unbind(1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
