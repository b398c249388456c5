"""Residuals of bonds, angles, torsions and chiral volumes, all with analytic derivatives.

Every function takes positions `xyz` (n_atoms, 3) in Å, the atoms of each restraint, the ideal values and σ; angles
are in rad. None changes its inputs.
"""

from __future__ import annotations

import numpy as np

from burnish.models.restraints.term import Array, Index, Mask, Residuals

_SMALLEST_SINE = 1e-2  # below it (angles within 0.6° of straight) the derivative of an angle has no direction


def _norm(vectors: Array) -> Array:
    return np.sqrt(np.einsum("ij,ij->i", vectors, vectors))


def _cross(u: Array, v: Array) -> Array:
    """u × v of rows; `np.cross` spends ten times as long on finding out which axis that is."""
    out = np.empty_like(u)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        out[:, i] = u[:, j] * v[:, k] - u[:, k] * v[:, j]
    return out


def bond_residuals(xyz: Array, atoms: Index, ideal: Array, sigma: Array) -> Residuals:
    """Distances between two atoms.

    Atoms on top of each other have no direction; the derivative is then along x, so that the optimiser parts them.
    """
    delta = xyz[atoms[:, 0]] - xyz[atoms[:, 1]]
    length = _norm(delta)
    unit = np.where(length[:, None] > 1e-8, delta / np.maximum(length, 1e-8)[:, None], [1.0, 0.0, 0.0])
    scaled = unit / sigma[:, None]
    jacobian = np.stack([scaled, -scaled], axis=1)
    return Residuals(value=length, deviation=length - ideal, z=(length - ideal) / sigma, atoms=atoms, jacobian=jacobian)


def angle_residuals(xyz: Array, atoms: Index, ideal: Array, sigma: Array) -> Residuals:
    """Angles at the middle one of three atoms, rad."""
    u, v = xyz[atoms[:, 0]] - xyz[atoms[:, 1]], xyz[atoms[:, 2]] - xyz[atoms[:, 1]]
    length_u, length_v = np.maximum(_norm(u), 1e-8), np.maximum(_norm(v), 1e-8)
    unit_u, unit_v = u / length_u[:, None], v / length_v[:, None]
    cosine = np.einsum("ij,ij->i", unit_u, unit_v)
    sine = _norm(_cross(unit_u, unit_v))
    angle = np.arctan2(sine, cosine)
    divisor = np.maximum(sine, _SMALLEST_SINE) * sigma
    first = (cosine[:, None] * unit_u - unit_v) / (length_u * divisor)[:, None]
    last = (cosine[:, None] * unit_v - unit_u) / (length_v * divisor)[:, None]
    jacobian = np.stack([first, -first - last, last], axis=1)
    return Residuals(value=angle, deviation=angle - ideal, z=(angle - ideal) / sigma, atoms=atoms, jacobian=jacobian)


def torsion_residuals(xyz: Array, atoms: Index, ideal: Array, sigma: Array, period: Index) -> Residuals:
    """Torsion angles about the middle bond of four atoms, rad, IUPAC sign; the nearest of `period` ideal values counts.

    Notes
    -----
    Derivatives after Blondel & Karplus (1996) J. Comput. Chem. 17, 1132, eq. 27: free of singularities but where
    three atoms are in line.
    """
    a, b, c, d = (xyz[atoms[:, i]] for i in range(4))
    f, g, h = a - b, b - c, d - c
    m, n = _cross(f, g), _cross(h, g)
    length_g = np.maximum(_norm(g), 1e-8)
    m2 = np.maximum(np.einsum("ij,ij->i", m, m), 1e-4)
    n2 = np.maximum(np.einsum("ij,ij->i", n, n), 1e-4)
    angle = np.arctan2(np.einsum("ij,ij->i", _cross(n, m), g) / length_g, np.einsum("ij,ij->i", m, n))
    step = 2.0 * np.pi / np.maximum(period, 1)
    deviation = angle - ideal
    deviation = deviation - step * np.round(deviation / step)
    first = -(length_g / m2)[:, None] * m
    last = (length_g / n2)[:, None] * n
    along_f = (np.einsum("ij,ij->i", f, g) / (m2 * length_g))[:, None] * m
    along_h = (np.einsum("ij,ij->i", h, g) / (n2 * length_g))[:, None] * n
    middle = along_f - along_h
    jacobian = np.stack([first, -first + middle, -last - middle, last], axis=1) / sigma[:, None, None]
    return Residuals(value=angle, deviation=deviation, z=deviation / sigma, atoms=atoms, jacobian=jacobian)


def chiral_residuals(xyz: Array, atoms: Index, ideal: Array, sigma: Array, either: Mask) -> Residuals:
    """Chiral volumes (a−c)·((b−c)×(d−c)) of a centre c and three neighbours, Å³; atoms are ordered c, a, b, d.

    `either` marks centres whose sign is free (a bool array): the present sign counts there.
    """
    centre = xyz[atoms[:, 0]]
    u, v, w = (xyz[atoms[:, i]] - centre for i in (1, 2, 3))
    d_u, d_v, d_w = _cross(v, w), _cross(w, u), _cross(u, v)
    volume = np.einsum("ij,ij->i", u, d_u)
    target = np.where(either, np.abs(ideal) * np.where(volume < 0, -1.0, 1.0), ideal)
    jacobian = np.stack([-(d_u + d_v + d_w), d_u, d_v, d_w], axis=1) / sigma[:, None, None]
    return Residuals(
        value=volume, deviation=volume - target, z=(volume - target) / sigma, atoms=atoms, jacobian=jacobian
    )
