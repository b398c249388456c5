"""The posterior on a grid, against its definition pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from burnish.geometry.rotations import random_rotations
from burnish.geometry.sampling import shift_disc
from burnish.particles import dense
from burnish.particles.images import ImageBlock
from burnish.particles.lattice import Lattice, make_lattice

SIZE, ROTATIONS, IMAGES = 16, 30, 5


@pytest.fixture(scope="module")
def case() -> tuple[Lattice, torch.Tensor, ImageBlock, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    lattice = make_lattice(SIZE, 1.0, 6)
    k = len(lattice.shell)
    slices = torch.randn(ROTATIONS, 2 * k, generator=generator)
    images = torch.randn(IMAGES, k, dtype=torch.complex64, generator=generator)
    transfer = torch.rand(IMAGES, k, generator=generator)
    block = ImageBlock(index=torch.arange(IMAGES), half=0, group=0, masked=images, whole=images, transfer=transfer)
    precision = 0.01 + 0.03 * torch.rand(k, generator=generator)
    return lattice, slices, block, precision, shift_disc(2.0, 1.0)


def direct(case: tuple) -> torch.Tensor:  # type: ignore[type-arg]
    """−Σ |X_t − C P|²/σ² over half the plane without the origin, in float64. (o, b, t)"""
    lattice, slices, block, precision, shifts = case
    k = len(lattice.shell)
    p = torch.complex(slices[:, :k], slices[:, k:]).to(torch.complex128)
    angle = -2 * math.pi / SIZE * (shifts @ lattice.pixels.double().T)
    moved = block.masked.to(torch.complex128)[:, None] * torch.polar(torch.ones_like(angle), angle)
    residual = moved[None] - (block.transfer[None] * p[:, None])[:, :, None]
    return -(residual.abs().square() * precision.double())[..., 1:].sum(-1)


def test_posterior_is_its_definition(case: tuple) -> None:  # type: ignore[type-arg]
    lattice, slices, block, precision, shifts = case
    prior = -0.1 * shifts.square().sum(1).expand(IMAGES, -1).float()
    bank = dense.make_bank(slices, len(lattice.shell))
    found = dense.posterior(bank, block, lattice, precision, shifts, prior)
    score = direct(case) + prior.double()
    expected = torch.softmax(score.permute(1, 0, 2).reshape(IMAGES, -1), 1)
    ours = found.weights.permute(1, 0, 2).reshape(IMAGES, -1)
    assert torch.allclose(ours.double(), expected, rtol=1e-3, atol=1e-7)
    assert torch.allclose(found.max_weight.double(), expected.amax(1), rtol=1e-3)
    assert torch.equal(found.best_rotation * len(shifts) + found.best_shift, expected.argmax(1))


def test_dropped_tails_keep_the_share(case: tuple) -> None:  # type: ignore[type-arg]
    lattice, slices, block, precision, shifts = case
    bank = dense.make_bank(slices, len(lattice.shell))
    found = dense.posterior(bank, block, lattice, 30 * precision, shifts, torch.zeros(IMAGES, len(shifts)))
    marginal = found.marginal.clone()
    kept = dense.drop_tails(found, 0.9)
    used = kept.sum(2) > 0
    assert bool((torch.where(used, marginal, 0.0).sum(0) >= 0.9).all())
    assert int(used.sum()) < used.numel()
    assert torch.allclose(kept.sum((0, 2)), torch.ones(IMAGES), atol=1e-5)


@pytest.mark.parametrize("sharpness", [1.0, 60.0])  # a flat posterior takes the product, a sharp one the sparse sum
def test_sums_are_their_definition(case: tuple, sharpness: float) -> None:  # type: ignore[type-arg]
    lattice, slices, block, precision, shifts = case
    k = len(lattice.shell)
    bank = dense.make_bank(slices, k)
    found = dense.posterior(bank, block, lattice, sharpness * precision, shifts, torch.zeros(IMAGES, len(shifts)))
    weights = dense.drop_tails(found)
    totals = dense.SliceTotals(data=torch.zeros(ROTATIONS, 2 * k), weights=torch.zeros(ROTATIONS, k))
    sums = dense.weighted_sums(weights, block, lattice, precision, shifts, k)
    assert isinstance(sums, dense.SparseSums) == (sharpness > 1.0)
    sums.add_to(totals)
    moved = dense.shifted(block.whole * (block.transfer * precision), lattice, shifts, 0, k)
    expected = torch.mm(weights.reshape(ROTATIONS, -1), moved)
    assert torch.allclose(totals.data, expected, atol=0.005 * float(expected.abs().max()))
    norm = torch.mm(weights.sum(2), block.transfer.square() * precision)
    assert torch.allclose(totals.weights, norm, atol=0.005 * float(norm.max()))


def test_block_equals_loop(case: tuple) -> None:  # type: ignore[type-arg]
    lattice, slices, block, precision, shifts = case
    bank = dense.make_bank(slices, len(lattice.shell))
    prior = torch.zeros(1, len(shifts))
    whole = dense.posterior(bank, block, lattice, precision, shifts, prior.expand(IMAGES, -1))
    for i in range(IMAGES):
        one = ImageBlock(
            index=block.index[i : i + 1], half=0, group=0, masked=block.masked[i : i + 1],
            whole=block.whole[i : i + 1], transfer=block.transfer[i : i + 1],
        )  # fmt: skip
        alone = dense.posterior(bank, one, lattice, precision, shifts, prior)
        assert torch.allclose(alone.weights[:, 0], whole.weights[:, i], rtol=1e-3, atol=1e-8)


def test_one_rotation_and_one_shift_take_all(case: tuple) -> None:  # type: ignore[type-arg]
    lattice, slices, block, precision, _ = case
    bank = dense.make_bank(slices[:1], len(lattice.shell))
    found = dense.posterior(bank, block, lattice, precision, torch.zeros(1, 2), torch.zeros(IMAGES, 1))
    assert torch.equal(found.weights, torch.ones(1, IMAGES, 1))


def test_random_rotations_are_rotations() -> None:
    r = random_rotations(10, torch.Generator().manual_seed(1))
    assert torch.allclose(torch.linalg.det(r), torch.ones(10, dtype=torch.float64))


def test_the_smallest_numbers_decide_nothing() -> None:
    """A thread that flushes denormal numbers to zero and one that does not keep the same entries."""
    weights = torch.zeros(100, 1, 1)
    weights[:3, 0, 0] = torch.tensor([0.99, 0.0099, 0.0001])
    with_dust = weights.clone()
    with_dust[3:] = 1e-40
    for a, b in zip(*(vars_of(dense.sparse_rows(w)) for w in (weights, with_dust)), strict=True):
        assert (a == b).all()


def vars_of(rows: dense.SparseRows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rows.start, rows.columns, rows.values
