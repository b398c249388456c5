"""Array operations, which a GPU runs, against the compiled loops of the processor, both on the processor."""

from __future__ import annotations

import pytest
import torch

from burnish.geometry.rotations import random_rotations, rotation_from_vector
from burnish.particles import mode_arrays, twins
from burnish.particles import modes as local
from burnish.particles.images import ImageBlock
from burnish.particles.lattice import make_lattice
from burnish.particles.projection import PADDING, FourierVolume, cut_slices, empty_sums, insert_slices
from burnish.particles.reconstruct import fold_origin_plane, mean_weights, padded_transform, solve_map, symmetrise
from burnish.symmetry.point_groups import point_group
from tests.particles.phantom import blobs, density

SIZE, RADIUS, IMAGES, MODES = 32, 12, 5, 40
ROUNDING = 2e-5  # of the largest value: single precision summed in another order


@pytest.fixture(scope="module")
def volume() -> FourierVolume:
    return padded_transform(density(blobs("D2"), SIZE, 4.0), RADIUS)


@pytest.fixture
def arrays(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """From here on array operations work, in runs of a few slices."""
    monkeypatch.setattr(twins, "compiled", lambda values: False)
    monkeypatch.setitem(twins._VALUES, "cpu", 1500)
    return monkeypatch


def close(a: torch.Tensor, b: torch.Tensor, rounding: float = ROUNDING) -> bool:
    return float((a - b).abs().max()) <= rounding * float(a.abs().max())


def case() -> tuple[ImageBlock, local.Modes, local.Climber]:
    """Noisy images, several modes of each near and far from where they belong."""
    generator = torch.Generator().manual_seed(4)
    lattice = make_lattice(SIZE, 1.0, RADIUS)
    k = len(lattice.shell)
    volume = padded_transform(density(blobs("D2"), SIZE, 4.0), RADIUS)
    rotation = random_rotations(IMAGES, generator)
    cut = cut_slices(volume, rotation, lattice.coordinates)
    images = torch.complex(cut[:, :k], cut[:, k:])
    images = images + images.abs().mean() * torch.randn(images.shape, dtype=torch.complex64, generator=generator)
    transfer = 0.5 + 0.5 * torch.rand(IMAGES, k, generator=generator)
    block = ImageBlock(index=torch.arange(IMAGES), half=0, group=0, masked=images, whole=images, transfer=transfer)
    owner = torch.arange(MODES) % IMAGES
    owner = owner.sort().values
    vector = 0.15 * torch.randn(MODES, 3, generator=generator, dtype=torch.float64)
    modes = local.new_modes(
        owner,
        rotation_from_vector(vector) @ rotation[owner],
        torch.randn(MODES, 2, generator=generator, dtype=torch.float64),
    )
    climber = local.Climber(
        volumes={RADIUS: volume}, block=block, lattice=lattice,
        precision=torch.full((k,), 0.3 / float(images.abs().square().mean())),
        centres=torch.randint(-2, 3, (IMAGES, 2), generator=generator), sigma_shift=2.0,
        operators=point_group("D2"),
    )  # fmt: skip
    return block, modes, climber


@pytest.mark.parametrize("symmetry", ["C1", "D2"])
def test_slices_sums_and_maps(volume: FourierVolume, arrays: pytest.MonkeyPatch, symmetry: str) -> None:
    generator = torch.Generator().manual_seed(2)
    rotation, coordinates = random_rotations(30, generator), make_lattice(SIZE, 1.0, RADIUS).coordinates
    found = []
    for compiled in (True, False):
        arrays.setattr(twins, "compiled", lambda values, answer=compiled: answer)
        slices = cut_slices(volume, rotation, coordinates)
        sums = empty_sums(RADIUS)
        insert_slices(sums, rotation, coordinates, slices, torch.ones(len(slices), len(coordinates)))
        whole = symmetrise(fold_origin_plane(sums), point_group(symmetry))
        ssnr = torch.linspace(50.0, 0.1, SIZE // 2 + 1, dtype=torch.float64)
        maps = [solve_map(whole, SIZE, s) for s in (None, ssnr)]
        again = padded_transform(maps[1], RADIUS).values
        found.append([slices, sums.values, mean_weights(whole), *maps, torch.view_as_real(again)])
    for a, b in zip(*found, strict=True):
        assert close(a, b, 1e-4)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_modes_climb_the_same_way(arrays: pytest.MonkeyPatch, steps: int) -> None:
    _, modes, climber = case()
    slack = 3.0 * (torch.arange(MODES) % 2).double()
    theirs = local.climb(modes, climber, RADIUS, steps, allowance=slack)
    arrays.setattr(twins, "compiled", lambda values: True)
    ours = local.climb(modes, climber, RADIUS, steps, allowance=slack)
    assert torch.equal(theirs.owner, ours.owner)
    assert float((theirs.log_weight - ours.log_weight).abs().max()) < 1e-3  # of log-posteriors of some hundreds
    assert close(ours.rotation, theirs.rotation, 1e-3) and close(ours.shift, theirs.shift, 1e-3)
    assert close(ours.information, theirs.information, 1e-3)
    if steps:
        assert float((ours.rotation - modes.rotation).abs().max()) > 0.01


def test_slope_is_that_of_the_value(volume: FourierVolume) -> None:
    """Within a cell of the grid the interpolation is smooth: a secant is its slope."""
    rotation = random_rotations(6, torch.Generator().manual_seed(5))
    matrix = (rotation * PADDING).float()
    at = make_lattice(SIZE, 1.0, RADIUS - 1).coordinates[1:]
    value, slope = mode_arrays.value_and_slope(volume, matrix, at)
    step = 1e-3
    along = torch.randn(2, generator=torch.Generator().manual_seed(6))
    there, _ = mode_arrays.value_and_slope(volume, matrix, at + step * along)
    expected = torch.einsum("mkj,mcj,c->mk", slope, matrix[:, :2].to(slope.dtype), along.to(slope.dtype))
    error = ((there - value) / step - expected).abs()
    assert float(error.median()) < 2e-2 * float(expected.abs().median())


def test_sums_of_modes(arrays: pytest.MonkeyPatch) -> None:
    block, modes, climber = case()
    found = []
    for compiled in (True, False):
        arrays.setattr(twins, "compiled", lambda values, answer=compiled: answer)
        climbed = local.climb(modes, climber, RADIUS, 0)
        weights = torch.linspace(0.1, 1.0, MODES, dtype=torch.float64)
        cross, power = local.model_power(
            climber.volumes[RADIUS], climbed, weights, block, climber.lattice, RADIUS, SIZE // 2 + 1
        )
        sums = empty_sums(RADIUS)
        placed = local.Placements(
            owner=modes.owner, rotation=modes.rotation, shift=modes.shift, weight=weights, blur=0.5 * weights
        )
        planes = (0, sums.values.shape[0])
        local.insert_placements(sums, placed, block, climber.lattice, climber.precision, planes)
        found.append((cross, power, sums.values))
    for a, b in zip(*found, strict=True):
        assert close(a, b, 1e-4)
