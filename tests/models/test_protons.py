"""Protons beyond their electrons: against a direct sum, against finite differences, and in the term of the maps."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from burnish.chemistry.library import read_library
from burnish.chemistry.topology import build_topology
from burnish.data.atoms import Atoms
from burnish.data.reflections import Crystal
from burnish.models.boxed_maps import box_maps
from burnish.models.map_term import MapTerm
from burnish.models.protons import BOHR_RADIUS, MOTT_BETHE, Protons, dipole_factors, find_protons, repeated
from burnish.models.structure_factors import Accuracy, plan_structure_factors
from burnish.scattering.form_factors import Radiation, form_factors
from tests.models.test_map_term import _atoms, _maps
from tests.workflows.small_crystal import helix

CELL = (30.0, 32.0, 36.0)
PROTONS = Protons(
    hydrogen=torch.tensor([1, 3]), parent=torch.tensor([0, 2]), ratio=torch.tensor([1.16, 1.12], dtype=torch.float64)
)


def _pairs(b: float = 30.0) -> Atoms:
    """A carbon and a nitrogen with a hydrogen each, and an oxygen."""
    xyz = [[9.0, 10.0, 12.0], [9.7, 10.4, 12.5], [13.0, 14.0, 11.0], [12.5, 13.2, 10.9], [15.0, 12.0, 14.0]]
    atoms = _atoms(n=5, b=b)
    elements = ("C", "H", "N", "H", "O")
    return replace(atoms, xyz=torch.tensor(xyz, dtype=torch.float64), elements=elements)


def _hkl() -> torch.Tensor:
    hkl = torch.cartesian_prod(torch.arange(-8, 9), torch.arange(-8, 9), torch.arange(0, 10))
    s2 = (hkl.double() / torch.tensor(CELL, dtype=torch.float64)).square().sum(1)
    return hkl[(s2 < 3.5**-2) & (s2 > 0)]


@pytest.mark.parametrize(("element", "number"), [("C", 6), ("O", 8)])
def test_a_charge_scatters_as_mott_and_bethe_say(element: str, number: int) -> None:
    """The tables of X-rays and of electrons, fitted apart, differ by it: f_electron = (Z − f_xray) / (2π² a₀ s²)."""
    s2 = np.array([0.5, 0.7, 1.0]) ** 2
    xray, electron = (form_factors([element], radiation=r).at(s2)[0] for r in (Radiation.XRAY, Radiation.ELECTRON))
    assert electron == pytest.approx(MOTT_BETHE * (number - xray) / s2, rel=0.02)


def test_the_hydrogen_atom_in_closed_form() -> None:
    """f_xray of the ground state is (1 + (π a₀ s)²)⁻²; unlike the table of X-rays that of electrons has free atoms."""
    s2 = np.array([0.1, 0.25, 0.5, 1.0]) ** 2
    xray = (1.0 + (np.pi * BOHR_RADIUS) ** 2 * s2) ** -2
    electron = form_factors(["H"], radiation=Radiation.ELECTRON).at(s2)[0]
    assert electron == pytest.approx(MOTT_BETHE * (1.0 - xray) / s2, rel=0.01)


def test_dipoles_against_a_direct_sum() -> None:
    atoms, hkl = _pairs(), _hkl()
    crystal = Crystal(cell=(*CELL, 90.0, 90.0, 90.0), space_group="P 1")
    occ = np.array([1.0, 1.0, 1.0, 0.4, 1.0])
    found = dipole_factors(atoms, PROTONS, occ, plan_structure_factors(crystal, hkl)).numpy()
    s = hkl.double().numpy() / np.array(CELL)
    s2 = (s**2).sum(axis=1)
    x = atoms.xyz.numpy()
    expected = np.zeros(len(hkl), dtype=complex)
    for h, parent, ratio in ((1, 0, 1.16), (3, 2, 1.12)):
        proton = x[parent] + ratio * (x[h] - x[parent])
        phases = np.exp(2j * np.pi * s @ proton) - np.exp(2j * np.pi * s @ x[h])
        expected += occ[h] * MOTT_BETHE / s2 * phases * np.exp(-0.25 * 30.0 * s2)
    assert np.abs(found - expected).max() < 0.01 * np.abs(expected).max()


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_gradient_through_the_protons_against_finite_differences(noise: float) -> None:
    atoms = _atoms()
    hydrogens = torch.arange(0, 60, 3)
    elements = tuple("H" if i % 3 == 0 else e for i, e in enumerate(atoms.elements))
    xyz = atoms.xyz.clone()
    away = torch.nn.functional.normalize(xyz[hydrogens] - xyz[hydrogens + 1], dim=1)
    xyz[hydrogens] = xyz[hydrogens + 1] + 0.97 * away
    atoms = replace(atoms, xyz=xyz, elements=elements)
    protons = Protons(hydrogen=hydrogens, parent=hydrogens + 1, ratio=torch.full((20,), 1.13, dtype=torch.float64))
    boxed = box_maps(_maps(atoms, noise), atoms.xyz, 3.0)
    term = MapTerm(boxed, Accuracy(rate=2.0, cutoff=1e-6), protons=protons)
    generator = torch.Generator().manual_seed(5)
    start = replace(atoms, xyz=atoms.xyz + 0.2 * torch.randn(atoms.xyz.shape, generator=generator, dtype=torch.float64))
    term.prepare(start)
    gradient = term.evaluate(start).gradient
    direction = torch.randn(start.xyz.shape, generator=generator, dtype=torch.float64)
    touched = torch.cat([hydrogens, hydrogens + 1])
    only = torch.zeros(60, dtype=torch.float64)
    only[touched] = 1.0
    for name, vector, found, step in (
        ("xyz", direction * only[:, None], gradient.xyz, 2e-3),
        ("b_iso", direction[:, 0] * 3.0 * only, gradient.b_iso, 2e-1),
        ("occ", direction[:, 1] * 0.1 * only, gradient.occ, 2e-2),
    ):
        here = getattr(start, name)
        ahead = term.value(replace(start, **{name: here + step * vector}))
        behind = term.value(replace(start, **{name: here - step * vector}))
        assert float((vector * found).sum()) == pytest.approx((ahead - behind) / (2 * step), rel=0.01), name
    without = MapTerm(boxed)
    without.prepare(start)
    assert abs(without.value(start) - term.value(start)) > 1.0  # they are not negligible


def test_the_dictionary_says_where_protons_are() -> None:
    structure = helix(4)
    library = read_library(sorted({r.name for r in structure[0]["A"]}))
    topology = build_topology(structure, library.monlib, hydrogens="add")
    protons = find_protons(topology.restraints)
    hydrogen = topology.restraints.contacts.is_hydrogen
    assert sorted(protons.hydrogen.tolist()) == torch.nonzero(hydrogen).flatten().tolist()
    assert torch.equal(protons.parent, topology.restraints.contacts.parent[protons.hydrogen])
    # C–H .97 to .98 Å to the electrons and 1.09 to the nucleus, N–H .86 to .91 and 1.01 to 1.04, O–H .84 and .97
    assert 1.1 < float(protons.ratio.min()) < float(protons.ratio.max()) < 1.2


def test_every_copy_has_its_protons() -> None:
    every = repeated(PROTONS, 3, 5)
    assert every.hydrogen.tolist() == [1, 3, 6, 8, 11, 13]
    assert every.parent.tolist() == [0, 2, 5, 7, 10, 12]
    assert every.ratio.tolist() == pytest.approx([1.16, 1.12] * 3)
