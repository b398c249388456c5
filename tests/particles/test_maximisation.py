"""From sums to references."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from burnish.geometry.rotations import random_rotations
from burnish.particles.lattice import make_lattice
from burnish.particles.maximisation import Maps, make_maps
from burnish.particles.projection import FourierSums, cut_slices, empty_sums, insert_slices
from burnish.particles.reconstruct import padded_transform, soft_sphere
from burnish.particles.solvent import solvent_mask
from burnish.particles.store import Frame
from burnish.symmetry.point_groups import point_group
from tests.particles.phantom import blobs, density

SIZE, PIXEL, RADIUS = 32, 4.0, 14


def sums_of(truth: torch.Tensor, noise: float, seed: int) -> FourierSums:
    """Sums of noisy slices all over the sphere of directions."""
    generator = torch.Generator().manual_seed(seed)
    rotation = random_rotations(400, generator)
    coordinates = make_lattice(SIZE, 1.0, RADIUS).coordinates
    slices = cut_slices(padded_transform(truth, RADIUS), rotation, coordinates)
    data = slices + noise * slices.std() * torch.randn(slices.shape, generator=generator)
    sums = empty_sums(RADIUS)
    insert_slices(sums, rotation, coordinates, data, torch.ones(len(rotation), len(coordinates)))
    return sums


def solved(first: int, second: int, *, find_masks: bool) -> Maps:
    """Maps of halves with noise of these seeds, nothing joined."""
    truth = density(blobs("C1"), SIZE, PIXEL)
    setup: Any = SimpleNamespace(
        store=SimpleNamespace(frame=Frame(size=SIZE, pixel_size=PIXEL, mask_radius=56.0)),
        operators=point_group("C1"), mask=soft_sphere(SIZE, 14.0, 2.0), join_shell=0.0, flattened_fsc=False, seed=1,
    )  # fmt: skip
    halves = (sums_of(truth, 1.0, first), sums_of(truth, 1.0, second))
    before = torch.zeros(2, SIZE, SIZE, SIZE)
    return make_maps(halves, setup, before, relaxation=1.0, join=False, find_masks=find_masks)


def test_each_half_is_masked_by_its_own_map_alone() -> None:
    sphere = soft_sphere(SIZE, 14.0, 2.0)
    one, other = solved(1, 2, find_masks=True), solved(1, 3, find_masks=True)
    masks = [solvent_mask(m, sphere, PIXEL) for m in one.unfiltered]
    assert not torch.equal(masks[0], masks[1])
    for half in (0, 1):
        assert torch.equal(one.halves[half] == 0.0, masks[half] == 0.0)
    # the second half reaches the first by nothing but the FSC
    assert torch.equal(one.unfiltered[0], other.unfiltered[0])
    assert torch.equal(one.halves[0] == 0.0, other.halves[0] == 0.0)
    assert not torch.equal(one.unfiltered[1], other.unfiltered[1])


def test_masks_leave_the_reported_fsc_and_whole_maps_alone() -> None:
    masked, plain = solved(1, 2, find_masks=True), solved(1, 2, find_masks=False)
    assert torch.equal(masked.fsc, plain.fsc)
    assert torch.equal(masked.unfiltered, plain.unfiltered)
    assert torch.equal(masked.ssnr, plain.ssnr)
    truth = density(blobs("C1"), SIZE, PIXEL)
    errors = [torch.corrcoef(torch.stack([truth.ravel(), m.halves[0].ravel()]))[0, 1] for m in (masked, plain)]
    assert errors[0] > errors[1]
