"""The viewing directions that RELION samples, in its order: its files hold a number for each of them, without naming
it.

RELION keeps of the HEALPix directions those inside a wedge or cone that is an asymmetric unit of the point group, its
borders included, and then drops those that an operator brings within half a pixel of one kept before.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from burnish.geometry.sampling import nested_directions
from burnish.symmetry.point_groups import point_group

_TOLERANCE = 1e-6  # °, of what lies on a border
_SEAMS_BELOW = 4000  # directions: RELION leaves the borders of finer samplings as they are
_SHORT, _LONG = (math.sqrt(5.0) - 1.0) / 4.0, (math.sqrt(5.0) + 1.0) / 4.0  # cos 72°, cos 36°
_FIVE_FOLD = math.radians(31.7174745559)  # between z and the five-fold axis of the setting I2
_ICOSAHEDRAL = ((0.0, 1.0, 0.0), (-0.5, -_LONG, _SHORT), (0.5, -_LONG, _SHORT))
_ICOSAHEDRAL_4 = ((0.0, 0.0, -1.0), (-_SHORT, 0.5, _LONG), (-_SHORT, -0.5, _LONG))
# normals of the planes that bound the cone, pointing inwards
_CONES = {
    "T": ((-1.0, 0.0, 0.0), (0.471405, 0.272165, 0.7698), (0.471404, 0.816497, 0.0)),
    "O": ((0.0, -1.0, 1.0), (1.0, 1.0, 0.0), (-1.0, 1.0, 0.0)),
    "I1": _ICOSAHEDRAL,
    "I2": _ICOSAHEDRAL,
    "I3": _ICOSAHEDRAL,
    "I4": _ICOSAHEDRAL_4,
}
_TURNS = {"I1": math.pi / 2.0, "I3": _FIVE_FOLD, "I4": -_FIVE_FOLD}  # about y, of the cone of I2


def relion_directions(order: int, symmetry: str) -> tuple[Tensor, Tensor, Tensor]:
    """Directions of RELION's sampling of a point group.

    Parameters
    ----------
    order : HEALPix order.
    symmetry : canonical name of the group.

    Returns
    -------
    unit vectors, longitude within ± 180° and colatitude, °. (n, 3), (n,), (n,) float64; n may be 0 for icosahedral
    groups at order 1.
    """
    longitude, colatitude = (a * 180.0 / math.pi for a in nested_directions(order))
    longitude = torch.where(longitude > 180.0, longitude - 360.0, longitude)
    towards = _unit_vectors(longitude, colatitude)
    inside = _inside(towards, longitude, colatitude, symmetry).nonzero()[:, 0]
    if len(inside) < _SEAMS_BELOW:
        inside = inside[_without_mates(towards[inside], point_group(symmetry)[1:], 0.5 * _largest_radius(order))]
    return towards[inside], longitude[inside], colatitude[inside]


def _unit_vectors(longitude: Tensor, colatitude: Tensor) -> Tensor:
    rot, tilt = longitude * math.pi / 180.0, colatitude * math.pi / 180.0
    return torch.stack([tilt.sin() * rot.cos(), tilt.sin() * rot.sin(), tilt.cos()], 1)


def _inside(towards: Tensor, longitude: Tensor, colatitude: Tensor, symmetry: str) -> Tensor:
    """Which directions lie in the asymmetric unit or on its border. (n,) bool"""
    if symmetry in _CONES:
        normals = torch.tensor(_CONES[symmetry], dtype=torch.float64)
        angle = _TURNS.get(symmetry, 0.0)
        c, s = math.cos(angle), math.sin(angle)
        turn = torch.tensor([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]], dtype=torch.float64)
        # what lies on a border is decided by rounding, so that products and sums are RELION's one by one
        normals = torch.nn.functional.normalize(normals @ turn.T, dim=1)
        parts = towards[:, None, :] * normals
        return (parts[..., 0] + parts[..., 1] + parts[..., 2] >= 0.0).all(1)
    fold = int(symmetry[1:])
    upper = colatitude <= 90.0 + _TOLERANCE
    if symmetry == "D1":
        return upper
    middle = 0.0 if symmetry[0] == "C" else 90.0
    near = (longitude - middle).abs() <= 180.0 / fold + _TOLERANCE
    return near if symmetry[0] == "C" else near & upper


def _without_mates(towards: Tensor, operators: Tensor, angle: float) -> Tensor:
    """Indices of the directions that no operator brings within `angle` (rad) of one kept before them."""
    if not len(operators) or not len(towards):
        return torch.arange(len(towards))
    mates = torch.einsum("ni,mij->nmj", towards, operators)
    close = torch.stack([(mates[k] @ towards.T).amax(0) > math.cos(angle) for k in range(len(towards))])
    kept: list[int] = []
    dropped = torch.zeros(len(towards), dtype=torch.bool)
    for i in range(len(towards)):
        if not dropped[i]:
            kept.append(i)
            dropped |= close[i]
    return torch.tensor(kept)


def _largest_radius(order: int) -> float:
    """Largest distance of a point of a HEALPix pixel from its centre, rad (Górski et al. 2005, ApJ 622, 759)."""
    side = 2**order
    lower = torch.tensor([2.0 / 3.0, math.pi / (4.0 * side)], dtype=torch.float64)
    upper = torch.tensor([1.0 - (1.0 - 1.0 / side) ** 2 / 3.0, 0.0], dtype=torch.float64)
    a, b = (_unit_vectors(torch.rad2deg(v[1:]), torch.rad2deg(torch.acos(v[:1])))[0] for v in (lower, upper))
    return float(torch.acos((a * b).sum()))
