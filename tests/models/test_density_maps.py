"""Map coefficients and maps against what they must be for simulated data."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest
import torch

from burnish.models.crystal_term import CrystalTerm
from burnish.models.density_maps import crystal_map, map_coefficients
from burnish.models.phases import phases_deg
from burnish.models.structure_factors import grid_shape
from tests.models.crystals import reflections_to, triclinic_like
from tests.models.test_crystal_term import simulated


def peak_height(crystal, density: torch.Tensor, xyz: torch.Tensor) -> float:
    """Value at the grid point nearest to a position, in rms of the map."""
    from burnish.symmetry.space_groups import fractionalisation

    place = np.round(fractionalisation(crystal) @ xyz.numpy() * np.array(density.shape)).astype(int)
    u, v, w = place % np.array(density.shape)
    return float(density[u, v, w] / density.std())


def test_missing_atom_shows_in_the_difference_map() -> None:
    atoms, reflections = simulated()
    present = torch.arange(len(atoms)) != 7
    occ = torch.where(present, atoms.occ, 0.0)
    term = CrystalTerm(reflections)
    term.prepare(replace(atoms, occ=occ))
    found = map_coefficients(term)
    crystal, hkl = reflections.crystal, reflections.hkl
    difference = crystal_map(crystal, hkl, found.difference, grid_shape(crystal, 0.5))
    density = crystal_map(crystal, hkl, found.density, grid_shape(crystal, 0.5))
    assert peak_height(crystal, difference, atoms.xyz[7]) > 8.0
    assert peak_height(crystal, density, atoms.xyz[7]) > 3.0
    others = [peak_height(crystal, density, xyz) for n, xyz in enumerate(atoms.xyz) if n != 7]
    assert np.median(others) > 3.0


def test_unmeasured_and_hidden_reflections_are_filled_only_in_the_filled_set() -> None:
    atoms, reflections = simulated()
    f_obs = reflections.f_obs.clone()
    f_obs[::9] = torch.nan
    term = CrystalTerm(replace(reflections, f_obs=f_obs))
    term.prepare(atoms)
    found = map_coefficients(term, hidden=reflections.free)
    absent = torch.isnan(f_obs) | reflections.free
    assert bool(found.density.abs().isnan()[absent].all())
    assert bool(found.difference.abs().isnan()[absent].all())
    assert bool(found.filled.abs().isfinite().all())
    assert bool(found.density.abs().isfinite()[~absent].all())


def test_scale_of_the_data_does_not_reach_the_map() -> None:
    atoms, reflections = simulated()
    maps = []
    for k in (1.0, 40.0):
        term = CrystalTerm(replace(reflections, f_obs=k * reflections.f_obs, sigma_f_obs=k * reflections.sigma_f_obs))
        term.prepare(atoms)
        maps.append(map_coefficients(term).density)
    difference = (maps[0] - maps[1]).abs().mean() / maps[0].abs().mean()
    assert float(difference) < 2e-3


@pytest.mark.parametrize("space_group", ["P 1", "P -1", "P 21 21 21", "C 2 2 21", "P 65 2 2", "I 21 3"])
def test_map_agrees_with_gemmi(space_group: str) -> None:
    crystal = triclinic_like(space_group)
    r = reflections_to(crystal, 2.0)
    generator = torch.Generator().manual_seed(3)
    amplitude = torch.rand(len(r), generator=generator) + 0.1
    # A phase that the symmetry allows: that of one atom's structure factor.
    from burnish.models.structure_factors import plan_structure_factors, structure_factors
    from burnish.scattering.form_factors import form_factors
    from tests.models.crystals import random_atoms

    atoms = random_atoms(crystal, 2, seed=4)
    f = structure_factors(
        atoms, form_factors(atoms.elements), atoms.occ.numpy(), plan_structure_factors(crystal, r.hkl)
    )
    f = f / f.abs().clamp_min(1e-6) * amplitude
    ours = crystal_map(crystal, r.hkl, f, (24, 24, 24))
    data = gemmi.ComplexAsuData(
        crystal.unit_cell, crystal.group, r.hkl.numpy().astype(np.int32), f.numpy().astype(np.complex64)
    )
    theirs = np.asarray(data.transform_f_phi_to_map(exact_size=(24, 24, 24)))
    np.testing.assert_allclose(ours.numpy(), theirs, atol=2e-5 * np.abs(theirs).max() + 1e-6)


def test_phases() -> None:
    assert phases_deg(torch.tensor([1.0 + 0j, 1j, -1.0 + 0j])).tolist() == pytest.approx([0.0, 90.0, 180.0])
