"""Rotational point groups of particles (C, D, T, O, I) in the settings that RELION uses.

The axes follow the conventions of Heymann et al. (2005, J. Struct. Biol. 151, 196–207): the main axis of Cn and Dn
along z, a two-fold of Dn along x; four-folds of O along the axes; T with a three-fold along z; I1 … I4 as listed in
`_GENERATORS`, I being I2.
"""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor

from burnish.core.errors import InputError

_GOLDEN = (1.0 + math.sqrt(5.0)) / 2.0
_LONG = math.sqrt(_GOLDEN / math.sqrt(5.0))  # 0.8506508: cosine of the angle between neighbouring two- and five-folds
_SHORT = math.sqrt(1.0 - _LONG**2)  # 0.5257311

_GENERATORS: dict[str, tuple[tuple[int, tuple[float, float, float]], ...]] = {
    "T": ((3, (0.0, 0.0, 1.0)), (2, (0.0, math.sqrt(2.0 / 3.0), math.sqrt(1.0 / 3.0)))),
    "O": ((3, (1.0, 1.0, 1.0)), (4, (0.0, 0.0, 1.0))),
    "I1": ((2, (1.0, 0.0, 0.0)), (5, (_LONG, 0.0, -_SHORT))),
    "I2": ((2, (0.0, 0.0, 1.0)), (5, (_SHORT, 0.0, _LONG))),
    "I3": ((2, (-_SHORT, 0.0, _LONG)), (5, (0.0, 0.0, 1.0))),
    "I4": ((2, (_SHORT, 0.0, _LONG)), (5, (0.0, 0.0, 1.0))),
}
_ORDERS = {"T": 12, "O": 24, "I1": 60, "I2": 60, "I3": 60, "I4": 60}


def canonical_name(symmetry: str) -> str:
    """Return the name of a point group in capitals, `I` as `I2`; raise `InputError` for what is not one."""
    name = symmetry.strip().upper()
    if name == "I":
        return "I2"
    if name in _GENERATORS or re.fullmatch(r"[CD][1-9]\d?", name):
        return name
    raise InputError(
        f"symmetry {symmetry!r}: expected C1, C2 …, D1, D2 …, T, O, I, I1, I2, I3 or I4; correct the point group"
    )


def point_group(symmetry: str) -> Tensor:
    """Rotation matrices of a point group, the identity first. (order, 3, 3) float64

    Parameters
    ----------
    symmetry : name of the group, as RELION spells it.

    Notes
    -----
    A map of that symmetry obeys V(S x) = V(x) for every matrix S of the group.

    Examples
    --------
    >>> len(point_group("D7")), len(point_group("I"))
    (14, 60)
    """
    name = canonical_name(symmetry)
    if name in _GENERATORS:
        generators = [_about(axis, 2.0 * math.pi / fold) for fold, axis in _GENERATORS[name]]
        return _closure(generators, _ORDERS[name])
    fold = int(name[1:])
    rotations = [_about((0.0, 0.0, 1.0), 2.0 * math.pi * k / fold) for k in range(fold)]
    if name[0] == "D":
        half_turn = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
        rotations += [half_turn @ r for r in rotations]
    return torch.stack(rotations)


def _about(axis: tuple[float, float, float], angle: float) -> Tensor:
    """Rotation by `angle` (rad) about `axis` (any length)."""
    v = torch.tensor(axis, dtype=torch.float64)
    v = v / v.norm()
    cross = torch.tensor([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]], dtype=torch.float64)
    return torch.eye(3, dtype=torch.float64) + math.sin(angle) * cross + (1.0 - math.cos(angle)) * cross @ cross


def _closure(generators: list[Tensor], order: int) -> Tensor:
    """Every product of the generators."""
    found = [torch.eye(3, dtype=torch.float64)]
    for element in found:  # the list grows while it is walked through
        for generator in generators:
            product = generator @ element
            if all(float((product - f).abs().max()) > 1e-6 for f in found):
                found.append(product)
    if len(found) != order:
        raise AssertionError(f"{len(found)} operators where {order} were expected")
    return torch.stack(found)
