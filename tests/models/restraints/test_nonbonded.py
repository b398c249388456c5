"""Contacts: which pairs, across symmetry, and their gradients."""

import numpy as np
import pytest
import torch

from burnish.data.reflections import Crystal
from burnish.data.restraints import ContactTypes, HydrogenBondRole
from burnish.models.restraints.nonbonded import contact_distances, contact_residuals, find_contacts
from burnish.models.restraints.term import harmonic_term

CRYSTAL = Crystal(cell=(9.0, 10.0, 12.0, 90.0, 100.0, 90.0), space_group="P 1 21 1")


def _types(n, **changes):
    values = {
        "radius": torch.full((n,), 1.7, dtype=torch.float64),
        "united_radius": torch.full((n,), 1.9, dtype=torch.float64),
        "ion_radius": torch.full((n,), float("nan"), dtype=torch.float64),
        "role": torch.zeros(n, dtype=torch.int64),
        "is_hydrogen": torch.zeros(n, dtype=torch.bool),
        "is_metal": torch.zeros(n, dtype=torch.bool),
        "conformer": torch.zeros(n, dtype=torch.int64),
        "parent": torch.arange(n),
        "near": torch.zeros((0, 2), dtype=torch.int64),
        "near_bonds": torch.zeros(0, dtype=torch.int64),
    }
    return ContactTypes(**{**values, **changes})


def _brute_force(xyz, cutoff):
    cell, ops = CRYSTAL.unit_cell, CRYSTAL.group.operations()
    orth = np.array(cell.orth.mat.tolist())
    frac = xyz @ np.linalg.inv(orth).T
    found = set()
    for k, op in enumerate(ops):
        moved = frac @ (np.array(op.rot) / op.DEN).T + np.array(op.tran) / op.DEN
        for shift in np.ndindex(7, 7, 7):
            offset = np.array(shift) - 3
            image = (moved + offset) @ orth.T
            distance = np.linalg.norm(xyz[:, None] - image[None], axis=2)
            for i, j in np.argwhere(distance < cutoff):
                if i < j or (i == j and (k or offset.any())):
                    found.add((i, j, round(float(distance[i, j]), 6)))
    return found


def test_pairs_across_symmetry_are_those_of_brute_force():
    xyz = np.random.default_rng(2).uniform(0, 9, size=(12, 3))
    contacts = find_contacts(xyz, _types(12), CRYSTAL, np.ones(12))
    rotation = contacts.mates.rotation[contacts.mate]
    image = np.einsum("nij,nj->ni", rotation, xyz[contacts.atoms[:, 1]]) + contacts.mates.shift[contacts.mate]
    distance = np.linalg.norm(xyz[contacts.atoms[:, 0]] - image, axis=1)
    cutoff = 3.8 + 0.7
    found = {(i, j, round(float(d), 6)) for (i, j), d in zip(contacts.atoms.tolist(), distance, strict=True)}
    assert found == _brute_force(xyz, cutoff)
    assert (contacts.mate > 0).any()


def test_gradient_across_symmetry():
    xyz = np.random.default_rng(2).uniform(0, 9, size=(12, 3))
    contacts = find_contacts(xyz, _types(12), CRYSTAL, np.ones(12))

    def energy(x):
        return harmonic_term("contact", contact_residuals(x, contacts), 12).energy

    gradient = harmonic_term("contact", contact_residuals(xyz, contacts), 12).gradient.reshape(-1, 3)
    for atom, axis in [(0, 0), (5, 1), (11, 2)]:
        up, down = xyz.copy(), xyz.copy()
        up[atom, axis] += 1e-5
        down[atom, axis] -= 1e-5
        assert gradient[atom, axis] == pytest.approx((energy(up) - energy(down)) / 2e-5, rel=1e-5, abs=1e-5)


def test_bonded_pairs_and_other_conformers_do_not_touch():
    xyz = np.array([[0.0, 0, 0], [1.5, 0, 0], [0, 2.0, 0], [0, 0, 2.0]])
    near = torch.tensor([[0, 1], [1, 2]])
    types = _types(4, near=near, near_bonds=torch.tensor([1, 3]), conformer=torch.tensor([0, 0, 1, 2]))
    contacts = find_contacts(xyz, types, None, np.ones(4))
    pairs = {tuple(p): d for p, d in zip(contacts.atoms.tolist(), contacts.distance, strict=True)}
    assert (0, 1) not in pairs  # bonded
    assert (2, 3) not in pairs  # other conformer
    assert pairs[(1, 2)] == pytest.approx(3.8 - 0.3)  # ends of a torsion
    assert pairs[(0, 2)] == pytest.approx(3.8)


def test_hydrogen_bonds_and_metals_come_closer():
    role = torch.tensor([HydrogenBondRole.DONOR, HydrogenBondRole.ACCEPTOR, HydrogenBondRole.HYDROGEN, 0])
    types = _types(
        4,
        role=role,
        is_hydrogen=torch.tensor([False, False, True, False]),
        is_metal=torch.tensor([False, False, False, True]),
        ion_radius=torch.tensor([float("nan"), 1.2, float("nan"), 0.9], dtype=torch.float64),
    )
    pairs = np.array([[0, 1], [1, 2], [1, 3], [0, 3], [0, 2]])
    found = contact_distances(types, pairs, np.full(5, -1))
    assert found == pytest.approx([3.1, 1.8, 2.1, 3.4, 3.4])


def test_an_atom_on_an_axis_does_not_repel_itself():
    crystal = Crystal(cell=(20.0, 20.0, 20.0, 90.0, 90.0, 90.0), space_group="P 1 2 1")
    xyz = np.array([[0.1, 5.0, 0.0], [1.0, 13.0, 0.0]])
    contacts = find_contacts(xyz, _types(2), crystal, np.array([1.0, 0.5]))
    assert len(contacts) == 0
    contacts = find_contacts(xyz, _types(2), crystal, np.array([1.0, 1.0]))
    assert contacts.atoms.tolist() == [[1, 1]]


def test_no_atoms():
    contacts = find_contacts(np.zeros((0, 3)), _types(0), None, np.zeros(0))
    assert len(contacts) == 0
