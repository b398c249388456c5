"""Parameters and what the atoms make of them."""

import numpy as np
import pytest
import torch

from burnish.core.units import EIGHT_PI_SQUARED
from burnish.data.atoms import Atoms
from burnish.data.reflections import Crystal
from burnish.models.parameters import (
    OccupancyGroups,
    displacement_parameters,
    moved_atoms,
    normalised_occupancies,
    occupancy_parameters,
    positive_tensors,
)
from burnish.models.special_positions import find_special_positions, no_special_positions

CRYSTAL = Crystal(cell=(20.0, 30.0, 40.0, 90.0, 90.0, 90.0), space_group="P 2 2 2")


def _free(n):
    return np.zeros(n, dtype=bool)


def test_a_site_on_an_axis_moves_along_it_only():
    xyz = np.array([[0.1, 7.0, 0.1], [3.0, 4.0, 5.0], [0.05, -0.1, 0.1]])
    special = find_special_positions(xyz, CRYSTAL)
    assert special.atom.tolist() == [0, 2]
    assert special.multiplicity.tolist() == [2, 4]
    assert special.position[0] == pytest.approx([0.0, 7.0, 0.0])
    assert special.projector[0] == pytest.approx(np.diag([0.0, 1.0, 0.0]))
    assert special.projector[1] == pytest.approx(np.zeros((3, 3)), abs=1e-12)
    # along b only U13 of the off-diagonal elements may differ from zero; at 222 none
    assert np.diag(special.tensor_projector[0]) == pytest.approx([1, 1, 1, 0, 1, 0])
    assert np.diag(special.tensor_projector[1]) == pytest.approx([1, 1, 1, 0, 0, 0])


def test_projection_keeps_a_tensor_that_obeys_the_site():
    crystal = Crystal(cell=(30.0, 30.0, 50.0, 90.0, 90.0, 120.0), space_group="P 3")
    special = find_special_positions(np.array([[0.0, 0.0, 7.0]]), crystal)
    projected = special.tensor_projector[0] @ np.array([1.0, 2.0, 3.0, 0.4, 0.5, 0.6])
    assert projected == pytest.approx([1.5, 1.5, 3.0, 0.0, 0.0, 0.0], abs=1e-9)


def test_occupancies_of_a_set_add_up_to_one():
    groups = OccupancyGroups(group=np.array([-1, 0, 0, 1, 2]), set_of_group=np.array([0, 0, 0]))
    occ = normalised_occupancies(np.array([1.0, 0.5, 0.7, 0.3, 0.1]), groups)
    assert occ[[1, 3, 4]].sum() == pytest.approx(1.0)
    assert occ[1] == occ[2]
    step = occupancy_parameters(groups) @ np.array([0.1, -0.03])
    assert step == pytest.approx([0.0, 0.1, 0.1, -0.03, -0.07])


def test_hydrogens_take_the_b_of_their_parents():
    is_aniso = np.array([False, False, True, False])
    parent = np.array([0, 0, 2, 2])
    matrix = displacement_parameters(is_aniso, parent, no_special_positions(), _free(4))
    assert matrix.shape == (28, 7)
    full = matrix @ np.array([2.0, 0.1, 0.2, 0.3, 0.01, 0.02, 0.03])
    assert full[:4] == pytest.approx([2.0, 2.0, 0.0, EIGHT_PI_SQUARED * 0.2])
    assert full[4 + 12 : 4 + 18] == pytest.approx([0.1, 0.2, 0.3, 0.01, 0.02, 0.03])


def test_a_held_shape_moves_by_an_isotropic_part():
    matrix = displacement_parameters(
        np.array([True, False]), np.array([0, 0]), no_special_positions(), np.array([True, False])
    )
    full = matrix @ np.array([EIGHT_PI_SQUARED])
    assert matrix.shape == (14, 1)
    assert full[1] == pytest.approx(EIGHT_PI_SQUARED)
    assert full[2:8] == pytest.approx([1, 1, 1, 0, 0, 0])


def test_tensors_stay_positive():
    u = np.array([[0.2, -0.1, 0.3, 0.05, 0.0, 0.1], [0.2, 0.3, 0.25, 0.01, 0.0, 0.0]])
    fixed = positive_tensors(u)
    assert fixed[1] == pytest.approx(u[1], abs=0)
    matrix = fixed[0][[0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(3, 3)
    assert np.linalg.eigvalsh(matrix).min() == pytest.approx(2.0 / EIGHT_PI_SQUARED)


def _atoms(n):
    return Atoms(
        xyz=torch.zeros(n, 3, dtype=torch.float64),
        b_iso=torch.full((n,), 20.0, dtype=torch.float64),
        u_aniso=torch.zeros(n, 6, dtype=torch.float64),
        is_aniso=torch.zeros(n, dtype=torch.bool),
        occ=torch.ones(n, dtype=torch.float64),
        elements=("C",) * n,
        charges=torch.zeros(n, dtype=torch.int64),
        altloc=("",) * n,
        residue=torch.zeros(n, dtype=torch.int64),
    )


def test_steps_are_limited_and_inputs_unchanged():
    from burnish.data.hydrogens import Riders

    empty = torch.zeros(0, 3, dtype=torch.float64)
    none = torch.zeros(0, dtype=torch.int64)
    riders = Riders(
        hydrogen=none, parent=none, tip=empty.long(), base=empty.long(), first=empty, second=empty, offset=empty
    )
    atoms = _atoms(2)
    steps = (np.array([3.0, 4.0, 0, 0.1, 0, 0]), np.concatenate([[-100.0, 5.0], np.zeros(12)]), np.array([0.0, 0.3]))
    moved = moved_atoms(atoms, steps, riders, np.arange(2))
    assert moved.xyz[0].tolist() == pytest.approx([0.6, 0.8, 0.0])
    shorter = moved_atoms(atoms, steps, riders, np.arange(2), 0.4)
    assert shorter.xyz.tolist() == [pytest.approx([0.24, 0.32, 0.0]), pytest.approx([0.1, 0.0, 0.0])]
    assert moved.xyz[1].tolist() == pytest.approx([0.1, 0.0, 0.0])
    assert moved.b_iso.tolist() == pytest.approx([2.0, 25.0])
    assert moved.occ.tolist() == [1.0, 1.0]
    assert atoms.b_iso.tolist() == [20.0, 20.0]
    assert not atoms.xyz.any()
