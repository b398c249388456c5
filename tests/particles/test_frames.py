"""Halves that have turned against each other, or taken opposite hands, come back into one frame."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from burnish.geometry.rotations import random_rotations
from burnish.particles.controller import Progress
from burnish.particles.expectation import no_modes
from burnish.particles.frames import _about_z, inverted, match_hands, rejoin_halves, turn_between, turned_map
from burnish.particles.lattice import make_lattice
from burnish.particles.modes import Modes
from burnish.particles.projection import cut_slices
from burnish.particles.reconstruct import padded_transform, shell_correlation
from burnish.particles.state import State
from tests.particles.phantom import blobs, density

SIZE, PIXEL = 32, 4.0


def state_of(maps: torch.Tensor, rotation: torch.Tensor) -> State:
    n = len(rotation)
    return State(
        iteration=5, maps=maps, sigma2=torch.ones(2, 1, 17), centre=torch.zeros(n, 2, dtype=torch.int64),
        rotation=rotation, shift=torch.zeros(n, 2), modes=no_modes(), scale=torch.ones(2, 1), norm=torch.ones(n),
        sigma_shift=torch.ones(2), progress=Progress(),
    )  # fmt: skip


@pytest.mark.parametrize("degrees", [11.0, -20.0])
def test_turned_half_comes_back(degrees: float) -> None:
    centres = blobs("C5", count=6)
    turn = _about_z(math.radians(degrees))
    maps = torch.stack([density(centres, SIZE, PIXEL), density(centres @ turn.T, SIZE, PIXEL)])
    rotation = random_rotations(10, torch.Generator().manual_seed(0))
    half = torch.arange(10) % 2
    before = state_of(maps.clone(), torch.where((half == 1)[:, None, None], rotation @ turn.T, rotation))
    after, angle = rejoin_halves(before, half, "C5", 1.5, 10.0)
    assert math.degrees(angle) == pytest.approx(degrees, abs=0.6)
    assert float(shell_correlation(after.maps[0], after.maps[1])[2:9].min()) > 0.97
    assert float((after.rotation - rotation).abs().max()) < 0.012
    assert torch.equal(before.maps, maps)  # inputs unchanged


def test_halves_in_one_frame_are_left_alone() -> None:
    generator = torch.Generator().manual_seed(1)
    truth = density(blobs("C5", count=6), SIZE, PIXEL)
    noise = 0.5 * truth.std() * torch.randn(2, *truth.shape, generator=generator)
    state = state_of(truth + noise, random_rotations(4, generator))
    for symmetry in ("C5", "D5", "C1"):
        after, angle = rejoin_halves(state, torch.arange(4) % 2, symmetry, 1.5, 10.0)
        assert angle == 0.0 and after is state


def test_turned_map_and_angle_go_together() -> None:
    truth = density(blobs("C3", count=5), SIZE, PIXEL)
    turned = turned_map(truth, _about_z(math.radians(-15.0)))
    angle, gain = turn_between(truth, turned, 3, 1.0, 10.0)
    assert math.degrees(angle) == pytest.approx(15.0, abs=0.6) and gain > 0.5


def test_mirrored_half_comes_back_and_shows_the_same_projections() -> None:
    truth = density(blobs("C1"), SIZE, PIXEL)
    rotation = random_rotations(6, torch.Generator().manual_seed(3))
    half = torch.arange(6) % 2
    before = state_of(torch.stack([truth, inverted(truth)]), rotation)
    information = torch.arange(25, dtype=torch.float64).reshape(1, 5, 5).expand(6, 5, 5)
    modes = Modes(
        owner=torch.arange(6), rotation=rotation, shift=torch.zeros(6, 2, dtype=torch.float64),
        log_weight=torch.zeros(6, dtype=torch.float64), information=information,
    )  # fmt: skip
    before = replace(before, modes=modes)
    after, mirrored = match_hands(before, half, 1.5, 9.0)
    assert mirrored and torch.allclose(after.maps[1], truth)
    assert torch.equal(after.rotation[half == 0], rotation[half == 0])
    assert torch.equal(after.modes.rotation, after.rotation)
    # a turn about x or y of the mirrored view is the opposite turn of the view: products with others change sign
    assert torch.equal(after.modes.information[1, 0, 2:], -information[1, 0, 2:])
    assert torch.equal(after.modes.information[0], information[0])
    coordinates = make_lattice(SIZE, 1.0, 8).coordinates
    seen = [
        cut_slices(padded_transform(m, 8), r, coordinates)
        for m, r in ((before.maps[1], before.rotation), (after.maps[1], after.rotation))
    ]
    # cut from a smaller box, whose outermost planes have no mirror image: hence not to rounding
    assert float((seen[0] - seen[1])[half == 1].norm() / seen[0].norm()) < 0.02


def test_halves_of_one_hand_are_left_alone() -> None:
    generator = torch.Generator().manual_seed(4)
    truth = density(blobs("C1"), SIZE, PIXEL)
    noise = truth.std() * torch.randn(2, *truth.shape, generator=generator)
    for maps in (truth + noise, noise):
        state = state_of(maps, random_rotations(4, generator))
        after, mirrored = match_hands(state, torch.arange(4) % 2, 1.5, 10.0)
        assert after is state and not mirrored
