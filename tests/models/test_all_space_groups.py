"""Structure factors and their gradient in each of the 230 space groups, against a sum over atoms and operations."""

import gemmi
import numpy as np
import pytest
import torch

from burnish.models.structure_factors import plan_structure_factors, structure_factor_gradient, structure_factors
from burnish.scattering.form_factors import form_factors
from burnish.symmetry.space_groups import fractionalisation, special_positions
from tests.models.crystals import on_special_position, random_atoms, reflections_to, triclinic_like


def _direct(crystal, xyz, b_iso, occ, factors, hkl, s2):
    """F by summation in float64, differentiable; gemmi's operations, not those of the package."""
    frac = xyz @ torch.as_tensor(fractionalisation(crystal)).T
    total = torch.zeros(len(hkl), dtype=torch.complex128)
    form = torch.as_tensor(factors.at(s2.numpy())[factors.kind])  # (atoms, reflections)
    damped = occ[:, None] * form * torch.exp(-0.25 * b_iso[:, None] * s2)
    for op in gemmi.SpaceGroup(crystal.space_group).operations():
        rotation = torch.tensor(op.rot, dtype=torch.float64) / op.DEN
        translation = torch.tensor(op.tran, dtype=torch.float64) / op.DEN
        angle = 2.0 * torch.pi * (frac @ rotation.T + translation) @ hkl.double().T
        total = total + (damped * torch.exp(1j * angle)).sum(dim=0)
    return total


@pytest.mark.parametrize("number", range(1, 231))
def test_structure_factors_and_gradient(number):
    """One atom lies at the origin, a special position of most groups; its occupancy is that of the site."""
    crystal = triclinic_like(gemmi.find_spacegroup_by_number(number).xhm())
    atoms = on_special_position(crystal, random_atoms(crystal, 3, seed=number), (0.0, 0.0, 0.0))
    atoms.occ[0] = 1.0
    r = reflections_to(crystal, 2.8)
    hkl, s2 = r.hkl, r.s2
    occ = atoms.occ.numpy() * special_positions(crystal, atoms.xyz.numpy()).weight(atoms.occ.numpy())
    factors, plan = form_factors(atoms.elements), plan_structure_factors(crystal, hkl)
    leaves = [t.clone().requires_grad_() for t in (atoms.xyz, atoms.b_iso, torch.as_tensor(occ))]
    expected = _direct(crystal, *leaves, factors, hkl, s2)
    found = structure_factors(atoms, factors, occ, plan)
    size = float(expected.detach().abs().square().mean().sqrt())
    assert float((found - expected.detach()).abs().square().mean().sqrt()) < 2e-3 * size

    rng = np.random.default_rng(number)
    coefficient = torch.as_tensor(rng.normal(size=(len(hkl), 2)) @ np.array([1.0, 1j]))
    (expected * coefficient.conj()).real.sum().backward()
    gradient = structure_factor_gradient(atoms, factors, occ, plan, coefficient.to(torch.complex64))
    for leaf, values in zip(leaves, (gradient.xyz, gradient.b_iso, gradient.occ), strict=True):
        scale = float(leaf.grad.abs().max())
        assert float((values - leaf.grad).abs().max()) < 2e-2 * scale  # random coefficients nearly cancel in some
