"""Torsions and angles: sign, known values, gradients, and placing as the inverse of measuring."""

import math

import pytest
import torch

from burnish.geometry.torsions import bond_angles, place_atoms, rotate_about_axis, torsion_angles

DOUBLE = torch.float64


def points(*rows: tuple[float, float, float]) -> list[torch.Tensor]:
    return [torch.tensor([r], dtype=DOUBLE) for r in rows]


@pytest.mark.parametrize("turn", [-170.0, -60.0, 0.0, 55.0, 120.0, 180.0])
def test_sign_is_iupac(turn):
    angle = math.radians(turn)  # looking from b to c, clockwise is positive
    a, b, c, d = points((1, 0, 0), (0, 0, 0), (0, 0, 1), (math.cos(angle), math.sin(angle), 1))
    found = math.degrees(float(torsion_angles(a, b, c, d)))
    assert math.isclose((found - turn + 180) % 360 - 180, 0.0, abs_tol=1e-9)


def test_gradient_and_rotation_invariance():
    generator = torch.Generator().manual_seed(1)
    xyz = torch.randn(4, 3, generator=generator, dtype=DOUBLE, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: torsion_angles(*(p[None] for p in x)), (xyz,))
    turned = rotate_about_axis(
        xyz.detach(),
        torch.zeros(3, dtype=DOUBLE),
        torch.tensor([1.0, 2.0, 3.0], dtype=DOUBLE),
        torch.tensor(0.7, dtype=DOUBLE),
    )
    same = torsion_angles(*(p[None] for p in xyz)), torsion_angles(*(p[None] for p in turned))
    torch.testing.assert_close(*same)


def test_placed_atoms_have_the_geometry_asked_for():
    generator = torch.Generator().manual_seed(2)
    a, b, c = (torch.randn(20, 3, generator=generator, dtype=DOUBLE) * 3 for _ in range(3))
    length = torch.rand(20, generator=generator, dtype=DOUBLE) + 1.0
    angle = torch.rand(20, generator=generator, dtype=DOUBLE) + 1.0
    torsion = (torch.rand(20, generator=generator, dtype=DOUBLE) - 0.5) * 6.0
    d = place_atoms(a, b, c, length, angle, torsion)
    torch.testing.assert_close((d - c).norm(dim=1), length)
    torch.testing.assert_close(bond_angles(b, c, d), angle)
    torch.testing.assert_close(torsion_angles(a, b, c, d), torsion)


def test_rotation_keeps_the_axis_and_leaves_its_input():
    xyz = torch.tensor([[0.0, 0.0, 2.0], [1.0, 0.0, 0.0]], dtype=DOUBLE)
    before = xyz.clone()
    axis = torch.tensor([0.0, 0.0, 5.0], dtype=DOUBLE)
    turned = rotate_about_axis(xyz, torch.zeros(3, dtype=DOUBLE), axis, torch.tensor(math.pi / 2, dtype=DOUBLE))
    expected = torch.tensor([[0.0, 0.0, 2.0], [0.0, 1.0, 0.0]], dtype=DOUBLE)
    torch.testing.assert_close(turned, expected, atol=1e-12, rtol=0)
    assert torch.equal(xyz, before)
