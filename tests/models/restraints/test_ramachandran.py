"""Restraints of φ and ψ."""

import numpy as np
import pytest
import torch
from tests.peptide_model import make_peptide, positions

from burnish.chemistry.labels import atom_labels
from burnish.chemistry.library import read_library
from burnish.chemistry.ramachandran import CLASSES, ramachandran_nll
from burnish.chemistry.topology import build_topology
from burnish.models.restraints.ramachandran import (
    find_backbone,
    negative_log_density,
    ramachandran_energy,
    ramachandran_term,
)

NAMES = ["ALA", "SER", "GLY", "VAL", "ALA", "PRO", "LEU", "ALA"]


@pytest.fixture(scope="module")
def peptide():
    structure = make_peptide(NAMES, -75.0, 120.0)
    topology = build_topology(structure, read_library(sorted(set(NAMES))).monlib, hydrogens="remove")
    xyz = positions(topology.structure).numpy()
    return find_backbone(atom_labels(topology.structure), topology.restraints, xyz), xyz


def test_backbone_is_found_with_its_classes(peptide):
    backbone, _ = peptide
    assert [CLASSES[k] for k in backbone.kind] == [
        "general", "glycine", "ile_val", "pre_proline", "trans_proline", "general",
    ]  # fmt: skip


def test_conformers_of_the_backbone_are_residues_of_their_own():
    structure = make_peptide(["ALA"] * 4, -75.0, 120.0)
    residue = structure[0]["A"][1]
    whole = [atom.clone() for atom in residue]
    for number in reversed(range(len(residue))):
        del residue[number]
    for atom in whole:
        for letter in "AB":
            atom.altloc, atom.occ = letter, 0.5
            residue.add_atom(atom)
    topology = build_topology(structure, read_library(["ALA"]).monlib, hydrogens="remove")
    labels, conformer = atom_labels(topology.structure), topology.restraints.contacts.conformer.numpy()
    backbone = find_backbone(labels, topology.restraints, positions(topology.structure).numpy())
    assert len(backbone) == 3
    for row in backbone.atoms:
        assert len(set(conformer[row]) - {0}) <= 1


@pytest.mark.parametrize("kind", range(len(CLASSES)))
def test_density_is_that_of_the_reference(kind):
    angles = np.random.default_rng(kind).uniform(-np.pi, np.pi, size=(50, 2))
    expected = ramachandran_nll([CLASSES[kind]] * 50, torch.as_tensor(angles)).numpy()
    value, gradient, curvature = negative_log_density(kind, angles)
    assert np.allclose(value, expected, rtol=1e-10)
    assert (np.linalg.eigvalsh(curvature) > -1e-9).all()
    leaf = torch.as_tensor(angles).requires_grad_()
    ramachandran_nll([CLASSES[kind]] * 50, leaf).sum().backward()
    assert np.allclose(gradient, leaf.grad.numpy(), rtol=1e-8, atol=1e-8)


def test_gradient_and_energy_of_the_term(peptide):
    backbone, xyz = peptide
    kept = xyz.copy()
    term = ramachandran_term(xyz, backbone, 2.5)
    assert term.energy == pytest.approx(ramachandran_energy(xyz, backbone, 2.5))
    assert np.array_equal(kept, xyz)
    rng = np.random.default_rng(3)
    direction, h = rng.normal(size=xyz.shape), 1e-5
    ends = [ramachandran_energy(xyz + s * h * direction, backbone, 2.5) for s in (1, -1)]
    assert term.gradient @ direction.reshape(-1) == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-6)


def test_gauss_newton_steps_lead_into_the_favoured_region(peptide):
    backbone, _ = peptide
    structure = make_peptide(NAMES, -90.0, 70.0)  # between β and α
    xyz = positions(structure).numpy()
    before = ramachandran_energy(xyz, backbone, 1.0)
    for _ in range(20):
        term = ramachandran_term(xyz, backbone, 1.0)
        normal = (term.factor.T @ term.factor).toarray() + 1e-2 * np.eye(xyz.size)
        xyz = xyz - np.linalg.solve(normal, term.gradient).reshape(-1, 3) * 0.5
    assert ramachandran_energy(xyz, backbone, 1.0) < before - 6.0
