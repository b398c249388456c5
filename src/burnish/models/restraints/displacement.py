"""Neighbouring atoms move alike: restraints of isotropic and anisotropic displacement parameters.

Parameters of n atoms lie in one vector of 7n: B of every atom, then the six U of every atom; an atom uses one of the
two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from burnish.core.units import EIGHT_PI_SQUARED
from burnish.models.restraints.term import Array, Index, Mask, Term, sparse_rows

# U11 U22 U33 U12 U13 U23 as places in a symmetric matrix
_ROW, _COLUMN = np.array([0, 1, 2, 0, 0, 1]), np.array([0, 1, 2, 1, 2, 2])
_TWICE = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])  # how often each of the six stands in the matrix
_CHUNK = 4096  # pairs of tensors at once: their curvature is made from nine by nine products
_RANGE = 0.01127  # Å⁻⁴; how fast the similarity fades with distance (Servalcat's value)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarPairs:
    """Pairs of atoms with similar displacement.

    Attributes
    ----------
    atoms : (n, 2).
    sigma : of the relative difference of B. (n,)
    """

    atoms: Index
    sigma: Array


def similar_pairs(atoms: Index, sigma: Array, distance: Array) -> SimilarPairs:
    """Pairs with σ widened by distance: weight 1/σ² · exp(−0.01127 d⁴)."""
    return SimilarPairs(atoms=atoms, sigma=sigma * np.exp(0.5 * _RANGE * distance**4))


def tensors(b_iso: Array, u_aniso: Array, is_aniso: Mask) -> Array:
    """Displacement tensors of all atoms, Å² (U). (n, 3, 3)"""
    matrix = np.zeros((len(b_iso), 3, 3))
    matrix[:, _ROW, _COLUMN] = u_aniso
    matrix[:, _COLUMN, _ROW] = u_aniso
    isotropic = (b_iso / EIGHT_PI_SQUARED)[:, None, None] * np.eye(3)
    return np.where(is_aniso[:, None, None], matrix, isotropic)


def similarity_term(b_iso: Array, u_aniso: Array, is_aniso: Mask, pairs: SimilarPairs, weight: float = 1.0) -> Term:
    """Symmetric Kullback–Leibler divergence between the distributions of neighbours.

    Notes
    -----
    E = Σ w/6σ² [tr(U₁⁻¹U₂) + tr(U₂⁻¹U₁) − 6], which for isotropic atoms is Σ w/2σ² (B₁ − B₂)²/(B₁B₂): a difference
    relative to the values, so that high B may differ more (Murshudov et al. 2011, Acta Cryst. D67, 355, §4.2).
    """
    n = len(b_iso)
    any_aniso = is_aniso[pairs.atoms].any(axis=1) if len(pairs.atoms) else np.zeros(0, dtype=bool)
    energy, gradient, factor = _isotropic(b_iso, pairs.atoms[~any_aniso], pairs.sigma[~any_aniso], weight)
    gradient = np.concatenate([gradient, np.zeros(6 * n)])
    factors = [factor]
    chosen = np.flatnonzero(any_aniso)
    for start in range(0, len(chosen), _CHUNK):
        part = chosen[start : start + _CHUNK]
        e, g, f = _anisotropic(b_iso, u_aniso, is_aniso, pairs.atoms[part], pairs.sigma[part], weight)
        energy, gradient = energy + e, gradient + g
        factors.append(f)
    return Term(name="B similarity", energy=energy, gradient=gradient, factor=sp.vstack(factors, format="csr"))


def similarity_energy(b_iso: Array, u_aniso: Array, is_aniso: Mask, pairs: SimilarPairs, weight: float = 1.0) -> float:
    """The energy of `similarity_term` alone."""
    any_aniso = is_aniso[pairs.atoms].any(axis=1) if len(pairs.atoms) else np.zeros(0, dtype=bool)
    atoms, sigma = pairs.atoms[~any_aniso], pairs.sigma[~any_aniso]
    first, second = b_iso[atoms[:, 0]], b_iso[atoms[:, 1]]
    energy = 0.5 * weight * float(((first - second) ** 2 / (first * second * sigma**2)).sum())
    chosen = np.flatnonzero(any_aniso)
    for start in range(0, len(chosen), _CHUNK):
        part = chosen[start : start + _CHUNK]
        u1, u2 = (tensors(b_iso[a], u_aniso[a], is_aniso[a]) for a in pairs.atoms[part].T)
        divergence = _traces(_inverse(u1), u2) + _traces(_inverse(u2), u1) - 6.0
        energy += weight / 6.0 * float((divergence / pairs.sigma[part] ** 2).sum())
    return energy


def _inverse(matrices: Array) -> Array:
    return np.asarray(np.linalg.inv(matrices), dtype=np.float64)


def _traces(first: Array, second: Array) -> Array:
    """tr(first · second) of each pair of symmetric matrices. (n,)"""
    return np.einsum("nij,nij->n", first, second)


def _isotropic(b: Array, atoms: Index, sigma: Array, weight: float) -> tuple[float, Array, sp.csr_matrix]:
    first, second = b[atoms[:, 0]], b[atoms[:, 1]]
    strength = weight / sigma**2
    energy = 0.5 * float((strength * (first - second) ** 2 / (first * second)).sum())
    d_first = 0.5 * strength * (1.0 / second - second / first**2)
    d_second = 0.5 * strength * (1.0 / first - first / second**2)
    n = len(b)
    gradient = np.zeros(n)
    np.add.at(gradient, atoms[:, 0], d_first)
    np.add.at(gradient, atoms[:, 1], d_second)
    root = np.sqrt(strength / (first * second))
    factor = sparse_rows(atoms, np.stack([root, -root], axis=1)[:, :, None], n)
    wide = sp.csr_matrix((factor.data, factor.indices, factor.indptr), shape=(len(atoms), 7 * n))
    return energy, gradient, wide


def _anisotropic(
    b: Array, u: Array, is_aniso: Mask, atoms: Index, sigma: Array, weight: float
) -> tuple[float, Array, sp.csr_matrix]:
    n, m = len(b), len(atoms)
    first, second = (tensors(b[a], u[a], is_aniso[a]) for a in (atoms[:, 0], atoms[:, 1]))
    inverse_first, inverse_second = _inverse(first), _inverse(second)
    strength = weight / (3.0 * sigma**2)
    divergence = _traces(inverse_first, second) + _traces(inverse_second, first) - 6.0
    energy = 0.5 * float((strength * divergence).sum())
    half = 0.5 * strength[:, None, None]
    d_first = half * (inverse_second - inverse_first @ second @ inverse_first)
    d_second = half * (inverse_first - inverse_second @ first @ inverse_second)
    gradient = np.zeros(7 * n)
    root = np.linalg.inv(np.linalg.cholesky(0.5 * (first + second)))  # of the mean tensor's inverse
    scaled = np.sqrt(strength)[:, None, None] * np.einsum("nik,njl->nijkl", root, root).reshape(m, 9, 9)
    rows, columns, values = [], [], []
    for side, (derivative, sign) in enumerate(((d_first, 1.0), (d_second, -1.0))):
        atom = atoms[:, side]
        aniso = is_aniso[atom]
        six = _TWICE * derivative[:, _ROW, _COLUMN]
        trace = np.einsum("nii->n", derivative) / EIGHT_PI_SQUARED
        np.add.at(gradient[n:].reshape(n, 6), atom[aniso], six[aniso])
        np.add.at(gradient[:n], atom[~aniso], trace[~aniso])
        columns6 = scaled[:, :, 3 * _ROW + _COLUMN] + (_TWICE - 1.0) * scaled[:, :, 3 * _COLUMN + _ROW]
        column1 = scaled[:, :, [0, 4, 8]].sum(axis=2) / EIGHT_PI_SQUARED
        row = np.arange(m)[:, None] * 9 + np.arange(9)
        rows += [np.repeat(row[aniso].reshape(-1), 6), row[~aniso].reshape(-1)]
        place = n + 6 * atom[aniso][:, None, None] + np.arange(6)
        columns += [np.broadcast_to(place, (len(place), 9, 6)).reshape(-1), np.repeat(atom[~aniso], 9)]
        values += [sign * columns6[aniso].reshape(-1), sign * column1[~aniso].reshape(-1)]
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    factor = sp.csr_matrix(entries, shape=(9 * m, 7 * n))
    return energy, gradient, factor


def sphericity_term(u_aniso: Array, is_aniso: Mask, sigma: float, weight: float = 1.0) -> Term:
    """Anisotropic tensors near a sphere: ½ w Σ ‖U − tr(U)/3 I‖² / (σ tr(U)/3)², the trace in the denominator held
    for the curvature.

    Parameters
    ----------
    sigma : relative to the equivalent isotropic U.
    """
    n = len(u_aniso)
    chosen = np.flatnonzero(is_aniso)
    u = u_aniso[chosen]
    mean = u[:, :3].mean(axis=1)
    deviator = np.concatenate([u[:, :3] - mean[:, None], u[:, 3:]], axis=1)
    squared = (_TWICE * deviator**2).sum(axis=1)
    strength = weight / (sigma * mean) ** 2
    energy = 0.5 * float((strength * squared).sum())
    slope = strength[:, None] * _TWICE * deviator
    slope[:, :3] -= (strength * squared / mean)[:, None] / 3.0
    gradient = np.zeros((n, 6))
    gradient[chosen] = slope
    projector = np.diag(np.sqrt(_TWICE))
    projector[:3, :3] -= 1.0 / 3.0
    blocks = np.sqrt(strength)[:, None, None] * projector
    columns = np.broadcast_to(n + 6 * chosen[:, None, None] + np.arange(6), (len(chosen), 6, 6)).reshape(-1)
    pointers = np.arange(0, 36 * len(chosen) + 1, 6)
    factor = sp.csr_matrix((blocks.reshape(-1), columns, pointers), shape=(6 * len(chosen), 7 * n))
    return Term(
        name="sphericity", energy=energy, gradient=np.concatenate([np.zeros(n), gradient.reshape(-1)]), factor=factor
    )
