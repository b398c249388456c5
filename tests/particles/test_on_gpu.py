"""Grid expectation and volumes on a CUDA device against the processor."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from burnish.geometry.rotations import random_rotations
from burnish.geometry.sampling import shift_disc
from burnish.particles import dense
from burnish.particles.images import ImageBlock
from burnish.particles.lattice import Lattice, make_lattice
from burnish.particles.projection import cut_slices, empty_sums, insert_slices
from burnish.particles.reconstruct import fold_origin_plane, padded_transform, solve_map, symmetrise
from burnish.symmetry.point_groups import point_group
from tests.particles.phantom import blobs, density

SIZE, RADIUS, IMAGES = 32, 10, 6
ROUNDING = 2e-3  # of the largest value: single precision summed in another order

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cuda() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device("cuda")


def moved(lattice: Lattice, device: torch.device) -> Lattice:
    return replace(
        lattice,
        pixels=lattice.pixels.to(device),
        coordinates=lattice.coordinates.to(device),
        shell=lattice.shell.to(device),
    )


def map_of_posterior(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Marginal posterior over a grid, and the symmetrised map of the images summed over it."""
    generator = torch.Generator().manual_seed(0)
    rotations = random_rotations(40, generator).to(device)
    lattice = moved(make_lattice(SIZE, 1.0, RADIUS), device)
    k = len(lattice.shell)
    volume = padded_transform(density(blobs("D2"), SIZE, 4.0).to(device), RADIUS)
    slices = cut_slices(volume, rotations, lattice.coordinates)
    bank = dense.make_bank(slices, k)
    noise = torch.randn(IMAGES, k, dtype=torch.complex64, generator=generator).to(device)
    seen = torch.complex(slices[:IMAGES, :k], slices[:IMAGES, k:])
    images = seen + seen.abs().mean() * noise
    transfer = (0.5 + 0.5 * torch.rand(IMAGES, k, generator=generator)).to(device)
    block = ImageBlock(index=torch.arange(IMAGES), half=0, group=0, masked=images, whole=images, transfer=transfer)
    precision = torch.full((k,), 0.1 / float(seen.abs().square().mean()), device=device)
    shifts = shift_disc(2.0, 1.0).to(device)
    found = dense.posterior(bank, block, lattice, precision, shifts, torch.zeros(IMAGES, len(shifts), device=device))
    marginal = found.marginal.clone()
    totals = dense.SliceTotals(
        data=torch.zeros(len(rotations), 2 * k, device=device), weights=torch.zeros(len(rotations), k, device=device)
    )
    dense.weighted_sums(dense.drop_tails(found), block, lattice, precision, shifts, k).add_to(totals)
    sums = empty_sums(RADIUS, device)
    insert_slices(sums, rotations, lattice.coordinates, totals.data, totals.weights)
    whole = symmetrise(fold_origin_plane(sums), point_group("D2").to(device))
    return marginal.cpu(), solve_map(whole, SIZE, None).cpu()


def test_posterior_and_map_are_those_of_the_processor(cuda: torch.device) -> None:
    here, there = map_of_posterior(torch.device("cpu")), map_of_posterior(cuda)
    for a, b in zip(here, there, strict=True):
        assert float((a - b).abs().max()) < ROUNDING * float(a.abs().max())


def test_one_device_gives_the_same_twice(cuda: torch.device) -> None:
    first, second = map_of_posterior(cuda), map_of_posterior(cuda)
    assert torch.equal(first[0], second[0])
    assert float((first[1] - second[1]).abs().max()) < ROUNDING * float(first[1].abs().max())  # atomic additions
