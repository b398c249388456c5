"""Copies of chains, jelly body and reference distances."""

import numpy as np
import pytest
import torch

from burnish.data.labels import AtomLabels
from burnish.data.restraints import ContactTypes
from burnish.models.restraints.neighbours import (
    find_copies,
    jelly_term,
    ncs_residuals,
    ncs_term,
    neighbour_pairs,
    reference_distances,
    reference_term,
)

N_RESIDUES = 15
NAMES = ("ALA", "GLY", "SER", "LEU", "VAL", "ASP", "LYS", "TRP", "PHE", "THR", "MET", "ARG", "HIS", "ASN", "TYR")


def _labels(shift=100, other=NAMES):
    rows = [("A", k + 1, NAMES[k], a) for k in range(N_RESIDUES) for a in ("N", "CA", "C", "O")]
    rows += [("B", k + 1 + shift, other[k], a) for k in range(N_RESIDUES) for a in ("N", "CA", "C", "O")]
    rows += [("A", 900, "HOH", "O"), ("B", 900, "HOH", "O")]
    chain, number, name, atom = zip(*rows, strict=True)
    return AtomLabels(chain=chain, number=number, insertion=("",) * len(rows), residue_name=name, atom_name=atom)


def _types(n):
    none = torch.full((n,), float("nan"), dtype=torch.float64)
    return ContactTypes(
        radius=none, united_radius=none, ion_radius=none,
        role=torch.zeros(n, dtype=torch.int64),
        is_hydrogen=torch.zeros(n, dtype=torch.bool),
        is_metal=torch.zeros(n, dtype=torch.bool),
        conformer=torch.zeros(n, dtype=torch.int64),
        parent=torch.arange(n),
        near=torch.tensor([[0, 1]]),
        near_bonds=torch.tensor([1]),
    )  # fmt: skip


@pytest.fixture
def copies_and_xyz():
    rng = np.random.default_rng(7)
    first = rng.uniform(0, 9, size=(4 * N_RESIDUES, 3))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    xyz = np.concatenate([first, first @ rotation.T + 40.0, rng.uniform(0, 9, size=(2, 3))])
    labels = _labels()
    return find_copies(labels, _types(len(labels))), xyz


def test_copies_are_found_whatever_their_numbering(copies_and_xyz):
    (copy,), _ = copies_and_xyz
    assert copy.chains == ("A", "B")
    assert copy.atoms.tolist() == [[i, i + 4 * N_RESIDUES] for i in range(4 * N_RESIDUES)]


def test_other_sequences_are_no_copies():
    labels = _labels(shift=0, other=NAMES[::-1])
    assert find_copies(labels, _types(len(labels))) == ()


def test_exact_copies_cost_nothing_and_differences_are_felt(copies_and_xyz):
    copies, xyz = copies_and_xyz
    types = _types(len(xyz))
    assert ncs_term(xyz, copies, types).energy == pytest.approx(0.0, abs=1e-12)
    moved = xyz.copy()
    moved[3] += 0.1
    assert ncs_term(moved, copies, types).energy > 0.1
    other = xyz.copy()
    other[3] += 3.0  # a side chain turned another way is let go: every pair costs at most 2
    residuals = ncs_residuals(other, copies, types)
    assert ncs_term(other, copies, types).energy < 2.0 * (np.abs(residuals.z) > 1e-6).sum()


def test_gradient_of_ncs(copies_and_xyz):
    copies, xyz = copies_and_xyz
    xyz = xyz + np.random.default_rng(1).normal(scale=0.05, size=xyz.shape)
    types = _types(len(xyz))
    gradient = ncs_term(xyz, copies, types).gradient.reshape(-1, 3)
    for atom, axis in [(2, 0), (9, 1), (70, 2)]:
        up, down = xyz.copy(), xyz.copy()
        up[atom, axis] += 1e-6
        down[atom, axis] -= 1e-6
        numeric = (ncs_term(up, copies, types).energy - ncs_term(down, copies, types).energy) / 2e-6
        assert gradient[atom, axis] == pytest.approx(numeric, rel=1e-4, abs=1e-4)


def test_neighbours_leave_out_bonded_atoms():
    xyz = np.array([[0.0, 0, 0], [1.5, 0, 0], [3.0, 0, 0], [9.0, 0, 0]])
    assert neighbour_pairs(xyz, _types(4)).tolist() == [[0, 2], [1, 2]]


def test_jelly_body_only_resists():
    xyz = np.array([[0.0, 0, 0], [1.5, 0, 0], [3.0, 0, 0]])
    term = jelly_term(xyz, _types(3), 0.05)
    assert term.energy == 0.0
    assert not term.gradient.any()
    shift = np.tile([1.0, 0, 0], 3)
    assert term.factor @ shift == pytest.approx(0.0)
    stretch = np.array([0.0, 0, 0, 0, 0, 0, 0.05, 0, 0])
    assert np.abs(term.factor @ stretch) == pytest.approx([1.0, 1.0])


def test_reference_distances_by_name():
    labels = _labels()
    reference = AtomLabels(
        chain=labels.chain[:20], number=labels.number[:20], insertion=labels.insertion[:20],
        residue_name=labels.residue_name[:20], atom_name=labels.atom_name[:20],
    )  # fmt: skip
    xyz = np.random.default_rng(3).uniform(0, 8, size=(20, 3))
    types = _types(len(labels))
    found = reference_distances(labels, types, reference, xyz)
    assert found.atoms.max() < 20
    assert found.distance.max() <= 4.2
    here = np.concatenate([xyz, np.zeros((len(labels) - 20, 3))])
    assert reference_term(here, found).energy == pytest.approx(0.0, abs=1e-9)
    here[4] += 0.3
    assert reference_term(here, found).energy > 0.5
    nobody = AtomLabels(chain=("Z",), number=(1,), insertion=("",), residue_name=("ALA",), atom_name=("N",))
    assert len(reference_distances(labels, types, nobody, np.zeros((1, 3))).distance) == 0
