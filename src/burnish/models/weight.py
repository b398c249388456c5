"""Balance of data, bonds and angles: a controller that sees a few numbers of each cycle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_MORE_DATA = 1.3  # by which the data gain weight in a cycle that fits them less well than it might
_MORE_BY_SLACK = 1.25  # the same while geometry has slack
_WIDENING = 3  # power of the excess by which bonds are tightened that have begun to widen: they are late already
_BACK = 1.25  # by which the weight falls in a cycle that fits the free reflections worse
_SLACK = 0.95  # of a limit: a factor that was raised beyond need comes down again
_LARGEST_FITTED = 5.5  # Å; weights against maps do not grow beyond it
_NEAR = 0.5  # of the fit that is missing: who gained so much of it in the last cycle will soon have it all
_SETTLED = 0.9  # an rms Z that fell by more than to this fraction in the last cycle is still on its way


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Factors on the parts of the target.

    Attributes
    ----------
    data : weight of the data.
    bond, angle : factors on the energies of bonds and angles.
    """

    data: float
    bond: float = 1.0
    angle: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceLimits:
    """Where geometry should end.

    Attributes
    ----------
    bond_z : rms Z of bonds, lowest and highest.
    angle_z : highest rms Z of angles.
    bond, angle : range of the factors; beyond them the weight of the data gives way.
    overfit : how much the −log likelihood of a free reflection may rise above its best before the data lose weight.
    largest_step : most by which a factor changes in one cycle.
    far_bond_z : rms Z of bonds from which they are tightened even while they are on their way.
    raised : how far the weight of the data may grow above the first one, as a factor, while they are fitted less well
        than a model without errors would fit them.
    release : least factor by which a raised factor comes down in a cycle.
    slack_angle_z : rms Z of angles below which the data gain weight while bonds allow; 0 for data with a free set,
        which judges the weight better.
    """

    bond_z: tuple[float, float] = (0.55, 0.95)
    angle_z: float = 1.1
    bond: tuple[float, float] = (0.2, 3.0)
    angle: tuple[float, float] = (1.0, 4.0)
    overfit: float = 0.003
    largest_step: float = 1.6
    far_bond_z: float = math.inf
    slack_angle_z: float = 0.0
    raised: float = 1.0
    release: float = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleQuality:
    """What one cycle ended with.

    Attributes
    ----------
    balance : that was used.
    bond_z, angle_z : rms Z without hydrogens.
    free_value : −log likelihood per free reflection; NaN without a free set.
    work_value : the same per working reflection.
    missing_fit : by how much the correlation with the data is below that of a model without errors; NaN where unknown.
    """

    balance: Balance
    bond_z: float
    angle_z: float
    free_value: float
    work_value: float = math.nan
    missing_fit: float = math.nan


def first_weight(d_min: float) -> float:
    """Weight of the data to start from, by resolution (Å).

    Notes
    -----
    0.6 exp(0.9104 d + 0.2162): six tenths of what Servalcat starts from. With it the free likelihood of the cases at
    1.6 to 3 Å was better than with the whole.
    """
    return 0.6 * math.exp(0.9104 * d_min + 0.2162)


def first_map_weight(resolution: float) -> float:
    """Weight to start from against maps of single particles, by resolution (Å).

    Notes
    -----
    2 exp(−1.7588 + 0.6311 d), exp() from 0.2 on: the regression of Servalcat's authors over 472 cases, but not
    beyond 5.5 Å: at 6.6 Å it leaves bonds wider than asked for a while. Twice, because coefficients count once here,
    and their Friedel mates as well there.
    """
    return 2.0 * max(0.2, math.exp(-1.7588 + 0.6311 * min(resolution, _LARGEST_FITTED)))


def half_map_weight(filled: float) -> float:
    """Weight against half maps, whose noise is known.

    Parameters
    ----------
    filled : share of the box that the mask leaves.

    Notes
    -----
    Coefficients of a masked map are sums of their neighbours: of all of them only as many are independent as the mask
    leaves of the box, and the likelihood counts each. Independent ones alone (a factor of one) leave bonds tighter than
    they are found; with 3 to 6 half map 2 is predicted best, at the lower end positions are nearest to the truth, and
    with 30 noise is fitted (benchmarks/README.md).
    """
    return 32.5 * filled


def plan_balance(history: Sequence[CycleQuality], limits: BalanceLimits, *, positions: bool = True) -> Balance:
    """Balance of the next cycle.

    Bonds and angles are steered on their own by their own factors: wide angles are tightened without giving up the
    fit, and bonds that are tighter than their σ ask are let go. Only where a factor has come to its end does the
    weight of the data fall, or where the free reflections have begun to fit worse.

    Parameters
    ----------
    positions : whether they are refined; where they stay, geometry says nothing about the weight.
    """
    now = history[-1]
    if len(history) < 3:
        return now.balance
    before = history[-2]
    data, bond, angle = now.balance.data, now.balance.bond, now.balance.angle
    if not positions:
        return Balance(data=data * _by_free_set(history, limits.overfit), bond=bond, angle=angle)
    soon = now.bond_z * max(1.0, now.bond_z / max(before.bond_z, 0.1))  # bonds that have begun to widen will go on
    bond_settled = now.bond_z > _SETTLED * before.bond_z or now.bond_z > limits.far_bond_z
    if now.angle_z > limits.angle_z and now.angle_z > _SETTLED * before.angle_z:
        step = min(limits.largest_step, (now.angle_z / limits.angle_z) ** 2 * 1.1)
        data, angle = _tighten(data, angle, limits.angle[1], step)
    elif now.angle_z < _SLACK * limits.angle_z and angle > limits.angle[0]:
        angle = max(limits.angle[0], angle * max(limits.release, (now.angle_z / limits.angle_z) ** 2))
    if now.bond_z > limits.bond_z[1] and bond_settled:
        step = min(limits.largest_step, (now.bond_z / limits.bond_z[1]) ** 2 * 1.1)
        data, bond = _tighten(data, bond, limits.bond[1], step)
    elif limits.slack_angle_z > 0.0 and soon > limits.bond_z[1]:  # their weight grows: it must not run ahead of bonds
        data, bond = _tighten(
            data, bond, limits.bond[1], min(limits.largest_step, (soon / limits.bond_z[1]) ** _WIDENING)
        )
    elif now.bond_z < limits.bond_z[0]:
        bond = max(limits.bond[0], bond / min(2.5, (limits.bond_z[0] / max(now.bond_z, 0.1)) ** 2 * 1.1))
    elif now.bond_z < _SLACK * limits.bond_z[1] and bond > 1.0:
        bond = max(1.0, bond * max(limits.release, (now.bond_z / limits.bond_z[1]) ** 2))
    room = min(limits.slack_angle_z / max(now.angle_z, 0.1), limits.bond_z[1] / max(soon, 0.1))
    if room > 1.05 and bond <= now.balance.bond and angle <= now.balance.angle:
        data *= min(_MORE_BY_SLACK, room)
    on_its_way = before.missing_fit - now.missing_fit > _NEAR * now.missing_fit
    if now.missing_fit > 0.0 and data == now.balance.data and not on_its_way:
        data *= max(1.0, min(_MORE_DATA, limits.raised * history[0].balance.data / data))
    return Balance(data=data * _by_free_set(history, limits.overfit), bond=bond, angle=angle)


def _by_free_set(history: Sequence[CycleQuality], overfit: float) -> float:
    """Factor on the weight of the data: below one where the free reflections fit worse than they did and the working
    ones do not, above one where both fit worse because the weight has fallen since."""
    now = history[-1]
    known = [q for q in history[1:] if math.isfinite(q.free_value)]
    if not known or not math.isfinite(now.free_value):
        return 1.0
    best = min(known, key=lambda q: q.free_value)
    if now.free_value <= best.free_value + overfit:
        return 1.0
    if now.work_value > best.work_value and now.balance.data < best.balance.data:
        return min(_BACK, best.balance.data / now.balance.data)
    return 1.0 / _BACK


def _tighten(data: float, factor: float, highest: float, step: float) -> tuple[float, float]:
    """Raise a factor; what it cannot take lowers the weight of the data."""
    raised = min(highest, factor * step)
    return data / (factor * step / raised), raised
