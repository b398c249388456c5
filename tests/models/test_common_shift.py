"""Models that differ by one B: recognised, and their structure factors from those of the other."""

from dataclasses import replace

import pytest
import torch

from burnish.data.atoms import Atoms
from burnish.data.reflections import Crystal
from burnish.models.common_shift import common_shift, shifted_factors
from burnish.models.structure_factors import plan_structure_factors, structure_factors
from burnish.scattering.form_factors import Radiation, form_factors
from tests.models.light_atoms import light_atoms


@pytest.fixture
def atoms() -> Atoms:
    n, generator = 40, torch.Generator().manual_seed(1)
    return light_atoms(
        xyz=10.0 + 4.0 * torch.rand(n, 3, generator=generator, dtype=torch.float64),
        b_iso=30.0 + 40.0 * torch.rand(n, generator=generator, dtype=torch.float64),
    )


@pytest.mark.parametrize("shift", [-7.0, 3.0, 15.0])
def test_structure_factors_are_those_of_the_shifted_model(atoms: Atoms, shift: float) -> None:
    crystal = Crystal(cell=(24.0, 24.0, 24.0, 90.0, 90.0, 90.0), space_group="P 1")
    hkl = torch.cartesian_prod(*(torch.arange(-8, 9) for _ in range(3)))
    s2 = hkl.double().square().sum(1) / 24.0**2
    hkl, s2 = hkl[(s2 > 0) & (s2 < 3.0**-2)], s2[(s2 > 0) & (s2 < 3.0**-2)]
    plan, factors = plan_structure_factors(crystal, hkl), form_factors(atoms.elements, None, Radiation.ELECTRON)
    shifted = replace(atoms, b_iso=atoms.b_iso + shift)
    before, after = (structure_factors(a, factors, a.occ.numpy(), plan) for a in (atoms, shifted))
    found = common_shift(atoms, shifted)
    assert found == pytest.approx(shift, abs=1e-9)
    made = shifted_factors(before.to(torch.complex128), s2, found)
    assert made is not None and float((made - after).abs().square().mean().sqrt()) < 2e-3 * float(after.abs().mean())


def test_any_other_difference_is_seen(atoms: Atoms) -> None:
    one = torch.zeros(len(atoms), dtype=torch.float64)
    one[3] = 1e-6
    assert common_shift(atoms, replace(atoms, xyz=atoms.xyz.clone())) == 0.0
    assert common_shift(atoms, replace(atoms, xyz=atoms.xyz + one[:, None])) is None
    assert common_shift(atoms, replace(atoms, b_iso=atoms.b_iso + 2.0 + one)) is None
    assert common_shift(atoms, replace(atoms, occ=atoms.occ - one)) is None
    assert common_shift(atoms, replace(atoms, elements=("S", *atoms.elements[1:]))) is None
    assert common_shift(atoms, replace(atoms, charges=atoms.charges + 1)) is None
    assert common_shift(atoms, atoms.subset(range(5))) is None
    aniso = atoms.is_aniso.clone()
    aniso[0] = True
    assert common_shift(replace(atoms, is_aniso=aniso), replace(atoms, is_aniso=aniso)) is None


def test_large_shifts_are_left_to_the_density() -> None:
    f_calc, s2 = torch.ones(2, dtype=torch.complex128), torch.tensor([0.0, 0.1], dtype=torch.float64)
    assert shifted_factors(f_calc, s2, 0.0) is f_calc
    assert shifted_factors(f_calc, s2, 19.0) is not None
    assert shifted_factors(f_calc, s2, 21.0) is None and shifted_factors(f_calc, s2, -21.0) is None
