"""Similarity of displacement parameters: gradients, closed forms, scale invariance."""

import numpy as np
import pytest

from burnish.core.units import EIGHT_PI_SQUARED
from burnish.models.restraints import displacement
from burnish.models.restraints.displacement import (
    SimilarPairs,
    similar_pairs,
    similarity_energy,
    similarity_term,
    sphericity_term,
)

N = 5


@pytest.fixture
def model():
    rng = np.random.default_rng(4)
    a = rng.normal(scale=0.2, size=(N, 3, 3))
    u = np.einsum("nij,nkj->nik", a, a) + 0.2 * np.eye(3)
    six = u[:, [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
    b = rng.uniform(10, 40, N)
    is_aniso = np.array([True, False, True, False, True])
    pairs = SimilarPairs(atoms=np.array([[0, 2], [0, 1], [3, 4], [1, 3], [2, 4]]), sigma=np.full(5, 0.3))
    return b, six, is_aniso, pairs


def _energy(vector, is_aniso, pairs):
    return similarity_term(vector[:N], vector[N:].reshape(N, 6), is_aniso, pairs).energy


def test_gradient_of_mixed_pairs(model):
    b, u, is_aniso, pairs = model
    vector = np.concatenate([b, u.reshape(-1)])
    gradient = similarity_term(b, u, is_aniso, pairs).gradient
    for index in [1, 3, *range(N, N + 6), *range(N + 12, N + 18), N + 6 * 4 + 5, 0, N + 6]:
        h = 1e-6 if index >= N else 1e-4
        up, down = vector.copy(), vector.copy()
        up[index] += h
        down[index] -= h
        numeric = (_energy(up, is_aniso, pairs) - _energy(down, is_aniso, pairs)) / (2 * h)
        assert gradient[index] == pytest.approx(numeric, rel=1e-5, abs=1e-6)


def test_curvature_is_exact_for_equal_atoms(model):
    _, u, is_aniso, pairs = model
    u = np.repeat(u[:1], N, axis=0)
    b = np.full(N, EIGHT_PI_SQUARED * 0.25)
    u[:] = 0.0
    u[:, :3] = 0.25
    factor = similarity_term(b, u, is_aniso, pairs).factor
    vector = np.concatenate([b, u.reshape(-1)])
    direction = np.random.default_rng(1).normal(size=7 * N) * np.concatenate([np.ones(N), np.full(6 * N, 0.01)])
    direction[:N][is_aniso] = 0.0
    h = 1e-3
    second = (
        _energy(vector + h * direction, is_aniso, pairs) + _energy(vector - h * direction, is_aniso, pairs)
    ) / h**2
    image = factor @ direction
    assert image @ image == pytest.approx(second, rel=1e-3)


def test_isotropic_pairs_have_the_closed_form_and_no_scale():
    b = np.array([20.0, 30.0])
    pairs = SimilarPairs(atoms=np.array([[0, 1]]), sigma=np.array([0.2]))
    none = np.zeros(2, dtype=bool)
    energy = similarity_term(b, np.zeros((2, 6)), none, pairs).energy
    assert energy == pytest.approx(0.5 * 100 / (600 * 0.04))
    assert similarity_term(7 * b, np.zeros((2, 6)), none, pairs).energy == pytest.approx(energy)


def test_tensors_of_isotropic_atoms_give_the_isotropic_energy():
    b = np.array([20.0, 30.0])
    u = np.zeros((2, 6))
    u[:, :3] = (b / EIGHT_PI_SQUARED)[:, None]
    pairs = SimilarPairs(atoms=np.array([[0, 1]]), sigma=np.array([0.2]))
    expected = similarity_term(b, u, np.zeros(2, dtype=bool), pairs).energy
    for kinds in ([True, True], [True, False]):
        assert similarity_term(b, u, np.array(kinds), pairs).energy == pytest.approx(expected)


def test_similarity_fades_with_distance():
    pairs = similar_pairs(np.array([[0, 1], [0, 2]]), np.array([0.1, 0.1]), np.array([0.0, 4.0]))
    assert pairs.sigma[0] == 0.1
    assert (pairs.sigma[0] / pairs.sigma[1]) ** 2 == pytest.approx(np.exp(-0.01127 * 256))


def test_sphericity_gradient(model):
    _, u, is_aniso, _ = model
    gradient = sphericity_term(u, is_aniso, 0.4).gradient[N:].reshape(N, 6)
    assert not gradient[~is_aniso].any()
    for atom, element in [(0, 0), (2, 3), (4, 5), (4, 2)]:
        up, down = u.copy(), u.copy()
        up[atom, element] += 1e-6
        down[atom, element] -= 1e-6
        numeric = (sphericity_term(up, is_aniso, 0.4).energy - sphericity_term(down, is_aniso, 0.4).energy) / 2e-6
        assert gradient[atom, element] == pytest.approx(numeric, rel=1e-5, abs=1e-6)


def test_no_pairs_no_energy():
    pairs = SimilarPairs(atoms=np.zeros((0, 2), dtype=np.int64), sigma=np.zeros(0))
    term = similarity_term(np.ones(3), np.zeros((3, 6)), np.zeros(3, dtype=bool), pairs)
    assert term.energy == 0.0
    assert term.gradient.shape == (21,)


def test_parts_of_the_pairs_make_the_whole_and_the_energy_alone_is_the_same(model, monkeypatch):
    b, u, is_aniso, pairs = model
    whole = similarity_term(b, u, is_aniso, pairs, 1.7)
    assert similarity_energy(b, u, is_aniso, pairs, 1.7) == pytest.approx(whole.energy, rel=1e-12)
    monkeypatch.setattr(displacement, "_CHUNK", 2)
    parts = similarity_term(b, u, is_aniso, pairs, 1.7)
    assert parts.energy == pytest.approx(whole.energy, rel=1e-12)
    assert np.allclose(parts.gradient, whole.gradient, rtol=1e-12)
    assert np.allclose((parts.factor.T @ parts.factor).toarray(), (whole.factor.T @ whole.factor).toarray())
