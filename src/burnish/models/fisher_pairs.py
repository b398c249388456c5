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
from scipy.spatial import cKDTree

from burnish.data.atoms import Atoms
from burnish.models.data_term import FisherPairs
from burnish.models.fisher import ShellWeights
from burnish.scattering.form_factors import FormFactors

LEAST_REACH, MOST_REACH = 1.7, 3.0  # Å


def pair_reach(d_min: float) -> float:
    """Distance up to which pairs are taken, Å: about where the curvature between two atoms first vanishes."""
    return min(max(0.9 * d_min, LEAST_REACH), MOST_REACH)


@numba.njit(cache=True)
def _sum_pairs(xyz, b, occ, coherent, kind, pairs, quarter, total, form, by_xyz, by_b, by_xyz_b):
    """Fill the three kinds of derivatives for each pair."""
    shells = len(total)
    r = np.empty(3)
    for p in range(len(pairs)):
        i, j = pairs[p, 0], pairs[p, 1]
        length2 = 0.0
        for k in range(3):
            r[k] = xyz[i, k] - xyz[j, k]
            length2 += r[k] * r[k]
        length = math.sqrt(max(length2, 1e-8))
        both = 0.5 * (b[i] + b[j])
        across, along, of_b, mixed = 0.0, 0.0, 0.0, 0.0
        for n in range(shells):
            q = quarter[n]
            w = total[n] * form[kind[i], n] * form[kind[j], n] * math.exp(-2.0 * both * q)
            s = 2.0 * math.sqrt(q)
            t = 2.0 * math.pi * s * length
            if t < 1e-2:
                j0, j1_by_t = 1.0 - t * t / 6.0, 1.0 / 3.0 - t * t / 30.0
            else:
                j0 = math.sin(t) / t
                j1_by_t = (j0 - math.cos(t)) / (t * t)
            across += w * q * j1_by_t
            along += w * q * (j0 - 2.0 * j1_by_t)
            of_b += w * q * q * j0
            mixed += w * s * q * j1_by_t * t
        factor = occ[i] * occ[j] * max(coherent[i], coherent[j])
        across *= 16.0 * math.pi**2 * factor
        along *= 16.0 * math.pi**2 * factor
        by_b[p] = of_b * factor
        for k in range(3):
            by_xyz_b[p, k] = 2.0 * math.pi * mixed * factor * r[k] / length
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
    pairs = cKDTree(xyz).query_pairs(reach, output_type="ndarray")
    pairs = pairs[~(hydrogen[pairs[:, 0]] & hydrogen[pairs[:, 1]])]
    used = shells.total > 0
    quarter, n = 0.25 * shells.position[used], len(pairs)
    form = factors.at(shells.position[used])
    by_xyz = np.empty((n, 3, 3), np.float32)  # of thousands of atoms this is the largest array of an evaluation
    by_b, by_xyz_b = np.empty(n), np.empty((n, 3))
    b = atoms.b_iso.detach().cpu().numpy().astype(np.float64)
    _sum_pairs(
        xyz, b, np.asarray(occ, np.float64), np.asarray(coherent, np.float64), factors.kind, pairs, quarter,
        shells.total[used], form, by_xyz, by_b, by_xyz_b,
    )  # fmt: skip
    return FisherPairs(
        atoms=torch.from_numpy(pairs),
        xyz=torch.from_numpy(by_xyz),
        b_iso=torch.from_numpy(by_b),
        xyz_b=torch.from_numpy(by_xyz_b),
    )
