"""Second derivatives of the data between neighbouring atoms, from the expected curvature along each amplitude.

At 3 Å an atom's density reaches over its bonded neighbours, and 40 % of what moves with a methyl carbon are its
hydrogens: blocks of single atoms (`fisher`) see half of the curvature along collective moves, and steps overshoot.
With W(h) the expected curvature, averaged over the directions of h, t = 2πsr and r = x_i − x_j, atoms i and j share

    x_i x_j   Σ W ½(1+c)ε g 4π² s² f_i f_j [ (j₁/t) (1 − r̂r̂ᵀ) + (j₀ − 2j₁/t) r̂r̂ᵀ ]
    B_i B_j   Σ W ½(1+c)ε g (s²/4)² f_i f_j j₀
    x_i B_j   Σ W ½(1+c)ε g 2πs (s²/4) f_i f_j j₁ r̂

f with occupancy and exp(−Bs²/4), j₀ and j₁ the spherical Bessel functions of t; r = 0 gives the mean of `fisher`. (The
integrals are those of Agarwal 1978, Acta Cryst. A34, 791, and Tronrud 1999, Acta Cryst. A55, 700.) Anisotropic atoms
enter by their equivalent B. Pairs of hydrogens and pairs over symmetry are neglected.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import torch

from burnish.data.atoms import Atoms
from burnish.geometry.near_points import near_pairs
from burnish.models.data_term import FisherPairs
from burnish.models.fisher import ShellWeights
from burnish.scattering.form_factors import FormFactors

LEAST_REACH, MOST_REACH = 1.7, 3.0  # Å
HALF_PI_HIGH, HALF_PI_LOW = 1.57079625129699707031, 7.54978941586159635335e-8  # the first with zeros for last bits


def pair_reach(d_min: float) -> float:
    """Distance up to which pairs are taken, Å: about where the curvature between two atoms first vanishes."""
    return min(max(0.9 * d_min, LEAST_REACH), MOST_REACH)


@numba.njit(inline="always", fastmath=True)
def _sin_cos(t):
    """sin t and cos t for t up to hundreds, to 1e-12, written so that the compiler can vectorise it.

    Reduced to |y| ≤ π/4 by a π/2 in two parts (Cody & Waite 1980, Software Manual for the Elementary Functions); the
    coefficients of both polynomials are those of Cephes (Moshier 1989, Methods and Programs for
    Mathematical Functions).
    """
    quadrant = np.floor(t * (2.0 / math.pi) + 0.5)
    y = (t - quadrant * HALF_PI_HIGH) - quadrant * HALF_PI_LOW
    z = y * y
    sine = 1.58962301576546568060e-10 * z - 2.50507477628578072866e-8
    sine = (sine * z + 2.75573136213857245213e-6) * z - 1.98412698295895385996e-4
    sine = y + y * z * ((sine * z + 8.33333333332211858878e-3) * z - 1.66666666666666307295e-1)
    cosine = -1.13585365213876817300e-11 * z + 2.08757008419747316778e-9
    cosine = (cosine * z - 2.75573141792967388112e-7) * z + 2.48015872888517045348e-5
    cosine = 1.0 - 0.5 * z + z * z * ((cosine * z - 1.38888888888730564116e-3) * z + 4.16666666666665929218e-2)
    odd = quadrant - 2.0 * np.floor(0.5 * quadrant)
    half = np.floor(0.5 * quadrant)
    sign = 1.0 - 2.0 * (half - 2.0 * np.floor(0.5 * half))
    turned = sign * (1.0 - 2.0 * odd)
    return sign * (odd * cosine + (1.0 - odd) * sine), turned * (odd * sine + (1.0 - odd) * cosine)


@numba.njit(cache=True, fastmath=True, error_model="numpy")  # a test for division by zero would be a branch
def _sum_pairs(xyz, weighted, coherent, pairs, position, by_xyz, by_b, by_xyz_b):
    """Fill the three kinds of derivatives for each pair; `weighted` is √W f of each atom in each shell. (n, shells)"""
    shells = len(position)
    scale = 2.0 * math.pi * np.sqrt(position)
    r = np.empty(3)
    for p in range(len(pairs)):
        i, j = pairs[p, 0], pairs[p, 1]
        length2 = 0.0
        for k in range(3):
            r[k] = xyz[i, k] - xyz[j, k]
            length2 += r[k] * r[k]
        length = math.sqrt(max(length2, 1e-8))
        across, along, of_b, mixed = 0.0, 0.0, 0.0, 0.0
        for n in range(shells):
            t = scale[n] * length
            sine, cosine = _sin_cos(t)
            t2 = t * t
            near = t < 1e-2
            j0 = 1.0 - t2 / 6.0 if near else sine / t
            j1_by_t = 1.0 / 3.0 - t2 / 30.0 if near else (j0 - cosine) / t2
            q = 0.25 * position[n]
            w = weighted[i, n] * weighted[j, n] * q
            across += w * j1_by_t
            along += w * (j0 - 2.0 * j1_by_t)
            of_b += w * q * j0
            mixed += w * j1_by_t * t * scale[n]
        factor = max(coherent[i], coherent[j])
        across *= 16.0 * math.pi**2 * factor
        along *= 16.0 * math.pi**2 * factor
        by_b[p] = of_b * factor
        for k in range(3):
            by_xyz_b[p, k] = mixed * factor * r[k] / length
            for l in range(3):
                by_xyz[p, k, l] = (along - across) * r[k] * r[l] / (length * length)
            by_xyz[p, k, k] += across


def fisher_pairs(
    atoms: Atoms, factors: FormFactors, occ: np.ndarray, shells: ShellWeights, coherent: np.ndarray, reach: float
) -> FisherPairs:
    """Second derivatives between atoms up to a distance.

    Parameters
    ----------
    occ : occupancies with the share of special positions. (n,)
    shells : where the curvature lies.
    coherent : number of mates of each atom that lie on top of it, itself among them. (n,)
    reach : largest distance, Å.
    """
    xyz = atoms.xyz.detach().cpu().numpy().astype(np.float64)
    hydrogen = np.array([symbol in ("H", "D") for symbol in atoms.elements], dtype=bool)
    pairs = near_pairs(xyz, reach)
    pairs = pairs[~(hydrogen[pairs[:, 0]] & hydrogen[pairs[:, 1]])]
    used, n = shells.total > 0, len(pairs)
    position = shells.position[used]
    b = atoms.b_iso.detach().cpu().numpy().astype(np.float64)
    weighted = np.exp(-0.25 * b[:, None] * position)
    weighted *= (factors.at(position) * np.sqrt(shells.total[used]))[factors.kind]
    weighted *= np.asarray(occ, np.float64)[:, None]
    by_xyz = np.empty((n, 3, 3), np.float32)  # of thousands of atoms this is the largest array of an evaluation
    by_b, by_xyz_b = np.empty(n), np.empty((n, 3))
    _sum_pairs(xyz, weighted, np.asarray(coherent, np.float64), pairs, position, by_xyz, by_b, by_xyz_b)
    return FisherPairs(
        atoms=torch.from_numpy(pairs),
        xyz=torch.from_numpy(by_xyz),
        b_iso=torch.from_numpy(by_b),
        xyz_b=torch.from_numpy(by_xyz_b),
    )
