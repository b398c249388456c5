"""Pairs of points near each other, against every pair."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from burnish.geometry.near_points import near_pairs


@pytest.mark.parametrize(("n", "size"), [(2, (1, 1, 1)), (300, (20, 30, 9)), (500, (3, 3, 3)), (200, (900, 5, 5))])
@pytest.mark.parametrize("reach", [0.5, 2.9, 4.5])
def test_pairs_are_those_of_a_tree(n, size, reach):
    xyz = np.random.default_rng(n).uniform(-1.0, 1.0, (n, 3)) * size + 7.0
    found = near_pairs(xyz, reach)
    assert found.dtype == np.int64 and (found[:, 0] < found[:, 1]).all()
    expected = cKDTree(xyz).query_pairs(reach, output_type="ndarray")
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, expected.tolist()))


def test_points_on_one_place_exactly_at_reach_and_far_away():
    xyz = np.array([[0.0, 0, 0], [0.0, 0, 0], [2.0, 0, 0], [1e6, 1e6, -1e6]])
    assert sorted(map(tuple, near_pairs(xyz, 2.0).tolist())) == [(0, 1), (0, 2), (1, 2)]


def test_few_points_and_bad_ones():
    for n in (0, 1):
        assert near_pairs(np.zeros((n, 3)), 3.0).shape == (0, 2)
    with pytest.raises(ValueError, match="not finite"):
        near_pairs(np.array([[0.0, 0, 0], [np.nan, 0, 0]]), 3.0)
