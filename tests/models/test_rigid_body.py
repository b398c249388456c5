"""Rigid bodies: directions, exact motions."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from burnish.data.atoms import Atoms
from burnish.models.rigid_body import LARGEST_TURN, moved_rigidly, rigid_columns


@pytest.fixture
def atoms():
    rng = np.random.default_rng(2)
    n = 10
    f = {"dtype": torch.float64}
    return Atoms(
        xyz=torch.as_tensor(rng.normal(scale=5.0, size=(n, 3))),
        b_iso=torch.full((n,), 20.0, **f),
        u_aniso=torch.tensor([[0.3, 0.2, 0.1, 0.0, 0.0, 0.0]], **f).repeat(n, 1),
        is_aniso=torch.ones(n, dtype=torch.bool),
        occ=torch.ones(n, **f),
        elements=("C",) * n,
        charges=torch.zeros(n, dtype=torch.int64),
        altloc=("",) * n,
        residue=torch.zeros(n, dtype=torch.int64),
    )


GROUPS = (np.arange(6), np.arange(6, 9))


def test_columns_are_the_derivatives_of_the_motion(atoms):
    matrix = rigid_columns(atoms.xyz.numpy(), GROUPS).toarray()
    for column in range(12):
        motion = np.zeros(12)
        motion[column] = 1e-6
        moved = moved_rigidly(atoms, GROUPS, motion.reshape(2, 6))
        numeric = (moved.xyz - atoms.xyz).numpy().reshape(-1) / 1e-6
        assert matrix[:, column] == pytest.approx(numeric, abs=1e-4)


def test_distances_inside_a_body_stay_and_inputs_too(atoms):
    before = atoms.xyz.clone()
    motion = np.array([[0.3, -0.2, 0.5, 0.05, 0.02, -0.03], [9.0, 0, 0, 0, 0, 3.0]])
    moved = moved_rigidly(atoms, GROUPS, motion)
    assert torch.equal(atoms.xyz, before)
    for group in GROUPS:
        assert torch.cdist(moved.xyz[group], moved.xyz[group]).numpy() == pytest.approx(
            torch.cdist(atoms.xyz[group], atoms.xyz[group]).numpy(), abs=1e-9
        )
    assert torch.equal(moved.xyz[9], atoms.xyz[9])
    centre = moved.xyz[6:9].mean(dim=0) - atoms.xyz[6:9].mean(dim=0)
    assert float(centre.norm()) == pytest.approx(1.5)  # limited


def test_tensors_turn_along(atoms):
    turn = LARGEST_TURN
    moved = moved_rigidly(atoms, (np.arange(10),), np.array([[0, 0, 0, 0, 0, turn]]))
    c, s = np.cos(turn), np.sin(turn)
    expected = [0.3 * c * c + 0.2 * s * s, 0.3 * s * s + 0.2 * c * c, 0.1, 0.1 * c * s, 0.0, 0.0]
    assert moved.u_aniso[0].tolist() == pytest.approx(expected)
    assert replace(moved, xyz=atoms.xyz).b_iso.tolist() == atoms.b_iso.tolist()
