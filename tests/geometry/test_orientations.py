"""Rotations and their sampling."""

from __future__ import annotations

import math

import pytest
import torch

from burnish.geometry.rotations import euler_to_matrix, random_rotations, rotation_angle, rotation_from_vector
from burnish.geometry.sampling import (
    healpix_directions,
    in_asymmetric_unit,
    nested_directions,
    rotation_grid,
    shift_disc,
)
from burnish.io.euler import matrices_from_euler
from burnish.symmetry.point_groups import point_group


def test_euler_angles_are_those_of_the_readers() -> None:
    angles = torch.rand(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 6.0
    ours = euler_to_matrix(*angles.T)
    theirs = matrices_from_euler(*torch.rad2deg(angles).T.numpy())
    assert torch.allclose(ours, theirs, atol=1e-12)


def test_rotation_vector_turns_by_its_length() -> None:
    vector = torch.tensor([[0.1, -0.2, 0.05], [1e-6, 0.0, 0.0]], dtype=torch.float64)
    turned = rotation_from_vector(vector)
    identity = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    assert torch.allclose(rotation_angle(turned, identity), vector.norm(dim=1), rtol=1e-9)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_healpix_is_that_of_astropy(order: int) -> None:
    healpix = pytest.importorskip("astropy_healpix")
    longitude, colatitude = healpix_directions(order)
    index = torch.arange(len(longitude)).numpy()
    lon, lat = healpix.healpix_to_lonlat(index, 2**order, order="ring")
    expected = torch.from_numpy(math.pi / 2 - lat.value)
    assert torch.allclose(colatitude, expected, atol=1e-12)
    turn = (longitude - torch.from_numpy(lon.value)) / (2 * math.pi)
    assert torch.allclose(turn, turn.round(), atol=1e-12)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_nested_order_is_that_of_astropy(order: int) -> None:
    healpix = pytest.importorskip("astropy_healpix")
    longitude, colatitude = nested_directions(order)
    lon, lat = healpix.healpix_to_lonlat(torch.arange(len(longitude)).numpy(), 2**order, order="nested")
    assert torch.allclose(colatitude, torch.from_numpy(math.pi / 2 - lat.value), atol=1e-12)
    turn = (longitude - torch.from_numpy(lon.value)) / (2 * math.pi)
    assert torch.allclose(turn, turn.round(), atol=1e-12)


@pytest.mark.parametrize("name", ["C1", "C5", "D2", "O", "I1"])
def test_asymmetric_unit_holds_one_of_each_orbit(name: str) -> None:
    ops = point_group(name)
    views = random_rotations(500, torch.Generator().manual_seed(1))[:, 2, :]
    orbit = torch.einsum("ni,mij->mnj", views, ops)
    inside = torch.stack([in_asymmetric_unit(o, ops) for o in orbit])
    assert torch.equal(inside.sum(0), torch.ones(500, dtype=torch.int64))


@pytest.mark.parametrize(("name", "order"), [("C1", 1), ("D2", 2), ("O", 2)])
def test_every_rotation_is_near_a_sample(name: str, order: int) -> None:
    ops = point_group(name)
    grid = rotation_grid(order, ops, random_rotations(1, torch.Generator().manual_seed(5))[0])
    wanted = random_rotations(50, torch.Generator().manual_seed(2))
    orbit = torch.einsum("nij,mjk->nmik", wanted, ops)
    traces = torch.einsum("nmij,gij->ngm", orbit, grid).amax((1, 2))
    angle = torch.rad2deg(torch.acos(((traces - 1) / 2).clamp(-1, 1)))
    assert float(angle.max()) < 0.95 * 60 / 2**order  # less than a step away
    assert abs(len(grid) - 12 * 4**order * 6 * 2**order / len(ops)) < 0.15 * len(grid)


def test_shift_disc() -> None:
    shifts = shift_disc(6.0, 2.0)
    assert len(shifts) == 29
    assert bool((shifts == 0).all(1).any())
    assert float(shifts.norm(dim=1).max()) <= 6.0
