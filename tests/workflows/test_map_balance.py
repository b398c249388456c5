"""The balance of data and restraints against maps."""

from dataclasses import replace

import pytest

from burnish.models.refinement_settings import RefinementSettings
from burnish.models.weight import first_map_weight
from burnish.workflows.map_balance import balance_against_maps, half_map_settings


def test_one_map_and_half_maps_are_weighed_differently() -> None:
    usual = RefinementSettings()
    one, halves = (balance_against_maps(usual, 3.4, filled) for filled in (None, 0.1))
    assert one.settings.first_weight == first_map_weight(3.4)
    assert one.settings.adp_weight == usual.adp_weight
    assert one.limits.slack_angle_z > halves.limits.slack_angle_z == 0.0  # half maps judge the weight themselves
    assert halves.limits.raised > one.limits.raised == 1.0
    assert halves.settings.geometry.contact > one.settings.geometry.contact > usual.geometry.contact
    assert balance_against_maps(replace(usual, largest_move=1.0), 3.4, None).settings.largest_move == 1.0


def test_what_is_not_steered_keeps_pace_with_the_weight_against_half_maps() -> None:
    usual = RefinementSettings(ramachandran_weight=2.0)
    one, less = (half_map_settings(usual, 3.4, closeness, 0.1) for closeness in (1.0, 0.25))
    assert one.first_weight == pytest.approx(4.0 * (less.first_weight or 0.0))
    assert one.adp_weight == pytest.approx(4.0 * less.adp_weight)
    assert less.jelly_body == pytest.approx(2.0 * (one.jelly_body or 0.0))  # energies go with 1/σ²
    assert one.geometry == less.geometry
    assert one.geometry.plane > one.geometry.chiral > usual.geometry.chiral
    assert one.geometry.bond == usual.geometry.bond  # steered by its own factor
    assert one.ramachandran_weight > usual.ramachandran_weight
    assert half_map_settings(usual, 2.0, 1.0, 0.1).jelly_body is None  # where crystals have none
    assert half_map_settings(replace(usual, jelly_body=0.0), 3.4, 1.0, 0.1).jelly_body == 0.0


def test_beyond_one_b_and_positions_are_held_less_and_nothing_jumps_there() -> None:
    usual = RefinementSettings()
    one, just, close = (half_map_settings(usual, 3.4, closeness, 0.1) for closeness in (1.0, 1.0 + 1e-9, 4.0))
    for name in ("first_weight", "adp_weight", "jelly_body"):
        assert getattr(just, name) == pytest.approx(getattr(one, name))
    assert close.first_weight == pytest.approx(2.0 * (one.first_weight or 0.0))
    assert close.jelly_body == pytest.approx(4.0 * (one.jelly_body or 0.0))
    assert close.adp_weight == pytest.approx(one.adp_weight / 16.0)
    assert close.geometry == one.geometry  # its bonds and angles are steered, the rest must not bend
