"""Riding hydrogens: where they go, and that forces on them reach the heavy atoms exactly."""

import math

import roma
import torch

from burnish.chemistry.hydrogens import place_hydrogens, riding_jacobians
from burnish.data.hydrogens import Riders


def riders() -> Riders:
    """Atoms 0–3: a centre with three neighbours; 4–6: hydrogens riding in each of the three ways."""
    return Riders(
        hydrogen=torch.tensor([4, 5, 6]),
        parent=torch.tensor([0, 0, 1]),
        tip=torch.tensor([[1, 2, 3], [1, 2, 2], [0, 2, 2]]),
        base=torch.tensor([[0, 0, 0], [0, 0, 0], [1, 0, 0]]),
        first=torch.tensor([[-1.0, -1.0, -1.0], [-1.0, -1.0, 0.0], [-1.0, 0.0, 0.0]], dtype=torch.float64),
        second=torch.tensor([[1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64),
        offset=torch.tensor([[1.1, 0.0, 0.0], [0.6, 0.1, -0.9], [0.3, -0.5, 0.8]], dtype=torch.float64),
    )


def positions() -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    ideal = 1.5 * torch.tensor(
        [[0.0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [9, 9, 9], [9, 9, 9], [9, 9, 9]], dtype=torch.float64
    )
    return ideal + 0.05 * torch.randn(7, 3, generator=generator, dtype=torch.float64)


def test_tetrahedral_hydrogen_points_away_from_three_neighbours():
    x = torch.tensor(
        [[0.0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [0, 0, 0], [0, 0, 0], [0, 0, 0]], dtype=torch.float64
    )
    placed = place_hydrogens(x, riders())[4]
    expected = 1.1 / math.sqrt(3.0) * torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(placed, expected)


def test_bond_lengths_are_kept_and_inputs_unchanged():
    x, which = positions(), riders()
    before = x.clone()
    placed = place_hydrogens(x, which)
    lengths = (placed[which.hydrogen] - placed[which.parent]).norm(dim=1)
    torch.testing.assert_close(lengths, which.offset.norm(dim=1))
    assert torch.equal(x, before)


def test_hydrogens_turn_with_the_model():
    x, which = positions(), riders()
    turn = roma.random_rotmat(dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(place_hydrogens(x @ turn.T + 3.0, which), place_hydrogens(x, which) @ turn.T + 3.0)


def test_gradient():
    x = positions().requires_grad_()
    assert torch.autograd.gradcheck(lambda moved: place_hydrogens(moved, riders()), (x,))


def test_jacobians_agree_with_the_adjoint():
    x, which = positions(), riders()
    atoms, jacobians = riding_jacobians(x, which)
    full = torch.autograd.functional.jacobian(lambda moved: place_hydrogens(moved, which), x)
    for row, hydrogen in enumerate(which.hydrogen.tolist()):
        summed = torch.zeros(3, 7, 3, dtype=torch.float64)
        for column, atom in enumerate(atoms[row].tolist()):
            summed[:, atom] += jacobians[row, column]
        torch.testing.assert_close(summed, full[hydrogen])
