"""Blocks of images: optics groups of other box and pixel size, beam tilt, magnification, memory budget."""

from __future__ import annotations

import pytest
import torch

from burnish.data.optics import Defocus, OpticsGroup
from burnish.geometry.rotations import random_rotations
from burnish.optics.aberrations import odd_factor
from burnish.optics.frequency import image_frequencies
from burnish.particles.images import CtfMode
from burnish.particles.projection import cut_slices
from burnish.particles.reconstruct import padded_transform
from burnish.particles.store import BlockStore, Frame, ParticleSet
from tests.particles.phantom import blobs, density, optics_group, projections

SIZE, PIXEL, COUNT = 32, 4.0, 6
FRAME = Frame(size=SIZE, pixel_size=PIXEL, mask_radius=60.0)


def store_of(images: torch.Tensor, group: OpticsGroup, budget: int = 0) -> BlockStore:
    n = len(images)
    zero, one = torch.zeros(n, dtype=torch.float64), torch.ones(n, dtype=torch.float64)
    whole = torch.zeros(n, dtype=torch.int64)
    particles = ParticleSet(
        images=lambda i: images[i], optics=(group,), optics_index=whole, half_set=whole, group=whole,
        defocus=Defocus(u=1e4 * one, v=1e4 * one, angle=zero, phase_shift=zero, b_factor=zero, scale=one),
    )  # fmt: skip
    return BlockStore(FRAME, particles, CtfMode(correct=False), block_size=COUNT, budget=budget)


def loaded(store: BlockStore, centres: torch.Tensor | None = None) -> torch.Tensor:
    n = len(store.particles)
    centres = torch.zeros(n, 2, dtype=torch.int64) if centres is None else centres
    return store.load(0, centres, torch.ones(n, dtype=torch.float64), torch.ones(n, dtype=torch.float64)).whole


def agreement(store: BlockStore, whole: torch.Tensor, rotation: torch.Tensor, radius: int = 10) -> torch.Tensor:
    """Relative difference of images from the slices of the map that they show, and the scale between them."""
    volume = padded_transform(density(blobs("C1"), SIZE, PIXEL), radius)
    lattice = store.lattices[0]
    k = lattice.count(radius)
    cut = cut_slices(volume, rotation, lattice.coordinates[:k])
    slices = torch.complex(cut[:, :k], cut[:, k:])
    return (whole[:, :k] - slices).norm() / slices.norm()


@pytest.mark.parametrize(("size", "pixel"), [(32, 4.0), (48, 4.0), (64, 2.0), (40, 3.1)])
def test_other_boxes_and_pixels_match_the_same_map(size: int, pixel: float) -> None:
    rotation = random_rotations(COUNT, torch.Generator().manual_seed(0))
    none = torch.zeros(COUNT, 2, dtype=torch.float64)
    images = projections(blobs("C1"), rotation, none, size, pixel)
    images = images * (PIXEL / pixel) ** 2  # projected density instead of its integral
    store = store_of(images, optics_group(size, pixel))
    assert float(agreement(store, loaded(store), rotation)) < 0.03


def test_uniform_magnification_is_another_pixel_size() -> None:
    rotation = random_rotations(COUNT, torch.Generator().manual_seed(1))
    none = torch.zeros(COUNT, 2, dtype=torch.float64)
    images = projections(blobs("C1"), rotation, none, SIZE, PIXEL / 1.05)
    group = optics_group(SIZE, PIXEL, magnification=1.05 * torch.eye(2, dtype=torch.float64))
    store = store_of(images, group)
    assert float(agreement(store, loaded(store), rotation, radius=8)) < 0.03


def test_beam_tilt_is_taken_out() -> None:
    rotation = random_rotations(COUNT, torch.Generator().manual_seed(2))
    clean = projections(blobs("C1"), rotation, torch.zeros(COUNT, 2, dtype=torch.float64), SIZE, PIXEL)
    group = optics_group(SIZE, PIXEL, beam_tilt=(20e-3, -12e-3))
    factor = odd_factor(image_frequencies(SIZE, PIXEL), group)
    tilted = torch.fft.irfft2(torch.fft.rfft2(clean) * factor, s=(SIZE, SIZE))
    assert float((tilted - clean).norm() / clean.norm()) > 0.05
    store = store_of(tilted, group)
    assert float(agreement(store, loaded(store), rotation)) < 0.03


def test_memory_does_not_change_what_is_handed_out() -> None:
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(COUNT, SIZE, SIZE, generator=generator)
    kept, read_again = store_of(images, optics_group(SIZE, PIXEL), 1 << 30), store_of(images, optics_group(SIZE, PIXEL))
    first = torch.randint(-3, 4, (COUNT, 2), generator=generator)
    moved = first.clone()
    moved[2] += 1
    for centres in (first, moved, first):
        assert torch.equal(loaded(kept, centres), loaded(read_again, centres))


def test_scale_and_norm_are_applied() -> None:
    images = torch.randn(COUNT, SIZE, SIZE, generator=torch.Generator().manual_seed(4))
    store = store_of(images, optics_group(SIZE, PIXEL))
    centres = torch.zeros(COUNT, 2, dtype=torch.int64)
    one, two = torch.ones(COUNT, dtype=torch.float64), torch.full((COUNT,), 2.0, dtype=torch.float64)
    plain, halved = store.load(0, centres, one, one), store.load(0, centres, two, two)
    assert torch.allclose(halved.whole, plain.whole / 2) and torch.allclose(halved.transfer, plain.transfer * 2)


@pytest.mark.parametrize(("count", "runs"), [(6, 1), (300, 1), (4000, 4), (2**17, 64)])
def test_chunks_follow_from_the_particles_alone(count: int, runs: int) -> None:
    half = torch.arange(2 * count) % 2
    whole, one = torch.zeros(2 * count, dtype=torch.int64), torch.ones(2 * count, dtype=torch.float64)
    particles = ParticleSet(
        images=lambda i: torch.zeros(len(i), SIZE, SIZE), optics=(optics_group(SIZE, PIXEL),), optics_index=whole,
        half_set=half, group=whole,
        defocus=Defocus(u=one, v=one, angle=one, phase_shift=one, b_factor=one, scale=one),
    )  # fmt: skip
    store = BlockStore(FRAME, particles, CtfMode(correct=False), block_size=32, budget=0)
    for h in (0, 1):
        chunks = store.chunks(h)
        assert len(chunks) == runs
        assert [b for chunk in chunks for b in chunk] == list(store.of_half(h))
        assert all(int(half[store.blocks[b][0]]) == h for chunk in chunks for b in chunk)
        sizes = [sum(len(store.blocks[b]) for b in chunk) for chunk in chunks]
        assert max(sizes) - min(sizes) <= 64


def test_the_next_block_is_announced_while_one_is_in_work() -> None:
    asked: list[tuple[str, list[int]]] = []
    images = torch.zeros(4, SIZE, SIZE)
    whole, one = torch.zeros(4, dtype=torch.int64), torch.ones(4, dtype=torch.float64)

    def read(index: torch.Tensor) -> torch.Tensor:
        asked.append(("read", index.tolist()))
        return images[index]

    particles = ParticleSet(
        images=read, optics=(optics_group(SIZE, PIXEL),), optics_index=whole, half_set=whole, group=whole,
        defocus=Defocus(u=one, v=one, angle=one, phase_shift=one, b_factor=one, scale=one),
        announce=lambda index: asked.append(("announce", index.tolist())),
    )  # fmt: skip
    store = BlockStore(FRAME, particles, CtfMode(correct=False), block_size=2, budget=0)
    for block in (0, 1, 0):
        store.load(block, torch.zeros(4, 2, dtype=torch.int64), one, one)
    first = [("read", [0, 1]), ("announce", [2, 3])]
    assert asked == [*first, ("read", [2, 3]), *first]  # nothing is kept, so all is asked for again
    kept = BlockStore(FRAME, particles, CtfMode(correct=False), block_size=2, budget=2**30)
    for block in (1, 0, 1):
        kept.load(block, torch.zeros(4, 2, dtype=torch.int64), one, one)
    assert asked[5:] == [("read", [2, 3]), ("read", [0, 1])]
