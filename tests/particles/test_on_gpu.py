"""Grid expectation and volumes on a CUDA device against the processor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from burnish.geometry.rotations import random_rotations
from burnish.geometry.sampling import shift_disc
from burnish.io.mrc import read_map
from burnish.jobs.folder import Job
from burnish.options.refine3d import Refine3DOptions
from burnish.particles import dense
from burnish.particles import modes as local
from burnish.particles.images import ImageBlock
from burnish.particles.lattice import make_lattice
from burnish.particles.projection import cut_slices, empty_sums, insert_slices
from burnish.particles.reconstruct import fold_origin_plane, padded_transform, solve_map, symmetrise
from burnish.symmetry.point_groups import point_group
from burnish.workflows import refine3d
from tests.particles.phantom import blobs, density, write_set
from tests.particles.test_twins import RADIUS as MODES_RADIUS
from tests.particles.test_twins import case

SIZE, RADIUS, IMAGES = 32, 10, 6
ROUNDING = 2e-3  # of the largest value: single precision summed in another order

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cuda() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device("cuda")


def map_of_posterior(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Marginal posterior over a grid, and the symmetrised map of the images summed over it."""
    generator = torch.Generator().manual_seed(0)
    rotations = random_rotations(40, generator).to(device)
    lattice = make_lattice(SIZE, 1.0, RADIUS).to(device)
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


def modes_of(device: torch.device) -> list[torch.Tensor]:
    """Where modes climb to, what they explain, and the sums that they are inserted into."""
    block, modes, climber = case()
    lattice = climber.lattice.to(device)
    block = replace(
        block, masked=block.masked.to(device), whole=block.whole.to(device), transfer=block.transfer.to(device)
    )
    volume = climber.volumes[MODES_RADIUS]
    volume = replace(volume, values=volume.values.to(device))
    climber = replace(
        climber, block=block, lattice=lattice, precision=climber.precision.to(device), volumes={MODES_RADIUS: volume}
    )
    climbed = local.climb(modes, climber, MODES_RADIUS, 2)
    weights = local.mode_weights(climbed, len(block.index))
    explained = local.model_power(volume, climbed, weights, block, lattice, MODES_RADIUS, SIZE // 2 + 1)
    sums = empty_sums(MODES_RADIUS, device)
    placed = local.placements(climbed, weights, MODES_RADIUS)
    local.insert_placements(sums, placed, block, lattice, climber.precision, (0, sums.values.shape[0]))
    return [climbed.rotation, climbed.shift, climbed.information, *explained, sums.values.cpu()]


def test_modes_are_those_of_the_processor(cuda: torch.device) -> None:
    for a, b in zip(modes_of(torch.device("cpu")), modes_of(cuda), strict=True):
        assert float((a - b).abs().max()) < ROUNDING * float(a.abs().max())


def test_refinement_is_that_of_the_processor(cuda: torch.device, tmp_path: Path) -> None:
    """From files to files; iterations enlarge the rounding of sums."""
    particles, reference, _, _ = write_set(tmp_path, symmetry="D2", count=60, noise=1.0)
    maps = []
    for device in ("cpu", "cuda"):
        o = Refine3DOptions(
            particles=particles, reference=reference, symmetry="D2", mask_diameter=90.0, initial_lowpass=30.0,
            join_halves=60.0, out=tmp_path / device, memory=4.0, offset_range=4.0, device=device,
        )  # fmt: skip
        refine3d.run(o, Job("refine3d", o.out, o.model_dump(mode="json")))
        maps.append(read_map(tmp_path / device / "run_class001.mrc").values)
    assert float((maps[0] - maps[1]).norm() / maps[0].norm()) < 0.02
