"""What every restraint gives to the optimiser.

Restraints are residuals of a few atoms each, so that their curvature is kept as its factor J (Gauss–Newton: H ≈ JᵀJ)
and never multiplied out: J has 2 to 4 atoms a row, JᵀJ of a protein has ten times as many elements. Everything here is
NumPy float64 on the CPU: a cycle spends far less time on it than on structure factors, and the solver is sparse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One kind of restraint at the present parameters.

    Attributes
    ----------
    name : what is restrained.
    energy : sum over the restraints, in units of −log probability (½ z² for a harmonic one).
    gradient : of the energy. (n_parameters,)
    factor : J with curvature JᵀJ. (rows, n_parameters)
    """

    name: str
    energy: float
    gradient: Array
    factor: sp.csr_matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Residuals:
    """Deviations from ideal values with their derivatives.

    Attributes
    ----------
    value : present values. (n,)
    deviation : value − ideal, in the same units. (n,)
    z : deviation / σ. (n,)
    atoms : atoms of each restraint. (n, k)
    jacobian : ∂z/∂xyz of each atom. (n, k, 3)
    """

    value: Array
    deviation: Array
    z: Array
    atoms: Index
    jacobian: Array


def sparse_rows(atoms: Index, blocks: Array, n_atoms: int) -> sp.csr_matrix:
    """Sparse matrix from rows that touch the same number of atoms each.

    Parameters
    ----------
    atoms : (n, k).
    blocks : d values for each atom of each row. (n, k, d)
    n_atoms : number of atoms; there are d columns for each.
    """
    n, k, d = blocks.shape
    columns = (atoms[:, :, None] * d + np.arange(d)).reshape(-1)
    pointers = np.arange(0, n * k * d + 1, k * d, dtype=np.int64)
    return sp.csr_matrix((blocks.reshape(-1), columns, pointers), shape=(n, d * n_atoms))


def harmonic_term(name: str, residuals: Residuals, n_atoms: int, weight: float = 1.0) -> Term:
    """½ weight Σ z² with its gradient and Gauss–Newton factor."""
    root = np.sqrt(weight)
    factor = sparse_rows(residuals.atoms, root * residuals.jacobian, n_atoms)
    z = root * residuals.z
    return Term(name=name, energy=float(0.5 * z @ z), gradient=factor.T @ z, factor=factor)


def robust_term(name: str, residuals: Residuals, n_atoms: int, alpha: float, weight: float = 1.0) -> Term:
    """Sum of Barron's general loss of z: quadratic near zero, bounded for large deviations when α < 0.

    Notes
    -----
    ρ(z) = |α−2|/α ((z²/|α−2| + 1)^(α/2) − 1) (Barron 2019, CVPR, eq. 8), α not 0 or 2. The curvature is ρ'(z)/z, the
    weight of iteratively reweighted least squares, which is never negative.
    """
    b = abs(alpha - 2.0)
    inner = residuals.z**2 / b + 1.0
    energy = weight * b / alpha * (inner ** (alpha / 2.0) - 1.0)
    irls = weight * inner ** (alpha / 2.0 - 1.0)
    jacobian = sparse_rows(residuals.atoms, residuals.jacobian, n_atoms)
    factor = sp.diags_array(np.sqrt(irls)).tocsr() @ jacobian
    return Term(name=name, energy=float(energy.sum()), gradient=jacobian.T @ (irls * residuals.z), factor=factor)
