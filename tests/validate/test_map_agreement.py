"""Correlations of map and model, atom inclusion, and the record of a model in a map."""

import numpy as np
import pytest
import torch
from tests.models.test_map_term import ORIGIN, VOXEL, _atoms, _density, _maps

from burnish.data.density import DensityMap
from burnish.maps.weighted import weighted_map
from burnish.models.model_density import model_density
from burnish.validate.map_agreement import contour_of_volume, map_correlations, model_region


def _like(values: torch.Tensor) -> DensityMap:
    return DensityMap(values=values, voxel_size=(VOXEL, VOXEL, VOXEL), origin=ORIGIN)


def test_density_of_a_model_on_a_map_is_that_of_its_structure_factors() -> None:
    atoms = _atoms()
    truth = _density(atoms)
    found = model_density(atoms, _like(truth), 2.2).values
    assert float((found - truth).abs().max()) < 5e-3 * float(truth.max())


def test_a_map_agrees_with_itself_and_not_with_noise() -> None:
    atoms = _atoms()
    truth = _like(_density(atoms))
    near = model_region(truth, atoms.xyz.numpy(), np.full(len(atoms), 1.7))
    same = map_correlations(truth.values.numpy(), 2.0 * truth.values.numpy() + 3.0, near)
    assert min(same.mask, same.volume, same.peaks, same.box) == pytest.approx(1.0)
    noise = np.random.default_rng(1).standard_normal(near.shape)
    other = map_correlations(noise, truth.values.numpy(), near)
    assert abs(other.mask) < 4.0 / np.sqrt(near.sum())
    assert other.peaks < 0.1


def test_the_region_of_one_atom_is_a_sphere() -> None:
    grid = _like(torch.zeros(60, 60, 60))
    fine = DensityMap(values=grid.values, voxel_size=(0.25, 0.25, 0.25))
    near = model_region(fine, np.array([[7.5, 7.5, 7.5]]), np.array([1.7]))
    expected = 4 / 3 * np.pi * (1.7 + 1.1 - 0.9) ** 3
    assert near.sum() * 0.25**3 == pytest.approx(expected, rel=0.2)  # the surface is known to a voxel
    assert not model_region(fine, np.zeros((0, 3)), np.zeros(0)).any()


def test_the_contour_holds_the_volume_of_the_model() -> None:
    atoms = _atoms()
    density = _like(_density(atoms))
    near = model_region(density, atoms.xyz.numpy(), np.full(len(atoms), 1.7))
    contour = contour_of_volume(density, near)
    assert (density.values.numpy() > contour).sum() == pytest.approx(near.sum(), rel=0.01)


def test_the_weighted_map_is_flat_to_the_resolution_and_empty_beyond() -> None:
    truth = _like(_density(_atoms()))
    found = weighted_map(truth, truth, 3.0)
    assert found.origin == ORIGIN
    assert float(found.values.std()) == pytest.approx(1.0, rel=1e-4)
    power = torch.fft.rfftn(found.values).abs().square()
    s = torch.stack(torch.meshgrid(*(torch.fft.fftfreq(n) for n in found.values.shape[:2]),
                                   torch.fft.rfftfreq(found.values.shape[2]), indexing="ij")).norm(dim=0)  # fmt: skip
    low, high = (float(power[(s > a) & (s < b)].mean()) for a, b in ((0.05, 0.15), (0.2, 0.3)))
    assert low == pytest.approx(high, rel=0.15)
    assert float(power[s > 0.345].max()) < 1e-6 * low


def test_shells_of_noise_count_little() -> None:
    atoms = _atoms()
    truth = _density(atoms)
    halves = _maps(atoms, noise=float(truth.std()))
    found = weighted_map(halves[0], halves[1], 2.4).values
    whole = weighted_map(_like(truth), _like(truth), 2.4).values
    flat = torch.fft.irfftn(torch.fft.rfftn(halves[0].values) / torch.fft.rfftn(truth).abs().clamp_min(1e-3))
    assert _correlation(found, whole) > 2.0 * abs(_correlation(flat, whole))


def _correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(np.corrcoef(a.numpy().reshape(-1), b.numpy().reshape(-1))[0, 1])
