"""Weight of the data against geometry: a controller that sees a few numbers of each cycle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightLimits:
    """Where geometry should end.

    Attributes
    ----------
    bond_z : rms Z of bonds, lowest and highest.
    angle_z : highest rms Z of angles.
    overfit : how much the −log likelihood of a free reflection may rise above its best before the data lose weight.
    """

    bond_z: tuple[float, float] = (0.5, 1.0)
    angle_z: float = 1.15
    overfit: float = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleQuality:
    """What one cycle ended with.

    Attributes
    ----------
    weight : that was used.
    bond_z, angle_z : rms Z without hydrogens.
    free_value : −log likelihood per free reflection; NaN without a free set.
    """

    weight: float
    bond_z: float
    angle_z: float
    free_value: float


def first_weight(d_min: float) -> float:
    """Weight to start from, by resolution (Å).

    Notes
    -----
    exp(0.9104 d + 0.2162): the value that Servalcat starts from, fitted by its authors over many structures.
    """
    return math.exp(0.9104 * d_min + 0.2162)


def plan_weight(history: Sequence[CycleQuality], limits: WeightLimits) -> float:
    """Weight of the next cycle.

    Geometry too wide in bonds or in angles, and not on its way back by itself, lowers the weight in proportion to
    the excess; geometry tighter than needed raises it, unless the free reflections have begun to fit worse.
    """
    now = history[-1]
    if len(history) < 2:
        return now.weight
    before = history[-2]
    excess = max(now.bond_z / limits.bond_z[1], now.angle_z / limits.angle_z)
    excess_before = max(before.bond_z / limits.bond_z[1], before.angle_z / limits.angle_z)
    if excess > 1.0:
        falling = excess < 0.9 * excess_before
        return now.weight if falling else now.weight / min(2.0, max(1.1, excess**1.5))
    best = min((q.free_value for q in history if math.isfinite(q.free_value)), default=math.nan)
    overfits = math.isfinite(best) and now.free_value > best + limits.overfit
    settled = excess > 0.9 * excess_before
    if now.bond_z < limits.bond_z[0] and settled and not overfits:
        return now.weight * min(1.5, limits.bond_z[0] / max(now.bond_z, 0.1) * 1.1)
    return now.weight
