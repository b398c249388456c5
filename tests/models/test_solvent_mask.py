"""The solvent mask against gemmi's, and its symmetry."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest
import torch

from burnish.models.scaling import anisotropic_factor, anisotropy_basis, fit_scaling, quadratic_terms, scale_factors
from burnish.models.solvent_mask import MaskSettings, solvent_mask
from burnish.symmetry.space_groups import fractionalisation, operations
from tests.models.crystals import gemmi_model, random_atoms, reflections_to, triclinic_like


@pytest.mark.parametrize("space_group", ["P 1", "C 1 2 1", "P 21 21 21", "P 65 2 2", "I 21 3"])
def test_agrees_with_gemmi(space_group: str) -> None:
    crystal = triclinic_like(space_group)
    crystal = replace(crystal, cell=(*(2.0 * edge for edge in crystal.cell[:3]), *crystal.cell[3:]))
    atoms = random_atoms(crystal, 400 // len(operations(crystal)), seed=2)
    ours = solvent_mask(crystal, atoms, 0.4, MaskSettings(probe=1.0, shrink=1.1))
    masker = gemmi.SolventMasker(gemmi.AtomicRadiiSet.Refmac)
    masker.rprobe, masker.rshrink, masker.island_min_volume = 1.0, 1.1, 0.0
    grid = gemmi.FloatGrid()
    structure = gemmi_model(crystal, atoms)
    grid.setup_from(structure, 0.4)
    masker.put_mask_on_float_grid(grid, structure[0])
    assert 0.02 < float(ours.float().mean()) < 0.98
    assert float(ours.float().mean()) == pytest.approx(float(np.asarray(grid).mean()), abs=0.03)  # grids differ


def test_hydrogens_and_absent_atoms_leave_no_hole() -> None:
    crystal = triclinic_like("P 1")
    atoms = replace(random_atoms(crystal, 2, seed=3), elements=("H", "C"), occ=torch.tensor([1.0, 0.0]).double())
    assert float(solvent_mask(crystal, atoms, 0.6).min()) == 1.0


def test_bulk_solvent_and_anisotropy_are_recovered() -> None:
    crystal = replace(triclinic_like("P 21 21 21"), cell=(34.0, 41.0, 52.0, 90.0, 90.0, 90.0))
    r = reflections_to(crystal, 2.0)
    hkl, s2 = r.hkl.numpy(), r.s2.numpy()
    rng = np.random.default_rng(5)
    f_calc = (rng.normal(size=(2, len(s2))) * 300 * np.exp(-5 * s2)).T @ np.array([1, 1j])
    f_mask = (rng.normal(size=(2, len(s2))) * 1500 * np.exp(-30 * s2)).T @ np.array([1, 1j])
    k_mask = 0.38 * np.exp(-50 * s2 / 4)
    tensor = np.array([3.0, -5.0, 2.0, 0.0, 0.0, 0.0])
    quadratic = quadratic_terms(crystal, hkl)
    f_obs = 1.7 * np.exp(-0.25 * quadratic @ tensor) * np.abs(f_calc + k_mask * f_mask)
    found = fit_scaling(crystal, hkl, s2, f_obs * (1 + 0.02 * rng.normal(size=len(s2))), f_calc, f_mask)
    np.testing.assert_allclose(found.anisotropy, tensor, atol=0.3)
    solvent = found.knots.position < 1.0 / 4.0**2
    expected = 0.38 * np.exp(-50 * found.knots.position / 4)
    np.testing.assert_allclose(found.k_mask[solvent], expected[solvent], atol=0.05)
    anisotropy = anisotropic_factor(found, hkl @ fractionalisation(crystal))
    np.testing.assert_allclose(anisotropy, np.exp(-0.25 * quadratic @ found.anisotropy), rtol=1e-10)
    factor, k = scale_factors(found, s2, anisotropy)
    model = factor * np.abs(f_calc + k * f_mask)
    assert np.abs(model - f_obs).sum() < 0.02 * f_obs.sum()


@pytest.mark.parametrize(
    ("space_group", "count"),
    [("P 1", 5), ("C 1 2 1", 3), ("P 21 21 21", 2), ("P 43", 1), ("P 65 2 2", 1), ("I 21 3", 0)],
)
def test_anisotropy_obeys_the_crystal_symmetry(space_group: str, count: int) -> None:
    crystal = triclinic_like(space_group)
    basis = anisotropy_basis(crystal)
    assert basis.shape == (count, 6)
    np.testing.assert_allclose(basis[:, :3].sum(axis=1), 0.0, atol=1e-12)
    hkl = reflections_to(crystal, 3.0).hkl.numpy()
    for rotation in operations(crystal).rotation:
        np.testing.assert_allclose(
            quadratic_terms(crystal, hkl) @ basis.T, quadratic_terms(crystal, hkl @ rotation) @ basis.T, atol=1e-10
        )
