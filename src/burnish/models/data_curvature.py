"""Curvature of the data as sparse matrices over the full vectors of positions and displacements.

float32: they are the largest things in a refinement, and the solver sums in float64.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from burnish.models.data_term import DataEvaluation, FisherPairs
from burnish.models.restraints.term import Array, Index, Mask


def atom_blocks(values: Array) -> sp.csr_matrix:
    """Block-diagonal sparse matrix of (n, d, d)."""
    n, d = values.shape[:2]
    pointers = np.arange(n + 1, dtype=np.int32)
    blocks = (values.astype(np.float32), pointers[:-1], pointers)
    return sp.bsr_matrix(blocks, shape=(n * d, n * d)).tocsr()


def position_curvature(evaluation: DataEvaluation) -> sp.csr_matrix:
    """By positions: a block for each atom, and for each pair where there are pairs. (3n, 3n)"""
    own = evaluation.fisher.xyz.numpy()
    if evaluation.pairs is None:
        return atom_blocks(own)
    n, atoms = len(own), evaluation.pairs.atoms.numpy().astype(np.int32)
    blocks = evaluation.pairs.xyz.numpy()  # symmetric: the same above and below the diagonal
    alone = np.arange(n, dtype=np.int32)
    row = np.concatenate([alone, atoms[:, 0], atoms[:, 1]])
    column = np.concatenate([alone, atoms[:, 1], atoms[:, 0]])
    order = np.lexsort((column, row))
    pointers = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n))]).astype(np.int32)
    values = np.concatenate([own.astype(np.float32), blocks, blocks])[order]
    return sp.bsr_matrix((values, column[order], pointers), shape=(3 * n, 3 * n)).tocsr()


def displacement_curvature(evaluation: DataEvaluation) -> sp.csr_matrix:
    """By B and U: one number or a block for each atom, one number for pairs of isotropic atoms. (7n, 7n)

    Atoms without curvature by U have no elements there.
    """
    by_b, by_u = evaluation.fisher.b_iso.numpy(), evaluation.fisher.u_aniso.numpy()
    n = len(by_b)
    aniso = np.flatnonzero(by_u.any(axis=(1, 2)))
    per_row = np.zeros(7 * n, dtype=np.int32)
    per_row[:n] = 1
    places = n + 6 * aniso[:, None] + np.arange(6)
    per_row[places] = 6
    pointers = np.concatenate([[0], np.cumsum(per_row, dtype=np.int32)])
    columns = np.concatenate([np.arange(n), np.repeat(places, 6, axis=0).reshape(-1)]).astype(np.int32)
    values = np.concatenate([by_b, by_u[aniso].reshape(-1)]).astype(np.float32)
    own = sp.csr_matrix((values, columns, pointers), shape=(7 * n, 7 * n))
    if evaluation.pairs is None:
        return own
    use = _isotropic(evaluation, evaluation.pairs)
    atoms, between = evaluation.pairs.atoms.numpy()[use], evaluation.pairs.b_iso.numpy()[use].astype(np.float32)
    upper = sp.csr_matrix((between, (atoms[:, 0], atoms[:, 1])), shape=(7 * n, 7 * n))
    return sp.csr_matrix(own + upper + upper.T)


def slope_by_displacements(evaluation: DataEvaluation, step: Array) -> Array:
    """What a step of positions (3n,) adds to the slope by displacements (7n,): an atom out of its place is seen as a B
    too large, and B must not make good what the positions are about to."""
    n = len(evaluation.fisher.b_iso)
    slope = np.zeros(7 * n)
    if evaluation.pairs is None or len(step) == 0:
        return slope
    use = _isotropic(evaluation, evaluation.pairs)
    atoms, mixed = evaluation.pairs.atoms.numpy()[use], evaluation.pairs.xyz_b.numpy()[use]
    moved = step.reshape(n, 3)
    np.add.at(slope, atoms[:, 1], np.einsum("nk,nk->n", mixed, moved[atoms[:, 0]]))
    np.add.at(slope, atoms[:, 0], -np.einsum("nk,nk->n", mixed, moved[atoms[:, 1]]))
    return slope


def _isotropic(evaluation: DataEvaluation, pairs: FisherPairs) -> Mask:
    """Pairs whose atoms are both isotropic."""
    isotropic: Mask = np.asarray(~evaluation.fisher.u_aniso.numpy().any(axis=(1, 2)))
    atoms: Index = pairs.atoms.numpy()
    return isotropic[atoms[:, 0]] & isotropic[atoms[:, 1]]
