"""Preconditioned conjugate gradients on normal equations whose curvature is a sum of factors and diagonal blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalMatrix:
    """H = JᵀJ + D + ridge · diag(JᵀJ + D), J sparse and D sparse symmetric (blocks of one atom each).

    Attributes
    ----------
    factor : J. (rows, n)
    blocks : D. (n, n)
    ridge : Marquardt's relative damping; 0 for plain Gauss–Newton.
    """

    factor: sp.csr_matrix
    blocks: sp.csr_matrix
    ridge: float = 0.0

    def diagonal(self) -> Array:
        """Diagonal of JᵀJ + D, without the ridge."""
        squared = self.factor.copy()
        squared.data = squared.data**2
        return np.asarray(squared.sum(axis=0)).reshape(-1) + self.blocks.diagonal()


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
    factor = matrix.factor @ sp.diags_array(scale).tocsr()
    transposed = factor.T.tocsr()
    blocks = (sp.diags_array(scale) @ matrix.blocks @ sp.diags_array(scale)).tocsr()

    def product(vector: Array) -> Array:
        return transposed @ (factor @ vector) + blocks @ vector + matrix.ridge * vector

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
