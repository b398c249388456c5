"""Residuals of the covalent restraints against closed forms and finite differences."""

import numpy as np
import pytest

from burnish.models.restraints.covalent import angle_residuals, bond_residuals, chiral_residuals, torsion_residuals
from burnish.models.restraints.planes import batch_planes, plane_term
from burnish.models.restraints.term import harmonic_term, robust_term

N_ATOMS = 12


@pytest.fixture
def xyz():
    return np.random.default_rng(3).normal(scale=1.5, size=(N_ATOMS, 3))


def _quads(seed, k, n=20):
    rng = np.random.default_rng(seed)
    return np.array([rng.permutation(N_ATOMS)[:k] for _ in range(n)])


def _residuals(kind, xyz):
    ones = np.ones(20)
    if kind == "bond":
        return bond_residuals(xyz, _quads(1, 2), 1.4 * ones, 0.1 * ones)
    if kind == "angle":
        return angle_residuals(xyz, _quads(2, 3), 1.9 * ones, 0.2 * ones)
    if kind == "torsion":
        return torsion_residuals(xyz, _quads(4, 4), 1.0 * ones, 0.3 * ones, np.full(20, 3))
    either = np.arange(20) % 2 == 0
    return chiral_residuals(xyz, _quads(5, 4), 2.5 * ones, 0.4 * ones, either)


@pytest.mark.parametrize("kind", ["bond", "angle", "torsion", "chiral"])
@pytest.mark.parametrize("robust", [False, True])
def test_gradients_agree_with_finite_differences(kind, robust, xyz):
    def term(x):
        if robust:
            return robust_term(kind, _residuals(kind, x), N_ATOMS, alpha=-2.0)
        return harmonic_term(kind, _residuals(kind, x), N_ATOMS)

    before = xyz.copy()
    gradient = term(xyz).gradient.reshape(-1, 3)
    assert np.array_equal(before, xyz)
    h = 1e-5
    for atom, axis in [(0, 0), (3, 1), (7, 2), (11, 0)]:
        up, down = xyz.copy(), xyz.copy()
        up[atom, axis] += h
        down[atom, axis] -= h
        numeric = (term(up).energy - term(down).energy) / (2 * h)
        assert gradient[atom, axis] == pytest.approx(numeric, rel=1e-5, abs=1e-5 * np.abs(gradient).max())


@pytest.mark.parametrize("kind", ["bond", "angle", "torsion", "chiral"])
def test_rotation_and_shift_change_nothing(kind, xyz):
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    moved = xyz @ rotation.T + [3.0, -5.0, 20.0]
    assert np.allclose(_residuals(kind, xyz).z, _residuals(kind, moved).z, atol=1e-9)


def test_torsion_sign_and_period():
    # looking along the middle bond (z), the far bond is a quarter turn anticlockwise as seen from +z: IUPAC −90°
    xyz = np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 1.5], [0, 1.0, 1.5]])
    atoms = np.array([[0, 1, 2, 3]])
    result = torsion_residuals(xyz, atoms, np.array([0.0]), np.array([1.0]), np.array([0]))
    import gemmi

    expected = gemmi.calculate_dihedral(*(gemmi.Position(*p) for p in xyz))
    assert result.value[0] == pytest.approx(expected, abs=1e-12)
    assert abs(expected) == pytest.approx(np.pi / 2)
    nearest = torsion_residuals(xyz, atoms, np.array([expected + 2 * np.pi / 3 + 0.1]), np.array([0.5]), np.array([3]))
    assert nearest.deviation[0] == pytest.approx(-0.1)


def test_known_bond_angle_and_volume():
    xyz = np.array([[0.0, 0, 0], [2.0, 0, 0], [0, 3.0, 0], [0, 0, 4.0]])
    one = np.ones(1)
    assert bond_residuals(xyz, np.array([[0, 1]]), 1.5 * one, 0.25 * one).z[0] == pytest.approx(2.0)
    assert angle_residuals(xyz, np.array([[1, 0, 2]]), one, one).value[0] == pytest.approx(np.pi / 2)
    volume = chiral_residuals(xyz, np.array([[0, 1, 2, 3]]), -24 * one, one, np.array([False]))
    assert volume.value[0] == pytest.approx(24.0)
    assert volume.deviation[0] == pytest.approx(48.0)
    assert chiral_residuals(xyz, np.array([[0, 1, 2, 3]]), -24 * one, one, np.array([True])).z[0] == pytest.approx(0.0)


def test_atoms_on_top_of_each_other_and_in_line_stay_finite():
    xyz = np.zeros((4, 3))
    xyz[3, 0] = 1.0
    one = np.ones(1)
    for result in (
        bond_residuals(xyz, np.array([[0, 1]]), one, one),
        angle_residuals(xyz, np.array([[0, 1, 3]]), one, one),
        torsion_residuals(xyz, np.array([[0, 1, 2, 3]]), one, one, np.array([1])),
    ):
        assert np.isfinite(result.z).all()
        assert np.isfinite(result.jacobian).all()


def test_plane_gradient_and_curvature(xyz):
    members = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 1, 2])
    plane = np.array([0] * 5 + [1] * 6 + [2] * 3)
    batches = batch_planes(members, plane, np.full(14, 0.5))
    assert sorted(len(b.atoms[0]) for b in batches) == [5, 6]
    term = plane_term(xyz, batches)
    h = 1e-5
    for index in (0, 7, 20, 28):
        up, down = xyz.reshape(-1).copy(), xyz.reshape(-1).copy()
        up[index] += h
        down[index] -= h
        numeric = plane_term(up.reshape(-1, 3), batches).energy - plane_term(down.reshape(-1, 3), batches).energy
        assert term.gradient[index] == pytest.approx(numeric / (2 * h), rel=1e-5, abs=1e-6)


def test_plane_curvature_is_that_of_the_energy_at_a_flat_group():
    rng = np.random.default_rng(8)
    xyz = np.zeros((6, 3))
    xyz[:, :2] = rng.normal(size=(6, 2))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    xyz = xyz @ rotation
    batches = batch_planes(np.arange(6), np.zeros(6, int), np.full(6, 0.02))
    curvature = (lambda f: (f.T @ f).toarray())(plane_term(xyz, batches).factor)
    direction = rng.normal(size=18)
    h = 1e-4
    up = plane_term(xyz + h * direction.reshape(6, 3), batches).energy
    down = plane_term(xyz - h * direction.reshape(6, 3), batches).energy
    assert direction @ curvature @ direction == pytest.approx((up + down) / h**2, rel=1e-4)
    assert np.allclose(curvature @ np.tile([1.0, 0, 0], 6), 0, atol=1e-6)


def test_robust_loss_is_quadratic_near_zero_and_bounded():
    xyz = np.array([[0.0, 0, 0], [1.0, 0, 0], [0, 50.0, 0]])
    near = bond_residuals(xyz, np.array([[0, 1]]), np.array([0.99]), np.array([1.0]))
    far = bond_residuals(xyz, np.array([[0, 2]]), np.array([1.0]), np.array([0.1]))
    assert robust_term("x", near, 3, alpha=-2.0).energy == pytest.approx(0.5 * 0.01**2, rel=1e-3)
    assert robust_term("x", far, 3, alpha=-2.0).energy == pytest.approx(2.0, rel=1e-3)  # |α−2|/|α| = 2
