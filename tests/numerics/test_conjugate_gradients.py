"""The solver of the normal equations against dense algebra."""

import numpy as np
import pytest
import scipy.sparse as sp

from burnish.numerics.conjugate_gradients import NormalMatrix, conjugate_gradients, solve_normal_equations


def _matrix(ridge=0.0, n=30):
    rng = np.random.default_rng(5)
    factor = sp.random(60, n, density=0.15, random_state=np.random.default_rng(1), format="csr") * 30.0
    blocks = sp.block_diag([(lambda a: a @ a.T)(rng.normal(size=(3, 3))) for _ in range(n // 3)], format="csr")
    return NormalMatrix(factors=(factor,), blocks=blocks, ridge=ridge)


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_solution_equals_dense_algebra(ridge):
    matrix = _matrix(ridge)
    dense = (matrix.factors[0].T @ matrix.factors[0] + matrix.blocks).toarray()
    dense += ridge * np.diag(np.diag(dense))
    right = np.random.default_rng(2).normal(size=30)
    x, iterations = solve_normal_equations(matrix, right, tolerance=1e-10)
    assert np.allclose(x, np.linalg.solve(dense, right), rtol=1e-6)
    assert 0 < iterations < 200


def test_parameters_without_information_stay():
    factor = sp.csr_matrix(np.array([[2.0, 0.0]]))
    matrix = NormalMatrix(factors=(factor,), blocks=sp.csr_matrix((2, 2)))
    x, _ = solve_normal_equations(matrix, np.array([4.0, 1.0]))
    assert x == pytest.approx([1.0, 0.0])


def test_units_of_a_parameter_do_not_matter():
    matrix = _matrix()
    units = np.geomspace(1e-2, 1e2, 30)
    scaled = NormalMatrix(
        factors=((matrix.factors[0] @ sp.diags_array(units)).tocsr(),),
        blocks=(sp.diags_array(units) @ matrix.blocks @ sp.diags_array(units)).tocsr(),
    )
    right = np.random.default_rng(2).normal(size=30)
    x, n = solve_normal_equations(matrix, right, tolerance=1e-9)
    y, m = solve_normal_equations(scaled, units * right, tolerance=1e-9)
    assert np.allclose(x, units * y, rtol=1e-5)
    assert abs(n - m) <= 2


def test_early_stop_still_goes_downhill():
    matrix = _matrix()
    right = np.random.default_rng(2).normal(size=30)
    x, iterations = solve_normal_equations(matrix, right, max_iterations=3)
    assert iterations == 3
    assert x @ right > 0


def test_no_curvature_and_zero_right_hand_side():
    x, iterations = conjugate_gradients(lambda v: -v, np.ones(3), tolerance=1e-3, max_iterations=5)
    assert iterations == 0
    assert not x.any()
    x, iterations = conjugate_gradients(lambda v: v, np.zeros(3), tolerance=1e-3, max_iterations=5)
    assert iterations == 0


def test_product_and_whole_are_those_of_all_factors():
    first = _matrix()
    matrix = NormalMatrix(factors=(*first.factors, 2.0 * first.factors[0][:20]), blocks=first.blocks)
    vector = np.random.default_rng(5).normal(size=first.blocks.shape[0])
    kept = vector.copy()
    dense = matrix.whole().toarray()
    assert np.allclose(matrix.product(vector), dense @ vector, rtol=1e-12)
    assert np.allclose(matrix.diagonal(), dense.diagonal(), rtol=1e-12)
    assert np.array_equal(kept, vector)
