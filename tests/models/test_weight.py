"""The controller of the balance, without any data."""

import math
from dataclasses import replace

import pytest

from burnish.models.weight import (
    Balance,
    BalanceLimits,
    CycleQuality,
    first_map_weight,
    first_weight,
    half_map_weight,
    plan_balance,
)

LIMITS = BalanceLimits()


def _q(bond_z, angle_z, free=5.0, balance=Balance(data=10.0)):  # noqa: B008
    return CycleQuality(balance=balance, bond_z=bond_z, angle_z=angle_z, free_value=free)


def _three(*args, **kwargs):
    return [_q(*args, **kwargs)] * 3


def test_wide_angles_tighten_angles_and_wide_bonds_bonds():
    after = plan_balance(_three(0.8, 1.5), LIMITS)
    assert after.angle > 1.1
    assert (after.bond, after.data) == (1.0, 10.0)
    after = plan_balance(_three(1.3, 0.9), LIMITS)
    assert after.bond > 1.1
    assert (after.angle, after.data) == (1.0, 10.0)


def test_the_data_give_way_where_factors_end():
    ended = Balance(data=10.0, bond=LIMITS.bond[1], angle=LIMITS.angle[1])
    after = plan_balance(_three(0.8, 1.5, balance=ended), LIMITS)
    assert after.data < 9.0
    assert after.angle == LIMITS.angle[1]


def test_geometry_on_its_way_is_left_alone():
    history = [_q(10.0, 4.0), _q(3.0, 2.0), _q(1.8, 1.3)]
    assert plan_balance(history, LIMITS) == history[-1].balance
    assert plan_balance([_q(5.0, 5.0)] * 2, LIMITS) == Balance(data=10.0)


def test_geometry_of_positions_that_stay_says_nothing():
    assert plan_balance(_three(8.0, 2.2), LIMITS) != Balance(data=10.0)
    assert plan_balance(_three(8.0, 2.2), LIMITS, positions=False) == Balance(data=10.0)
    worse = [_q(8.0, 2.2, 6.0), _q(8.0, 2.2, 5.0), _q(8.0, 2.2, 5.01)]
    assert plan_balance(worse, LIMITS, positions=False).data == pytest.approx(8.0)


def test_the_weight_grows_while_less_is_fitted_than_could_be():
    limits = replace(LIMITS, raised=2.0)

    def history(missing, data=10.0):
        first = replace(_q(0.8, 0.9), missing_fit=missing[0])
        later = [replace(_q(0.8, 0.9, balance=Balance(data=data)), missing_fit=m) for m in missing[1:]]
        return [first, *later]

    assert plan_balance(history([0.05, 0.011, 0.01]), limits).data > 12.0
    assert plan_balance(history([0.05, 0.020, 0.01]), limits).data == 10.0  # it is on its way
    assert plan_balance(history([0.05, 0.001, -0.001]), limits).data == 10.0
    assert plan_balance(history([0.05, 0.011, 0.01], data=19.0), limits).data == pytest.approx(20.0)  # no farther
    assert plan_balance(history([0.05, 0.011, 0.01]), LIMITS).data == 10.0


def test_bonds_that_widen_under_a_growing_weight_are_met():
    limits = replace(LIMITS, slack_angle_z=0.9)
    widening = [_q(0.6, 0.8), _q(0.6, 0.8), _q(0.85, 0.8)]
    soon = 0.85**2 / 0.6  # as much wider again
    assert plan_balance(widening, replace(limits, largest_step=9.0)).bond == pytest.approx((soon / 0.95) ** 3)
    assert plan_balance(widening, limits).bond == LIMITS.largest_step
    assert plan_balance(widening, LIMITS).bond == 1.0
    level = [_q(0.6, 0.6), _q(0.6, 0.6), _q(0.6, 0.6)]
    most = 1.25 * level[-1].balance.data  # however much room there is
    assert plan_balance(level, limits).data == pytest.approx(most)


def test_tight_bonds_are_let_go():
    after = plan_balance(_three(0.3, 0.7), LIMITS)
    assert LIMITS.bond[0] <= after.bond < 0.7


def test_free_reflections_that_fit_worse_lower_the_weight():
    history = [_q(0.8, 0.9, 6.0), _q(0.8, 0.9, 5.0), _q(0.8, 0.9, 5.01)]
    assert plan_balance(history, LIMITS).data == pytest.approx(8.0)
    improving = [_q(0.8, 0.9, 6.0), _q(0.8, 0.9, 5.01), _q(0.8, 0.9, 5.0)]
    assert plan_balance(improving, LIMITS).data == 10.0
    unknown = _three(0.8, 0.9, math.nan)
    assert plan_balance(unknown, LIMITS).data == 10.0


def test_a_weight_that_has_fallen_too_far_comes_back():
    def q(data, free, work):
        return replace(_q(0.8, 0.9, free, balance=Balance(data=data)), work_value=work)

    too_low = [q(10.0, 6.0, 6.0), q(10.0, 5.0, 4.8), q(8.0, 5.01, 4.79), q(6.4, 5.02, 4.85)]
    assert plan_balance(too_low, LIMITS).data == pytest.approx(8.0)  # both sets fit worse than at a weight of 10
    assert plan_balance(too_low[:3], LIMITS).data == pytest.approx(6.4)  # the working set alone fits better
    near = [*too_low[:2], q(9.0, 5.02, 4.85)]
    assert plan_balance(near, LIMITS).data == pytest.approx(10.0)  # no further than where it was best


def test_controller_brings_a_simple_world_to_its_limits():
    history = [_q(10.0, 5.0, balance=Balance(data=20.0))]
    for _ in range(40):
        b = plan_balance(history, LIMITS)
        history.append(_q(0.3 * (b.data / b.bond) ** 0.5, 0.55 * (b.data / b.angle) ** 0.5, balance=b))
    assert history[-1].angle_z <= LIMITS.angle_z + 0.05
    assert LIMITS.bond_z[0] - 0.05 <= history[-1].bond_z <= LIMITS.bond_z[1] + 0.05


def test_first_weight_grows_with_the_resolution_limit():
    assert first_weight(3.0) > first_weight(1.5) > 1


def test_weights_against_maps() -> None:
    assert half_map_weight(0.2) == pytest.approx(2.0 * half_map_weight(0.1))
    assert first_map_weight(3.5) > first_map_weight(3.0)
    assert first_map_weight(8.0) == first_map_weight(5.5)  # grows no further


def test_a_raised_factor_comes_down_as_fast_as_the_limits_allow() -> None:
    history = [
        CycleQuality(balance=Balance(data=1.0, bond=4.0), bond_z=z, angle_z=0.5, free_value=math.nan)
        for z in (1.2, 0.8, 0.6)
    ]
    slow = plan_balance(history, BalanceLimits())
    fast = plan_balance(history, BalanceLimits(release=0.4))
    assert slow.bond == pytest.approx(3.0)
    assert fast.bond == pytest.approx(4.0 * max(0.4, (0.6 / 0.95) ** 2))


def test_data_gain_weight_while_bonds_are_let_go() -> None:
    history = [
        CycleQuality(balance=Balance(data=1.0, bond=2.0), bond_z=0.7, angle_z=0.5, free_value=math.nan)
        for _ in range(3)
    ]
    now = plan_balance(history, BalanceLimits(slack_angle_z=0.9))
    assert now.bond < 2.0
    assert now.data > 1.0
