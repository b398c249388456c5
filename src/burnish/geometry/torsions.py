"""Torsion angles, bond angles, and atoms placed by them."""

from __future__ import annotations

import torch
from torch import Tensor


def torsion_angles(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Torsion angles a–b–c–d, rad in (−π, π], IUPAC sign; positions (n, 3), Å; differentiable.

    Notes
    -----
    atan2 of the sine and cosine parts (Blondel & Karplus 1996, J. Comput. Chem. 17, 1132, eq. 11), so that no angle is
    singular but those of atoms in line.

    Examples
    --------
    >>> p = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    >>> round(float(torsion_angles(*(x[None] for x in p)).rad2deg()), 3)
    90.0
    """
    f, g, h = a - b, b - c, d - c
    m, n = torch.linalg.cross(f, g), torch.linalg.cross(h, g)
    length = g.norm(dim=-1)
    return torch.atan2((torch.linalg.cross(n, m) * g).sum(-1) / length, (m * n).sum(-1))


def bond_angles(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Angles at b, rad; positions (n, 3), Å."""
    u, v = a - b, c - b
    return torch.atan2(torch.linalg.cross(u, v).norm(dim=-1), (u * v).sum(-1))


def place_atoms(a: Tensor, b: Tensor, c: Tensor, length: Tensor, angle: Tensor, torsion: Tensor) -> Tensor:
    """Positions d with |c–d| = length, angle b–c–d and torsion a–b–c–d; angles in rad. (n, 3)

    Notes
    -----
    Natural extension reference frame (Parsons et al. 2005, J. Comput. Chem. 26, 1063).
    """
    along = (c - b) / (c - b).norm(dim=-1, keepdim=True)
    normal = torch.linalg.cross(b - a, along)
    normal = normal / normal.norm(dim=-1, keepdim=True)
    third = torch.linalg.cross(normal, along)
    x = -length * angle.cos()
    y = length * angle.sin() * torsion.cos()
    z = length * angle.sin() * torsion.sin()
    return c + x[..., None] * along + y[..., None] * third + z[..., None] * normal


def rotate_about_axis(xyz: Tensor, origin: Tensor, axis: Tensor, angle: Tensor) -> Tensor:
    """Positions turned by `angle` (rad, right-handed) about the line through `origin` along `axis`.

    Parameters
    ----------
    xyz : (..., n, 3)
    origin, axis : a point on the line and its direction, of any length. (..., 3)
    angle : (...)
    """
    unit = (axis / axis.norm(dim=-1, keepdim=True))[..., None, :]
    relative = xyz - origin[..., None, :]
    cos, sin = angle.cos()[..., None, None], angle.sin()[..., None, None]
    along = (relative * unit).sum(-1, keepdim=True)
    turned = relative * cos + torch.linalg.cross(unit.expand_as(relative), relative) * sin + unit * along * (1.0 - cos)
    return turned + origin[..., None, :]
