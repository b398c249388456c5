"""−log density of successive torsion angles along chains of atoms, with the derivatives that the optimiser needs.

φ and ψ of a backbone are two torsions of five atoms in a row, χ₁ to χ₄ of a side chain up to four of seven. Their
densities are mixtures (`chemistry.angle_density`), so an energy made of one has several minima, and an angle goes to
the nearest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from burnish.chemistry.angle_density import AngleDensity
from burnish.models.restraints.covalent import torsion_residuals
from burnish.models.restraints.term import Array, Index


@dataclass(frozen=True, slots=True)
class Mixture:
    """Coupled von Mises components of d angles as arrays, of one density or, with n in front, of one for each row.

    Attributes
    ----------
    fold : period of each angle is 2π / fold. (d,) or (n, d)
    mean, kappa : centres, rad, and concentrations. (k, d) or (n, k, d)
    coupling : coefficients of the sine products, symmetric with a zero diagonal. (k, d, d) or (n, k, d, d)
    log_weight : (k,) or (n, k)
    """

    fold: Array
    mean: Array
    kappa: Array
    coupling: Array
    log_weight: Array


def as_mixture(density: AngleDensity) -> Mixture:
    """The components of a density."""
    k, d = density.mean.shape
    coupling = np.zeros((k, d, d))
    for column, (a, b) in enumerate(combinations(range(d), 2)):
        coupling[:, a, b] = coupling[:, b, a] = density.coupling[:, column].numpy()
    return Mixture(
        density.fold.numpy(), density.mean.numpy(), density.kappa.numpy(), coupling, density.log_weight.numpy()
    )


def stack_mixtures(mixtures: Sequence[Mixture]) -> Mixture:
    """Densities of equally many angles, one for each row; components of no weight fill up the shorter ones."""
    most = max(len(m.log_weight) for m in mixtures)

    def filled(rows: Sequence[Array], value: float) -> Array:
        missing = [[(0, most - len(r))] + [(0, 0)] * (r.ndim - 1) for r in rows]
        return np.stack([np.pad(r, pad, constant_values=value) for r, pad in zip(rows, missing, strict=True)])

    return Mixture(
        fold=np.stack([m.fold for m in mixtures]),
        mean=filled([m.mean for m in mixtures], 0.0),
        kappa=filled([m.kappa for m in mixtures], 0.0),
        coupling=filled([m.coupling for m in mixtures], 0.0),
        log_weight=filled([m.log_weight for m in mixtures], -np.inf),
    )


def mixture_energy(m: Mixture, angles: Array) -> tuple[Array, Array, Array]:
    """−log density of angles, its gradient, and a curvature that is never negative.

    Parameters
    ----------
    m : one density, or one for each row.
    angles : rad. (n, d)

    Returns
    -------
    (n,), (n, d) rad⁻¹, (n, d, d) rad⁻²

    Notes
    -----
    The gradient is that of `chemistry.angle_density.log_density`. The curvature is that of the components, weighted by
    their share of the density at this place, each by κ sin δ/δ, the parabola above κ(1 − cos δ) that touches it here
    (as in expectation and maximisation: the spread between components, which only lowers it, is left out).
    """
    delta = (angles[:, None, :] - m.mean) * m.fold[..., None, :]
    delta = delta - 2.0 * np.pi * np.round(delta / (2.0 * np.pi))
    sine, cosine = np.sin(delta), np.cos(delta)
    crossed = np.einsum("...kab,...kb->...ka", m.coupling, sine)
    exponent = m.log_weight + ((cosine - 1.0) * m.kappa + 0.5 * sine * crossed).sum(axis=2)
    highest = exponent.max(axis=1, keepdims=True)
    share = np.exp(exponent - highest)
    total = share.sum(axis=1, keepdims=True)
    share = share / total
    gradient = m.fold * np.einsum("nk,nka->na", share, sine * m.kappa - cosine * crossed)
    pairs = m.coupling * cosine[..., :, None] * cosine[..., None, :]
    curvature = -(share[:, :, None, None] * pairs).sum(axis=1)
    diagonal = np.einsum("nk,nka->na", share, m.kappa * np.sinc(delta / np.pi))
    each = range(angles.shape[1])
    curvature[:, each, each] += diagonal
    values, vectors = np.linalg.eigh(curvature * m.fold[..., :, None] * m.fold[..., None, :])
    curvature = np.einsum("nia,na,nja->nij", vectors, np.maximum(values, 0.0), vectors)
    return -(highest + np.log(total))[:, 0], gradient, curvature


def chain_angles(xyz: Array, atoms: Index) -> tuple[Array, Array]:
    """Torsions along chains of d + 3 atoms, rad (n, d), and their derivatives by the atoms (n, d, d + 3, 3)."""
    count, length = atoms.shape
    d = length - 3
    zero, one, period = np.zeros(count), np.ones(count), np.ones(count, dtype=np.int64)
    jacobian, angles = np.zeros((count, d, length, 3)), np.empty((count, d))
    for k in range(d):
        torsion = torsion_residuals(xyz, atoms[:, k : k + 4], zero, one, period)
        angles[:, k] = torsion.value
        jacobian[:, k, k : k + 4] = torsion.jacobian
    return angles, jacobian


def chain_energy(xyz: Array, atoms: Index, mixture: Mixture) -> tuple[Array, Array, Array]:
    """Energy of chains, its gradient by their atoms, and rows whose squares are its curvature.

    Parameters
    ----------
    xyz : positions, Å. (n_atoms, 3)
    atoms : of each chain. (n, d + 3)

    Returns
    -------
    (n,), (n, d + 3, 3), (n d, d + 3, 3)
    """
    angles, jacobian = chain_angles(xyz, atoms)
    count, d = angles.shape
    energy, slope, curvature = mixture_energy(mixture, angles)
    values, vectors = np.linalg.eigh(curvature)
    root = np.sqrt(np.maximum(values, 0.0))[:, :, None] * vectors.transpose(0, 2, 1)  # rootᵀ root = curvature
    rows = np.einsum("nra,nakx->nrkx", root, jacobian).reshape(count * d, d + 3, 3)
    return energy, np.einsum("na,nakx->nkx", slope, jacobian), rows
