"""What the data say of single atoms: against the likelihood itself, at symmetry elements, and of moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from burnish.data.atoms import Atoms
from burnish.data.reflections import Reflections
from burnish.models.crystal_term import CrystalTerm
from burnish.models.structure_factors import plan_structure_factors, structure_factors
from burnish.scattering.form_factors import form_factors
from burnish.symmetry.space_groups import special_positions
from tests.models.crystals import random_atoms, reflections_to, triclinic_like


def simulated(space_group: str = "P 21 21 21", *, on_axis: bool = False) -> tuple[Atoms, Reflections]:
    """A crystal of 60 atoms measured with 3 % errors, the first of them on a twofold axis if asked."""
    crystal = replace(triclinic_like(space_group), cell=(18.0, 22.0, 27.0, 90.0, 90.0, 90.0))
    atoms = random_atoms(crystal, 60, 3)
    atoms = replace(atoms, occ=torch.ones_like(atoms.occ))
    if on_axis:
        xyz, occ = atoms.xyz.clone(), atoms.occ.clone()
        xyz[0] = torch.tensor([0.0, 7.3, 0.0])
        occ[0] = 0.5
        atoms = replace(atoms, xyz=xyz, occ=occ)
    r = reflections_to(crystal, 1.9)
    weight = special_positions(crystal, atoms.xyz.numpy()).weight(atoms.occ.numpy())
    f = structure_factors(
        atoms, form_factors(atoms.elements), atoms.occ.numpy() * weight, plan_structure_factors(crystal, r.hkl)
    )
    generator = torch.Generator().manual_seed(7)
    f = f.abs().double()
    sigma = 0.03 * f + 1.0
    noisy = (f + sigma * torch.randn(len(f), generator=generator, dtype=f.dtype)).clamp_min(0.1)
    return atoms, replace(r, f_obs=noisy, sigma_f_obs=sigma, free=torch.rand(len(f), generator=generator) < 0.1)


def prepared(model: Atoms, reflections: Reflections) -> CrystalTerm:
    term = CrystalTerm(reflections)
    term.prepare(model)
    return term


def with_occ(atoms: Atoms, rows: list[int], occ: float) -> Atoms:
    changed = atoms.occ.clone()
    changed[rows] = occ
    return replace(atoms, occ=changed)


def test_first_order_is_the_gradient() -> None:
    atoms, reflections = simulated("P 1 2 1", on_axis=True)
    term = prepared(atoms, reflections)
    step = np.full(len(atoms), 1e-6)
    slope = term.local_likelihood().of_each(atoms, step) / 1e-6
    expected = term.evaluate(atoms).gradient.occ.numpy()
    assert np.abs(slope - expected).max() < 2e-3 * np.abs(expected).max()


@pytest.mark.parametrize("rows", [[5], [11], [20, 21]])
def test_what_is_left_out_is_worth_what_the_likelihood_loses(rows: list[int]) -> None:
    """To second order: an atom of a few per mille of the scattering changes −log L by this within a quarter."""
    atoms, reflections = simulated()
    model = with_occ(atoms, rows, 0.25)
    term = prepared(model, reflections)
    lost = term.value(with_occ(model, rows, 0.0)) - term.value(model)
    local = term.local_likelihood()
    chosen = model.subset(rows)
    assert local.of_all(chosen, -chosen.occ.numpy()) == pytest.approx(lost, rel=0.25, abs=0.5)


def test_a_missing_atom_is_found_worth_its_place_and_an_empty_place_nothing() -> None:
    atoms, reflections = simulated()
    model = atoms.subset([k for k in range(len(atoms)) if k != 5])
    local = prepared(model, reflections).local_likelihood()
    there = atoms.subset([5])
    elsewhere = replace(there, xyz=there.xyz + torch.tensor([[2.0, -1.5, 1.0]], dtype=torch.float64))
    one = np.ones(1)
    assert local.of_each(there, one)[0] < -20.0
    assert local.of_each(elsewhere, one)[0] > 0.0


def test_an_atom_put_back_where_it_belongs_gains() -> None:
    """A move is an atom less here and one more there; of each alone the way they overlap is missing."""
    atoms, reflections = simulated()
    moved = atoms.xyz.clone()
    moved[5, 0] += 0.6
    model = replace(atoms, xyz=moved)
    term = prepared(model, reflections)
    both = replace(atoms.subset([5, 5]), xyz=torch.stack([moved[5], atoms.xyz[5]]))
    occ = float(atoms.occ[5])
    gain = term.local_likelihood().of_all(both, np.array([-occ, occ]))
    assert gain == pytest.approx(term.value(atoms) - term.value(model), rel=0.35)
    assert gain < -20.0


def test_all_together_of_one_is_each_also_on_an_axis() -> None:
    atoms, reflections = simulated("P 1 2 1", on_axis=True)
    local = prepared(atoms, reflections).local_likelihood()
    for k in (0, 7):
        alone = atoms.subset([k])
        by = -alone.occ.numpy()
        assert local.of_all(alone, by) == pytest.approx(float(local.of_each(alone, by)[0]), rel=1e-3)


def test_both_conventions_of_occupancy_on_an_axis_are_the_same_atom() -> None:
    atoms, reflections = simulated("P 1 2 1", on_axis=True)
    local = prepared(atoms, reflections).local_likelihood()
    half, whole = atoms.subset([0]), replace(atoms.subset([0]), occ=torch.ones(1, dtype=torch.float64))
    assert local.of_each(half, np.array([-0.5]))[0] == pytest.approx(local.of_each(whole, np.array([-1.0]))[0])
