"""Standard uncertainties of positions and B from the inverse of the normal matrix.

The curvature of −log posterior (data with weight one, which is what the likelihood means, and all restraints) at the
refined model is the inverse covariance of its parameters (Cruickshank 1999, Acta Cryst. D55, 583; Steiner 2003). The
inverse is needed near its diagonal only, and there it is local: atoms far from each other hardly correlate. So the
matrix is inverted in overlapping pieces, each a group of parameters with its neighbours in the sparse matrix, and only
the group's own part of each inverse is used.

Two things make single atoms look better known than they are. Densities overlap: the curvature between neighbours
belongs into the matrix. And with n data for p parameters all the small correlations between far atoms, each neglected,
add up to a factor n/(n − p) of the variance, the one of Cruickshank's precision index; p is here the number of
parameters that the data rather than the restraints determine, the trace of covariance times curvature of the data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from burnish.models.data_term import DataEvaluation, DataTerm
from burnish.models.refinement import Kind, RefinementState, normal_equations
from burnish.models.refinement_system import (
    RefinementSystem,
    displacement_pairs,
    displacement_terms,
    parametrise,
    position_terms,
)
from burnish.models.restraints.nonbonded import find_contacts
from burnish.models.restraints.term import Term
from burnish.numerics.conjugate_gradients import NormalMatrix

Array = NDArray[np.float64]

GROUP = 90  # parameters inverted together
HOPS = 3  # how far along restraints the neighbourhood of a group reaches
LARGEST = 900  # parameters of a neighbourhood; one that would grow beyond stops a hop earlier


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardUncertainties:
    """One standard deviation of each atom; NaN where a parameter was not refined.

    Attributes
    ----------
    xyz : Å. (n, 3)
    b_iso : of isotropic atoms, Å². (n,)
    """

    xyz: Array
    b_iso: Array


def standard_uncertainties(state: RefinementState, system: RefinementSystem, data: DataTerm) -> StandardUncertainties:
    """Standard uncertainties at the present model and scales."""
    atoms = state.atoms
    n = len(atoms)
    s = system.stereochemistry
    contacts = find_contacts(
        atoms.xyz.numpy(), s.source.contacts, system.model.crystal, atoms.occ.numpy(), s.bonded_images
    )
    parameters, evaluation = parametrise(atoms, system), data.evaluate(atoms)
    of_xyz = position_terms(atoms, system, contacts, system.settings.geometry)
    of_adp = displacement_terms(atoms, system, displacement_pairs(atoms, system))
    xyz, p_xyz = _deviations(Kind.XYZ, of_xyz, evaluation, parameters.xyz)
    adp, p_adp = _deviations(Kind.ADP, of_adp, evaluation, parameters.adp)
    used = sum(shell.measured - shell.free for shell in data.statistics().shells)
    wider = inflation(p_xyz + p_adp, used)
    b_iso = np.where(atoms.is_aniso.numpy(), np.nan, adp[:n])
    return StandardUncertainties(xyz=wider * xyz.reshape(n, 3), b_iso=wider * b_iso)


def inflation(parameters: float, data: int) -> float:
    """√(n / (n − p)): what the neglected correlations add up to; at most 3.

    Examples
    --------
    >>> round(inflation(500.0, 2000), 3)
    1.155
    """
    return min(3.0, float(1.0 / np.sqrt(max(1.0 - parameters / max(data, 1), 1e-6))))


def _deviations(
    kind: Kind, terms: Iterable[Term], evaluation: DataEvaluation, columns: sp.csr_matrix
) -> tuple[Array, float]:
    """Standard deviation of every entry of the full vector of one kind, and how many parameters the data determine."""
    equations = normal_equations(kind, terms, evaluation, columns, 1.0, 0.0)
    covariance = inverse_near_diagonal(equations.matrix)
    determined = float(covariance.multiply(equations.matrix.blocks).sum())
    return _spread(columns, covariance), determined


def _spread(parameters: sp.csr_matrix, covariance: sp.csr_matrix) -> Array:
    """Square root of the diagonal of M C Mᵀ; NaN where M has an empty row. (rows,)"""
    variance = np.asarray((parameters @ covariance).multiply(parameters).sum(axis=1)).reshape(-1)
    refined = np.diff(parameters.indptr) > 0
    return np.where(refined & (variance > 0), np.sqrt(np.maximum(variance, 0.0)), np.nan)


def inverse_near_diagonal(matrix: NormalMatrix, group: int = GROUP, hops: int = HOPS) -> sp.csr_matrix:
    """The inverse of a sparse normal matrix within groups of consecutive parameters. (n, n) sparse

    Parameters
    ----------
    matrix : positive definite; parameters without any curvature get a variance of zero.
    group : number of parameters that share a piece.
    hops : each piece is inverted with all parameters that are connected to it over so many elements of the matrix, or
        fewer where these are more than `LARGEST`.
    """
    whole = matrix.whole()
    diagonal = whole.diagonal()
    alive = diagonal > 1e-14 * diagonal.max(initial=0.0)
    scale = np.where(alive, 1.0 / np.sqrt(np.where(alive, diagonal, 1.0)), 0.0)
    scaled = sp.csr_matrix(sp.diags_array(scale) @ whole @ sp.diags_array(scale))
    n = whole.shape[0]
    rows, columns, values = [], [], []
    for start in range(0, n, group):
        own = np.arange(start, min(start + group, n))
        own = own[alive[own]]
        if not len(own):
            continue
        near = _neighbourhood(scaled, own, hops)
        inverse = np.linalg.inv(scaled[near][:, near].toarray())
        place = np.searchsorted(near, own)
        part = inverse[np.ix_(place, place)] * np.outer(scale[own], scale[own])
        rows.append(np.repeat(own, len(own)))
        columns.append(np.tile(own, len(own)))
        values.append(part.reshape(-1))
    if not rows:
        return sp.csr_matrix((n, n))
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sp.csr_matrix(entries, shape=(n, n))


def _neighbourhood(matrix: sp.csr_matrix, own: NDArray[np.int64], hops: int) -> NDArray[np.int64]:
    """Sorted parameters within so many elements of the given ones, themselves among them."""
    near = own
    for hop in range(hops):
        wider = np.unique(np.concatenate([near, matrix[near].indices]))
        if hop > 0 and len(wider) > LARGEST:
            break
        near = wider
    return near
