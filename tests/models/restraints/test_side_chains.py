"""Restraints of χ."""

import gemmi
import numpy as np
import pytest
import torch
from tests.peptide_model import make_peptide, positions

from burnish.chemistry.labels import atom_labels
from burnish.chemistry.library import read_library
from burnish.chemistry.rotamers import CHI_ATOMS, rotamer_density, rotamer_nll
from burnish.chemistry.topology import build_topology
from burnish.models.restraints.side_chains import find_side_chains, side_chain_energy, side_chain_term
from burnish.models.restraints.torsion_chains import as_mixture, chain_angles, mixture_energy, stack_mixtures

NAMES = ["ALA", "SER", "LEU", "PRO", "ARG", "PHE", "GLN", "GLY"]


def with_side_chains():
    """A peptide whose side chains are whole: those of the dictionaries, laid on its backbone."""
    from burnish.rebuild.side_chains import side_chain_rotamers, side_chain_template

    monlib = read_library(sorted(set(NAMES))).monlib
    structure = make_peptide(NAMES, -75.0, 120.0)
    for residue in structure[0]["A"]:
        template = side_chain_template(monlib, residue.name)
        if residue.name in ("GLY", "ALA") or template is None:
            continue
        backbone = np.array([residue[n][0].pos.tolist() for n in ("N", "CA", "C")])
        _, _, placed = side_chain_rotamers(template, backbone)
        for number in reversed(range(len(residue))):
            if residue[number].name == "CB":
                del residue[number]
        elements = dict(zip(template.names, template.elements, strict=True))
        for name, xyz in zip(template.side, placed[0], strict=True):
            atom = residue["CA"][0].clone()
            atom.name, atom.element = name, gemmi.Element(elements[name])
            atom.pos = gemmi.Position(*xyz.tolist())
            residue.add_atom(atom)
    return build_topology(structure, monlib, hydrogens="remove")


@pytest.fixture(scope="module")
def peptide():
    topology = with_side_chains()
    xyz = positions(topology.structure).numpy()
    return find_side_chains(atom_labels(topology.structure), topology.restraints), xyz


def test_side_chains_are_found(peptide):
    side_chains, _ = peptide
    assert dict(zip(side_chains.names, (a.shape for a in side_chains.atoms), strict=True)) == {
        "SER": (1, 4),
        "LEU": (1, 5),
        "ARG": (1, 7),
        "PHE": (1, 5),
        "GLN": (1, 6),
    }


@pytest.mark.parametrize("name", sorted(set(CHI_ATOMS) - {"MSE"}))
def test_density_is_that_of_the_reference(name):
    angles = np.random.default_rng(len(name)).uniform(-np.pi, np.pi, size=(40, len(CHI_ATOMS[name])))
    value, gradient, curvature = mixture_energy(as_mixture(rotamer_density(name)), angles)
    leaf = torch.as_tensor(angles).requires_grad_()
    expected = rotamer_nll(name, leaf)
    expected.sum().backward()
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-10)
    np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-8, atol=1e-8)
    assert np.linalg.eigvalsh(curvature).min() > -1e-8


def test_gradient_and_energy_of_the_term(peptide):
    side_chains, xyz = peptide
    kept = xyz.copy()
    term = side_chain_term(xyz, side_chains, 2.5)
    assert term.energy == pytest.approx(side_chain_energy(xyz, side_chains, 2.5))
    np.testing.assert_array_equal(kept, xyz)
    direction, h = np.random.default_rng(3).normal(size=xyz.shape), 1e-5
    ends = [side_chain_energy(xyz + s * h * direction, side_chains, 2.5) for s in (1, -1)]
    assert term.gradient @ direction.reshape(-1) == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-5)


def test_steps_lead_to_a_rotamer(peptide):
    side_chains, xyz = peptide
    rng = np.random.default_rng(5)
    xyz = xyz + rng.normal(0.0, 0.25, xyz.shape)
    before = side_chain_energy(xyz, side_chains, 1.0)
    for _ in range(20):
        term = side_chain_term(xyz, side_chains, 1.0)
        normal = (term.factor.T @ term.factor).toarray() + 1e-2 * np.eye(xyz.size)
        xyz = xyz - 0.5 * np.linalg.solve(normal, term.gradient).reshape(-1, 3)
    assert side_chain_energy(xyz, side_chains, 1.0) < before - 3.0
    leucine = side_chains.atoms[side_chains.names.index("LEU")]
    level = rotamer_nll("LEU", torch.from_numpy(chain_angles(xyz, leucine)[0]))
    assert float(level[0]) < 1.0


def test_nothing_is_found_without_whole_side_chains():
    topology = build_topology(make_peptide(["ALA"] * 4, -75.0, 120.0), read_library(["ALA"]).monlib, hydrogens="remove")
    found = find_side_chains(atom_labels(topology.structure), topology.restraints)
    assert len(found) == 0
    term = side_chain_term(positions(topology.structure).numpy(), found, 1.0)
    assert term.energy == 0.0
    assert term.factor.shape == (0, 3 * topology.structure[0].count_atom_sites())


def test_densities_of_several_types_in_one_call_are_those_of_each():
    names = ("LEU", "PHE", "LEU", "ASN")  # of two angles, of different periods and numbers of components
    angles = np.random.default_rng(5).uniform(-np.pi, np.pi, (len(names), 2))
    together = mixture_energy(stack_mixtures([as_mixture(rotamer_density(n)) for n in names]), angles)
    for k, name in enumerate(names):
        alone = mixture_energy(as_mixture(rotamer_density(name)), angles[k : k + 1])
        for many, one in zip(together, alone, strict=True):
            np.testing.assert_allclose(many[k], one[0], rtol=1e-10, atol=1e-12)
