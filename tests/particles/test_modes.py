"""Gauss–Newton modes: gradient, recovery, weights."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from burnish.geometry.rotations import random_rotations, rotation_angle, rotation_from_vector
from burnish.particles import kernels
from burnish.particles import modes as local
from burnish.particles.images import ImageBlock
from burnish.particles.lattice import Lattice, make_lattice
from burnish.particles.projection import PADDING, FourierVolume, empty_sums, flat_floats
from burnish.particles.reconstruct import fold_origin_plane, padded_transform, solve_map
from burnish.symmetry.point_groups import point_group
from tests.particles.phantom import blobs, density, projections

SIZE, PIXEL, RADIUS, COUNT = 32, 4.0, 13, 6


@pytest.fixture(scope="module")
def case() -> tuple[FourierVolume, ImageBlock, Lattice, torch.Tensor, torch.Tensor]:
    """Noise-free images of a phantom at known rotations and shifts (px)."""
    generator = torch.Generator().manual_seed(7)
    rotation, shift = (
        random_rotations(COUNT, generator),
        torch.randn(COUNT, 2, generator=generator, dtype=torch.float64),
    )
    centres = blobs("C1")
    images = projections(centres, rotation, shift * PIXEL, SIZE, PIXEL)
    lattice = make_lattice(SIZE, 1.0, RADIUS)
    kx, ky = lattice.pixels.long().T
    f = torch.fft.rfft2(torch.fft.ifftshift(images, dim=(1, 2)))[:, ky % SIZE, kx].contiguous()
    block = ImageBlock(
        index=torch.arange(COUNT), half=0, group=0, masked=f, whole=f, transfer=torch.ones(COUNT, len(kx))
    )
    return padded_transform(density(centres, SIZE, PIXEL), RADIUS), block, lattice, rotation, shift


def climber_of(case: tuple, variance: float = 1e-4) -> local.Climber:  # type: ignore[type-arg]
    volume, block, lattice, _, _ = case
    return local.Climber(
        volumes=dict.fromkeys(range(1, RADIUS + 1), volume),
        block=block,
        lattice=lattice,
        precision=torch.full((len(lattice.shell),), 1.0 / variance),
        centres=torch.zeros(COUNT, 2, dtype=torch.int64),
        sigma_shift=100.0,
        operators=point_group("C1"),
    )


def sums(case: tuple, rotation: torch.Tensor, shift: torch.Tensor) -> tuple[float, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    volume, block, lattice, _, _ = case
    tables = [np.zeros(2 * lattice.reach + 1, np.complex64) for _ in range(2)]
    kernels._phase_tables(float(shift[0]), float(shift[1]), lattice.reach, float(SIZE), *tables)
    gradient, hessian = np.zeros(5), np.zeros((5, 5))
    score = kernels._mode_sums(
        flat_floats(volume), volume.half, float(PADDING), rotation.numpy(), lattice.coordinates.numpy(),
        lattice.pixels.numpy(), lattice.reach, float(SIZE), block.masked[0].numpy(), block.transfer[0].numpy(),
        np.ones(len(lattice.shell), np.float32), 1, len(lattice.shell), *tables, gradient, hessian,
    )  # fmt: skip
    return score, gradient, hessian


def test_gradient_is_the_slope_of_the_score(case: tuple) -> None:  # type: ignore[type-arg]
    _, _, _, rotation, shift = case
    start = rotation_from_vector(torch.tensor([0.05, -0.08, 0.06], dtype=torch.float64)) @ rotation[0]
    moved = shift[0] + torch.tensor([0.4, -0.3], dtype=torch.float64)
    _, gradient, hessian = sums(case, start, moved)
    step = 2e-3  # the volume is piecewise trilinear: a secant averages over kinks, so agreement is to a few per cent
    for axis in range(5):
        ends = []
        for sign in (1, -1):
            move = torch.zeros(5, dtype=torch.float64)
            move[axis] = sign * step
            ends.append(sums(case, rotation_from_vector(move[:3]) @ start, moved + move[3:])[0])
        slope = (ends[0] - ends[1]) / (2 * step)
        assert slope == pytest.approx(gradient[axis], rel=0.05, abs=0.01 * float(np.abs(gradient).max()))
    assert np.allclose(hessian, hessian.T) and (np.linalg.eigvalsh(hessian) > 0).all()


def test_climbs_to_the_truth(case: tuple) -> None:  # type: ignore[type-arg]
    _, _, _, rotation, shift = case
    generator = torch.Generator().manual_seed(8)
    off = torch.randn(COUNT, 3, generator=generator, dtype=torch.float64)
    off = off / off.norm(dim=1, keepdim=True) * math.radians(6.0)
    start = local.new_modes(torch.arange(COUNT), rotation_from_vector(off) @ rotation, shift + 0.7)
    found = local.march(start, climber_of(case), local.march_radii(8, RADIUS), limit=4, window=1e9)
    assert float(torch.rad2deg(rotation_angle(found.rotation, rotation)).max()) < 0.5
    assert float((found.shift - shift).norm(dim=1).max()) < 0.05
    assert torch.equal(start.shift, shift + 0.7)  # inputs unchanged


def test_alike_modes_are_merged_and_weights_sum_to_one(case: tuple) -> None:  # type: ignore[type-arg]
    _, _, _, rotation, shift = case
    owner = torch.arange(COUNT).repeat_interleave(3)
    turn = torch.tensor([[0.0, 0, 0], [1e-4, 0, 0], [0.3, 0.2, 0.0]], dtype=torch.float64).repeat(COUNT, 1)
    three = local.new_modes(owner, rotation_from_vector(turn) @ rotation[owner], shift[owner])
    weighed = local.climb(three, climber_of(case, variance=1e6), RADIUS, steps=0)
    kept = local.prune(weighed, COUNT, window=1e9, limit=8, same_angle=0.01, operators=point_group("C1"))
    assert len(kept) == 2 * COUNT
    weights = local.mode_weights(kept, COUNT)
    assert torch.allclose(
        torch.zeros(COUNT, dtype=torch.float64).index_add(0, kept.owner, weights),
        torch.ones(COUNT, dtype=torch.float64),
    )


def test_sigma_points_have_the_posterior_s_covariance() -> None:
    width = torch.tensor([0.08, 0.05, 0.03], dtype=torch.float64)
    information = torch.diag(torch.cat([1 / width**2, torch.tensor([4.0, 4.0], dtype=torch.float64)]))[None]
    mode = local.Modes(
        owner=torch.zeros(1, dtype=torch.int64),
        rotation=torch.eye(3, dtype=torch.float64)[None],
        shift=torch.zeros(1, 2, dtype=torch.float64),
        log_weight=torch.zeros(1, dtype=torch.float64),
        information=information,
    )
    placed = local.placements(mode, torch.ones(1, dtype=torch.float64), 30)
    assert len(placed.owner) == 4 and float(placed.weight.sum()) == pytest.approx(1.0)
    antisymmetric = 0.5 * (placed.rotation - placed.rotation.mT)
    vector = torch.stack([antisymmetric[:, 2, 1], antisymmetric[:, 0, 2], antisymmetric[:, 1, 0]], 1)
    covariance = torch.einsum("p,pi,pj->ij", placed.weight, vector, vector)
    assert torch.allclose(torch.diagonal(covariance).sqrt(), width, rtol=0.02)
    assert torch.allclose(placed.blur, torch.full((4,), 0.25, dtype=torch.float64), rtol=1e-3)


def test_small_solver_is_that_of_numpy() -> None:
    a = np.random.default_rng(0).normal(size=(5, 5))
    matrix, right, out = a @ a.T + 0.1 * np.eye(5), np.arange(5.0), np.zeros(5)
    kernels._solve(matrix.copy(), right, out)
    assert np.allclose(out, np.linalg.solve(matrix, right), rtol=1e-9)


def test_an_image_s_own_noise_in_the_reference_does_not_hold_it(case: tuple) -> None:  # type: ignore[type-arg]
    _, block, lattice, rotation, shift = case
    generator = torch.Generator().manual_seed(9)
    turn = torch.randn(COUNT, 3, generator=generator, dtype=torch.float64)
    turn = 0.01 * turn / turn.norm(dim=1, keepdim=True)  # less than half a Fourier pixel at the radius
    start = local.new_modes(torch.arange(COUNT), rotation_from_vector(turn) @ rotation, shift)
    deviation = float(block.whole.abs().square().mean().sqrt())
    noise = deviation * torch.randn(block.whole.shape, dtype=torch.complex64, generator=generator)
    precision = torch.full((len(lattice.shell),), 1.0 / deviation**2)
    sums = empty_sums(RADIUS)
    placed = local.Placements(
        owner=start.owner, rotation=start.rotation, shift=start.shift,
        weight=torch.ones(COUNT, dtype=torch.float64), blur=torch.zeros(COUNT, dtype=torch.float64),
    )  # fmt: skip
    planes = (0, sums.values.shape[0])
    local.insert_placements(sums, placed, replace(block, whole=noise), lattice, precision, planes)
    own = solve_map(fold_origin_plane(sums), SIZE, None)
    reference = padded_transform(density(blobs("C1"), SIZE, PIXEL) + 0.5 * own, RADIUS)
    noisy = replace(
        climber_of(case),
        volumes={RADIUS: reference},
        block=replace(block, masked=block.masked + noise, whole=block.whole + noise),
        precision=precision,
    )
    strict, taken = local.climb(start, noisy, RADIUS, 1), local.step_carried(start, noisy, RADIUS, 1)
    score = local.climb(start, noisy, RADIUS, 0).log_weight
    moved = rotation_angle(taken.rotation, start.rotation)
    held = moved > rotation_angle(strict.rotation, start.rotation)
    short = moved < 4.0 * local.same_angle(RADIUS)
    assert bool((strict.log_weight >= score).all())
    assert bool((taken.log_weight < score)[held].any())  # these left the spike
    assert bool((taken.log_weight >= score)[~short].all())  # longer steps must still gain


def test_a_refused_step_is_tried_again_shorter(case: tuple) -> None:  # type: ignore[type-arg]
    """A reference of a third of its strength: the whole step lowers the score, a shorter one raises it."""
    volume, _, _, rotation, shift = case
    generator = torch.Generator().manual_seed(10)
    turn = torch.randn(COUNT, 3, generator=generator, dtype=torch.float64)
    turn = 0.01 * turn / turn.norm(dim=1, keepdim=True)
    start = local.new_modes(torch.arange(COUNT), rotation_from_vector(turn) @ rotation, shift)
    weak = replace(volume, values=volume.values / 3.0)
    climber = replace(climber_of(case), volumes={RADIUS: weak})
    found = local.climb(start, climber, RADIUS, 1)
    assert bool((rotation_angle(found.rotation, start.rotation) > 0).all())
    assert bool((found.log_weight > local.climb(start, climber, RADIUS, 0).log_weight).all())
