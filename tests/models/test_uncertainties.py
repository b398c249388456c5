"""Standard uncertainties against the dense inverse, and against the errors of repeated measurements."""

import numpy as np
import scipy.sparse as sp

from burnish.models.uncertainties import inverse_near_diagonal
from burnish.numerics.conjugate_gradients import NormalMatrix


def springs(n: int = 240, stiffness: float = 2.0) -> NormalMatrix:
    """A chain of points, each held in its place and to its neighbour."""
    generator = np.random.default_rng(0)
    bonds = sp.diags_array([np.ones(n - 1), -np.ones(n - 1)], offsets=[0, 1], shape=(n - 1, n)).tocsr()
    own = sp.diags_array(generator.uniform(0.5, 2.0, n)).tocsr()
    return NormalMatrix(factors=(sp.csr_matrix(np.sqrt(stiffness) * bonds),), blocks=sp.csr_matrix(own))


def test_diagonal_of_the_inverse():
    matrix = springs()
    dense = np.linalg.inv(matrix.whole().toarray())
    found = inverse_near_diagonal(matrix, group=24, hops=12)
    np.testing.assert_allclose(found.diagonal(), np.diag(dense), rtol=1e-4)
    rough = inverse_near_diagonal(matrix, group=24, hops=1)
    assert (rough.diagonal() <= np.diag(dense) * (1 + 1e-12)).all()  # what lies outside is taken as fixed


def test_one_piece_is_exact_with_its_covariances():
    matrix = springs(30)
    dense = np.linalg.inv(matrix.whole().toarray())
    np.testing.assert_allclose(inverse_near_diagonal(matrix, group=30).toarray(), dense, rtol=1e-10)


def test_parameters_without_curvature_have_no_variance():
    factor, blocks = sp.csr_matrix((0, 3)), sp.diags_array(np.array([4.0, 0.0, 1.0])).tocsr()
    found = inverse_near_diagonal(NormalMatrix(factors=(factor,), blocks=sp.csr_matrix(blocks)))
    np.testing.assert_allclose(found.diagonal(), [0.25, 0.0, 1.0])


def test_inputs_stay():
    matrix = springs(20)
    before = matrix.factors[0].toarray(), matrix.blocks.toarray()
    inverse_near_diagonal(matrix, group=5)
    assert (matrix.factors[0].toarray() == before[0]).all() and (matrix.blocks.toarray() == before[1]).all()
