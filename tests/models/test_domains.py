"""Domains of a chain from the contacts of its Cα."""

from __future__ import annotations

import numpy as np
import pytest

from burnish.data.labels import AtomLabels
from burnish.models.domains import domain_atoms, find_domains


def _ball(n: int, centre: tuple[float, float, float], seed: int) -> np.ndarray:
    """A compact self-avoiding chain of n steps about a centre: points of a 4 Å lattice, nearest first, in a path."""
    grid = 4.0 * np.stack(np.meshgrid(*(np.arange(-4, 5),) * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[np.argsort(np.linalg.norm(grid, axis=1), kind="stable")[:n]]
    x, y, z = np.round(grid / 4.0).astype(int).T
    order = np.lexsort(
        (np.where((x + y) % 2, -z, z), np.where(x % 2, -y, y), x)
    )  # a path that turns at the ends of its rows
    jitter = 0.3 * np.random.default_rng(seed).standard_normal((n, 3))
    return grid[order] + jitter + np.array(centre)


@pytest.fixture(scope="module")
def two() -> np.ndarray:
    return np.concatenate([_ball(80, (0.0, 0.0, 0.0), 1), _ball(90, (30.0, 0.0, 0.0), 2)])


def test_two_balls_on_a_string_are_two_domains(two: np.ndarray) -> None:
    first, second = find_domains(two)
    assert np.array_equal(first, np.arange(80))
    assert np.array_equal(second, np.arange(80, 170))


def test_one_ball_is_one_domain_and_so_is_a_short_chain(two: np.ndarray) -> None:
    assert [len(d) for d in find_domains(_ball(170, (0.0, 0.0, 0.0), 3))] == [170]
    assert [len(d) for d in find_domains(two[60:100])] == [40]


def test_domains_do_not_depend_on_the_frame(two: np.ndarray) -> None:
    turn = np.linalg.qr(np.random.default_rng(4).standard_normal((3, 3)))[0]
    moved = find_domains(two @ turn.T + 50.0)
    assert all(np.array_equal(a, b) for a, b in zip(find_domains(two), moved, strict=True))


def test_atoms_follow_their_residue_and_ligands_their_neighbours(two: np.ndarray) -> None:
    n = len(two)
    xyz = np.concatenate([two, two + 1.0, [[30.0, 0.0, 0.5]], [[0.0, 0.0, 90.0]]])
    labels = AtomLabels(
        chain=("A",) * (2 * n + 1) + ("B",),
        number=(*range(n), *range(n), 900, 1),
        insertion=("",) * (2 * n + 2),
        residue_name=("ALA",) * (2 * n) + ("LIG", "HOH"),
        atom_name=("CA",) * n + ("CB",) * n + ("C1", "O"),
    )
    first, second, other = domain_atoms(labels, xyz)
    assert set(first) == {*range(80), *range(n, n + 80)}
    assert set(second) == {*range(80, n), *range(n + 80, 2 * n), 2 * n}
    assert list(other) == [2 * n + 1]
