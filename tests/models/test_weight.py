"""The controller of the weight, without any data."""

import math

import pytest

from burnish.models.weight import CycleQuality, WeightLimits, first_weight, plan_weight

LIMITS = WeightLimits()


def _q(weight, bond_z, angle_z, free=5.0):
    return CycleQuality(weight=weight, bond_z=bond_z, angle_z=angle_z, free_value=free)


def test_angles_lower_the_weight_as_bonds_do():
    for bond, angle in ((1.3, 0.9), (0.8, 1.5)):
        history = [_q(10, bond, angle), _q(10, bond, angle)]
        assert plan_weight(history, LIMITS) < 10 / 1.09


def test_geometry_on_its_way_back_is_left_alone():
    assert plan_weight([_q(10, 10.0, 4.0), _q(10, 1.8, 1.3)], LIMITS) == 10


def test_tight_geometry_raises_the_weight_unless_free_reflections_object():
    tight = [_q(10, 0.4, 0.7, 5.0), _q(10, 0.4, 0.7, 4.99)]
    assert plan_weight(tight, LIMITS) > 10
    overfit = [_q(10, 0.4, 0.7, 5.0), _q(10, 0.4, 0.7, 5.05)]
    assert plan_weight(overfit, LIMITS) == 10


def test_a_missing_free_set_does_not_stop_the_controller():
    tight = [_q(10, 0.4, 0.7, math.nan), _q(10, 0.4, 0.7, math.nan)]
    assert plan_weight(tight, LIMITS) > 10


def test_good_geometry_keeps_the_weight_and_the_first_cycle_too():
    assert plan_weight([_q(10, 0.8, 0.9), _q(10, 0.8, 0.9)], LIMITS) == 10
    assert plan_weight([_q(10, 5.0, 5.0)], LIMITS) == 10


def test_controller_brings_a_simple_world_to_its_limits():
    weight, history = 20.0, []
    for _ in range(40):
        history.append(_q(weight, 0.3 * weight**0.5, 0.55 * weight**0.5))
        weight = plan_weight(history, LIMITS)
    assert history[-1].angle_z == pytest.approx(LIMITS.angle_z, abs=0.1)
    assert history[-1].bond_z <= 1.0


def test_first_weight_grows_with_the_resolution_limit():
    assert first_weight(3.0) > first_weight(1.5) > 1
