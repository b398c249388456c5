"""Preconditioned conjugate gradients on normal equations whose curvature is a sum of factors and diagonal blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalMatrix:
    """H = Σ JᵀJ + D + ridge · diag(Σ JᵀJ + D), J sparse and D sparse symmetric (blocks of one atom each).

    The products JᵀJ are never made: they have several times as many elements as the factors.

    Attributes
    ----------
    factors : J of each kind of residual, float32 or float64; sums over them are float64. (rows, n) each
    blocks : D, float32 or float64. (n, n)
    ridge : Marquardt's relative damping; 0 for plain Gauss–Newton.
    """

    factors: tuple[sp.csr_matrix, ...]
    blocks: sp.csr_matrix
    ridge: float = 0.0

    def diagonal(self) -> Array:
        """Diagonal of ΣJᵀJ + D, without the ridge."""
        result = np.asarray(self.blocks.diagonal(), dtype=np.float64).copy()
        for factor in self.factors:
            result += np.bincount(factor.indices, weights=factor.data.astype(np.float64) ** 2, minlength=len(result))
        return result

    def product(self, vector: Array) -> Array:
        """(ΣJᵀJ + D) · vector, without the ridge."""
        return self.operator()(vector)

    def operator(self) -> Callable[[Array], Array]:
        """`product`, for many vectors."""
        blocks, factors = _stored(self.blocks), [_stored(factor) for factor in self.factors]

        def product(vector: Array) -> Array:
            result = np.empty(len(vector))
            _set_symmetric(*blocks, vector, result)
            for factor in factors:
                _add_product(*factor, vector, result)
            return result

        return product

    def whole(self) -> sp.csr_matrix:
        """ΣJᵀJ + D multiplied out."""
        result = self.blocks.astype(np.float64)
        for factor in self.factors:
            precise = factor.astype(np.float64)
            result = result + precise.T @ precise
        return sp.csr_matrix(result)


def _stored(matrix: sp.csr_matrix) -> tuple[Array, Array, Array]:
    """Pointers, columns and values; unsigned, since numba tests every index that may be negative, half of the time."""
    unsigned = np.dtype(f"u{matrix.indices.dtype.itemsize}")
    return matrix.indptr.view(unsigned), matrix.indices.view(unsigned), matrix.data


@numba.njit(cache=True, fastmath=True)
def _set_symmetric(pointers, columns, values, vector, result):
    """result = D · vector."""
    for row in range(len(pointers) - 1):
        total = 0.0
        for k in range(pointers[row], pointers[row + 1]):
            total += values[k] * vector[columns[k]]
        result[row] = total


@numba.njit(cache=True)
def _add_product(pointers, columns, values, vector, result):
    """result += JᵀJ · vector, in one pass over J."""
    for row in range(len(pointers) - 1):
        along = 0.0
        for k in range(pointers[row], pointers[row + 1]):
            along += values[k] * vector[columns[k]]
        for k in range(pointers[row], pointers[row + 1]):
            result[columns[k]] += values[k] * along


def solve_normal_equations(
    matrix: NormalMatrix, right: Array, *, tolerance: float = 1e-3, max_iterations: int = 400
) -> tuple[Array, int]:
    """Solve H x = right with a diagonal preconditioner; return x and the number of iterations.

    Parameters
    ----------
    tolerance : the residual, scaled by the preconditioner, falls to this fraction of its start.

    Notes
    -----
    H is scaled to unit diagonal first (Tronrud 1992, Acta Cryst. A48, 912): positions, B and occupancies have
    different units. A parameter that neither data nor restraints determine has a zero diagonal and stays where it is.
    """
    diagonal = matrix.diagonal()
    largest = float(diagonal.max(initial=0.0))
    alive = diagonal > 1e-14 * largest
    scale = np.where(alive, 1.0 / np.sqrt(np.where(alive, diagonal, 1.0)), 0.0)

    plain = matrix.operator()

    def product(vector: Array) -> Array:
        return scale * plain(scale * vector) + matrix.ridge * vector

    x, iterations = conjugate_gradients(product, scale * right, tolerance=tolerance, max_iterations=max_iterations)
    return scale * x, iterations


def conjugate_gradients(
    product: Callable[[Array], Array], right: Array, *, tolerance: float, max_iterations: int
) -> tuple[Array, int]:
    """Plain conjugate gradients from zero (Hestenes & Stiefel 1952); stops at a direction of no curvature.

    The best x so far is a descent step at every iteration, so that an early stop is safe.
    """
    x = np.zeros_like(right)
    residual = right.copy()
    direction = residual.copy()
    norm = float(residual @ residual)
    goal = tolerance**2 * norm
    for iteration in range(max_iterations):
        if norm <= goal or norm == 0.0:
            return x, iteration
        image = product(direction)
        curvature = float(direction @ image)
        if curvature <= 0.0:
            return x, iteration
        step = norm / curvature
        x += step * direction
        residual -= step * image
        new_norm = float(residual @ residual)
        direction = residual + (new_norm / norm) * direction
        norm = new_norm
    return x, max_iterations
