"""Rotation matrices, RELION's Euler angles and small rotations.

A rotation matrix A takes vectors (x, y, z) of the reference into the frame of the image, x_image = A x_reference; its
rows are the image's axes in the reference's frame and row 2 is the viewing direction.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def euler_to_matrix(rot: Tensor, tilt: Tensor, psi: Tensor) -> Tensor:
    """Rotation matrices of the field's ZYZ Euler angles, each in rad. (n, 3, 3)

    Notes
    -----
    A = Rz(psi) Ry(tilt) Rz(rot) with passive rotations (Heymann, Chagoyen & Belnap 2005, J. Struct. Biol. 151, 196).

    Examples
    --------
    >>> euler_to_matrix(torch.zeros(1), torch.zeros(1), torch.zeros(1))[0].tolist()
    [[1.0, 0.0, -0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    ca, cb, cg = rot.cos(), tilt.cos(), psi.cos()
    sa, sb, sg = rot.sin(), tilt.sin(), psi.sin()
    rows = (
        (cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb),
        (-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb),
        (sb * ca, sb * sa, cb),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def rotation_from_vector(vector: Tensor) -> Tensor:
    """Rotation matrices exp([v]×) of rotation vectors, rad. (..., 3) → (..., 3, 3)"""
    zero = torch.zeros_like(vector[..., 0])
    x, y, z = vector.unbind(-1)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vector.shape[:-1], 3, 3)
    return torch.linalg.matrix_exp(cross)


def rotation_angle(a: Tensor, b: Tensor) -> Tensor:
    """Angle between rotations (..., 3, 3), rad, exact for small ones too."""
    chord = (a - b).square().sum((-2, -1)).sqrt()  # = sqrt(8) sin(angle / 2)
    return 2.0 * torch.asin((chord / math.sqrt(8.0)).clamp(max=1.0))


def random_rotations(count: int, generator: torch.Generator) -> Tensor:
    """Uniformly distributed rotation matrices from normalised Gaussian quaternions. (count, 3, 3) float64"""
    q = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    w, x, y, z = (q / q.norm(dim=1, keepdim=True)).unbind(1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)
