"""Atoms that lie in a plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from burnish.models.restraints.term import Array, Index, Term


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneBatch:
    """Planes of one size.

    Attributes
    ----------
    atoms : (n, m).
    sigma : of the distance to the plane, Å. (n, m)
    """

    atoms: Index
    sigma: Array


def batch_planes(members: Index, plane: Index, sigma: Array) -> tuple[PlaneBatch, ...]:
    """Group planes given as a list of (plane, atom, σ) by their number of atoms; those of three or fewer say
    nothing."""
    if len(plane) == 0:
        return ()
    order = np.argsort(plane, kind="stable")
    plane, members, sigma = plane[order], members[order], sigma[order]
    _, start, count = np.unique(plane, return_index=True, return_counts=True)
    batches = []
    for size in np.unique(count[count > 3]):
        rows = start[count == size][:, None] + np.arange(size)
        batches.append(PlaneBatch(atoms=members[rows], sigma=sigma[rows]))
    return tuple(batches)


def plane_distances(xyz: Array, batch: PlaneBatch) -> tuple[Array, Array, Array]:
    """Signed distances to the best plane (n, m), its normals (n, 3) and positions relative to its centre (n, m, 3)."""
    weight = batch.sigma**-2
    points = xyz[batch.atoms]
    centre = np.einsum("nm,nmi->ni", weight, points) / weight.sum(axis=1)[:, None]
    relative = points - centre[:, None, :]
    _, vectors = np.linalg.eigh(np.einsum("nm,nmi,nmj->nij", weight, relative, relative))
    normal = vectors[:, :, 0]
    return np.einsum("nmi,ni->nm", relative, normal), normal, relative


def plane_term(xyz: Array, batches: tuple[PlaneBatch, ...], weight: float = 1.0) -> Term:
    """½ Σ (distance/σ)² from the least-squares plane of each group.

    Notes
    -----
    At the best plane the energy is stationary in the plane, so that its gradient is that with the plane held. The
    curvature is not: there the plane follows the atoms, and only what no plane can follow counts: z' = (I −
    A(AᵀA)⁻¹Aᵀ) n·δx / σ with A = [1, u, v]/σ.
    """
    n_atoms = len(xyz)
    gradient = np.zeros((n_atoms, 3))
    energy, factors = 0.0, []
    for batch in batches:
        distance, normal, relative = plane_distances(xyz, batch)
        z = distance / batch.sigma
        energy += 0.5 * weight * float((z**2).sum())
        np.add.at(gradient, batch.atoms, weight * (z / batch.sigma)[:, :, None] * normal[:, None, :])
        factors.append(_plane_factor(batch, normal, relative, n_atoms, np.sqrt(weight)))
    factor = sp.vstack(factors, format="csr") if factors else sp.csr_matrix((0, 3 * n_atoms))
    return Term(name="plane", energy=energy, gradient=gradient.reshape(-1), factor=factor)


def plane_blocks(batch: PlaneBatch, normal: Array, relative: Array) -> Array:
    """Derivatives of the m distances of each plane, in σ, by its m atoms, as `plane_term` takes them. (n, m, m, 3)

    Parameters
    ----------
    normal, relative : as from `plane_distances`.
    """
    n, m = batch.atoms.shape
    in_plane = relative - np.einsum("nmi,ni->nm", relative, normal)[:, :, None] * normal[:, None, :]
    basis = np.concatenate([np.ones((n, m, 1)), in_plane], axis=2) / batch.sigma[:, :, None]
    left, singular, _ = np.linalg.svd(basis, full_matrices=False)
    left = left * (singular > 1e-6 * singular[:, :1])[:, None, :]  # three in-plane components span two directions
    follows = np.eye(m) - np.einsum("nik,njk->nij", left, left)
    return follows[:, :, :, None] * (normal[:, None, :] / batch.sigma[:, :, None])[:, None, :, :]


def _plane_factor(batch: PlaneBatch, normal: Array, relative: Array, n_atoms: int, root: float) -> sp.csr_matrix:
    n, m = batch.atoms.shape
    blocks = root * plane_blocks(batch, normal, relative)
    columns = np.broadcast_to((batch.atoms[:, :, None] * 3 + np.arange(3))[:, None], (n, m, m, 3)).reshape(-1)
    pointers = np.arange(0, n * m * m * 3 + 1, 3 * m, dtype=np.int64)
    return sp.csr_matrix((blocks.reshape(-1), columns, pointers), shape=(n * m, 3 * n_atoms))
