"""Symmetry of a particle about a centre: point groups, and helices along z."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from burnish.data.particle_symmetry import ParticleSymmetry
from burnish.symmetry.point_groups import canonical_name, point_group


def point_symmetry(name: str, centre: Sequence[float]) -> ParticleSymmetry:
    """Operations of a point group about a centre.

    Parameters
    ----------
    name : C5, D2, T, O, I … in RELION's settings.
    centre : (x, y, z) where the axes meet, Å.

    Examples
    --------
    >>> fourfold = point_symmetry("C4", (10.0, 0.0, 0.0))
    >>> (fourfold.rotation[1] @ [11.0, 0.0, 5.0] + fourfold.shift[1]).round(6)
    array([10.,  1.,  5.])
    """
    rotation = point_group(name).numpy()
    middle = np.asarray(centre, dtype=np.float64)
    return ParticleSymmetry(name=canonical_name(name), rotation=rotation, shift=middle - rotation @ middle)


def helical_symmetry(
    twist: float, rise: float, centre: Sequence[float], copies: Sequence[int], fold: int = 1
) -> ParticleSymmetry:
    """Copies of one subunit of a helix whose axis lies along z.

    Parameters
    ----------
    twist : rotation from one subunit to the next, rad; positive is counter-clockwise seen from +z.
    rise : along the axis, Å.
    centre : a point of the axis, Å.
    copies : which subunits, counted from the one that is modelled (number 0, which need not be among them).
    fold : of a rotation about the same axis.
    """
    others = [k for k in copies if k != 0]
    middle = np.asarray(centre, dtype=np.float64)
    rotations, shifts = [], []
    for k in [0, *others]:
        for j in range(fold):
            angle = k * twist + 2.0 * math.pi * j / fold
            c, s = math.cos(angle), math.sin(angle)
            rotation = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
            rotations.append(rotation)
            shifts.append(middle - rotation @ middle + np.array([0.0, 0.0, k * rise]))
    name = f"helix of {math.degrees(twist):.2f}° and {rise:.2f} Å" + (f" with C{fold}" if fold > 1 else "")
    return ParticleSymmetry(name=name, rotation=np.array(rotations), shift=np.array(shifts))
