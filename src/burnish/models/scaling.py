"""Scale of the model to the data: overall, anisotropic, bulk solvent.

    F_model = k(s) · exp(−hᵗ B_aniso h / 4) · (F_calc + k_mask(s) F_mask)

k and k_mask are piecewise linear in s² (log k for the scale), after the scales by shell of Afonine et al. (2013): an
exponential for the solvent fails where the mask is poor (low-resolution shells of 4hg7). B_aniso has no trace and obeys
the crystal symmetry; the slope of log k with s² is the isotropic B that the atoms lack. All parameters are fitted at
once by Gauss–Newton with robust weights, on the working reflections.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np

from burnish.data.reflections import Crystal
from burnish.models.resolution import Knots, knots_by_number, roughness
from burnish.symmetry.space_groups import fractionalisation, symmetric_tensors

SOLVENT_D_MIN = 2.5  # where the solvent has faded (exp(−46/4/2.5²) = .16 of .35 e⁻/Å³), Å
MAX_K_MASK = 1.0
CONVERGED = 2e-3  # change of log k and k_mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Parameters of the scale.

    Attributes
    ----------
    knots : positions of the piecewise linear functions.
    log_k : log of the overall scale at the knots. (k,)
    k_mask : solvent scale at the knots, e⁻/Å³ per unit of mask. (k,)
    anisotropy : traceless B, Cartesian 11 22 33 12 13 23, Å². (6,)
    """

    knots: Knots
    log_k: np.ndarray
    k_mask: np.ndarray
    anisotropy: np.ndarray


def anisotropy_basis(crystal: Crystal) -> np.ndarray:
    """Traceless symmetric tensors that the crystal symmetry allows. (m, 6), m from 0 to 5"""
    tensors = symmetric_tensors(crystal)
    trace = tensors[:, :3].sum(axis=1)
    _, singular, rotation = np.linalg.svd(trace[None, :])
    return rotation[1:] @ tensors if singular[0] > 1e-9 else tensors


def quadratic_terms(crystal: Crystal, hkl: np.ndarray) -> np.ndarray:
    """Coefficients of a symmetric tensor in hᵗ B h, from 11 22 33 12 13 23, Å⁻². (n, 6)"""
    x, y, z = (hkl.astype(float) @ fractionalisation(crystal)).T
    return np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], axis=1)


def anisotropic_factor(scaling: Scaling, vectors: np.ndarray) -> np.ndarray:
    """exp(−hᵗ B_aniso h / 4) of Cartesian reciprocal vectors (n, 3). (n,)"""
    xx, yy, zz, xy, xz, yz = scaling.anisotropy
    tensor = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return np.asarray(np.exp(-0.25 * ((vectors @ tensor) * vectors).sum(axis=1)))


def scale_factors(scaling: Scaling, s2: np.ndarray, anisotropy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Overall factor, with its anisotropic part as given, and k_mask of each reflection. (n,), (n,)"""
    left, right = scaling.knots.locate(s2)
    nearby = np.minimum(left + 1, len(scaling.knots) - 1)
    log_k = (1.0 - right) * scaling.log_k[left] + right * scaling.log_k[nearby]
    k_mask = (1.0 - right) * scaling.k_mask[left] + right * scaling.k_mask[nearby]
    return np.exp(log_k) * anisotropy, k_mask


def fit_scaling(
    crystal: Crystal,
    hkl: np.ndarray,
    s2: np.ndarray,
    f_obs: np.ndarray,
    f_calc: np.ndarray,
    f_mask: np.ndarray,
    start: Scaling | None = None,
) -> Scaling:
    """Fit scales to measured amplitudes.

    Parameters
    ----------
    hkl, s2 : indices and 1/d² of the reflections to use. (n, 3), (n,)
    f_obs : amplitudes, without NaN. (n,)
    f_calc, f_mask : structure factors of atoms and of the mask. (n,) complex
    start : scales to start from; else from Wilson-like ratios and k_sol .35, B_sol 46.
    """
    if start is None:
        knots = knots_by_number(s2, first=max(30, min(100, len(s2) // 40)), most=min(20, max(6, len(s2) // 300)))
        start = _first_scaling(knots, s2, f_obs, f_calc, f_mask)
    knots = start.knots
    left, right = knots.locate(s2)
    tensors = anisotropy_basis(crystal)
    direction = -0.25 * quadratic_terms(crystal, hkl) @ tensors.T
    solvent = np.flatnonzero(knots.position < 1.0 / SOLVENT_D_MIN**2)
    log_k, k_mask = start.log_k.copy(), np.zeros(len(knots))
    k_mask[solvent] = start.k_mask[solvent]
    aniso = np.linalg.lstsq(tensors.T, start.anisotropy, rcond=None)[0]
    active = np.concatenate(
        [np.arange(len(knots)), len(knots) + solvent, 2 * len(knots) + np.arange(len(tensors))]
    ).astype(np.int64)
    prior = _prior(len(knots), len(solvent), len(tensors))
    terms = np.real(np.conj(f_calc) * f_mask).astype(float), np.abs(f_mask) ** 2, np.abs(f_calc) ** 2
    for _ in range(12):
        state = log_k, k_mask, aniso
        normal, gradient = _normal_equations(left, right, direction, *state, *terms, f_obs)
        current = np.concatenate([log_k, k_mask[solvent], aniso])
        matrix = normal[np.ix_(active, active)] + prior
        matrix[np.diag_indices(len(matrix))] *= 1.0 + 1e-6
        step = np.linalg.solve(matrix, gradient[active] - prior @ current)
        step *= min(1.0, 0.7 / np.abs(step[: len(knots)]).max(initial=1e-9))
        by_mask = slice(len(knots), len(knots) + len(solvent))
        log_k = log_k + step[: len(knots)]
        k_mask[solvent] = np.clip(k_mask[solvent] + step[by_mask], 0.0, MAX_K_MASK)
        aniso = aniso + step[by_mask.stop :]
        if np.abs(step[: by_mask.stop]).max() < CONVERGED:
            break
    return Scaling(knots=knots, log_k=log_k, k_mask=k_mask, anisotropy=aniso @ tensors)


def _prior(knots: int, solvent: int, tensors: int) -> np.ndarray:
    """Weak priors on second differences, .1 of log k and .2 of k_mask, so that a noisy knot follows its neighbours."""
    prior = np.zeros((knots + solvent + tensors, knots + solvent + tensors))
    prior[:knots, :knots] = roughness(knots) / 0.1**2
    prior[knots : knots + solvent, knots : knots + solvent] = roughness(solvent) / 0.2**2 + np.eye(solvent)
    return prior


@numba.njit(cache=True)
def _normal_equations(left, right, direction, log_k, k_mask, aniso, overlap, mask2, calc2, f_obs):
    """Normal matrix and gradient of the robust sum of squares by (log k, k_mask, anisotropy).

    A reflection touches two knots of each function and the few tensors: the matrix is summed without a Jacobian.
    Weights are those of a hyperbolic loss whose width is the rms residual around the knot.
    """
    n, knots, tensors = len(f_obs), len(log_k), direction.shape[1]
    model, by_mask, residual = np.empty(n), np.empty(n), np.empty(n)
    square, count = np.zeros(knots), np.full(knots, 1e-9)
    for i in range(n):
        a, w = left[i], right[i]
        b = min(a + 1, knots - 1)
        k = (1.0 - w) * k_mask[a] + w * k_mask[b]
        exponent = (1.0 - w) * log_k[a] + w * log_k[b]
        for t in range(tensors):
            exponent += direction[i, t] * aniso[t]
        factor = math.exp(exponent)
        bare = math.sqrt(max(calc2[i] + k * (2.0 * overlap[i] + k * mask2[i]), 1e-12))
        model[i] = factor * bare
        by_mask[i] = factor * (overlap[i] + k * mask2[i]) / bare
        residual[i] = f_obs[i] - model[i]
        square[a] += (1.0 - w) * residual[i] ** 2
        square[b] += w * residual[i] ** 2
        count[a] += 1.0 - w
        count[b] += w
    size = 2 * knots + tensors
    normal, gradient = np.zeros((size, size)), np.zeros(size)
    place, value = np.empty(4 + tensors, np.int64), np.empty(4 + tensors)
    for t in range(tensors):
        place[4 + t] = 2 * knots + t
    for i in range(n):
        a, w = left[i], right[i]
        b = min(a + 1, knots - 1)
        spread2 = (1.0 - w) * square[a] / count[a] + w * square[b] / count[b] + 1e-24
        weight = 1.0 / (spread2 * math.sqrt(1.0 + residual[i] ** 2 / spread2))
        place[0], place[1], place[2], place[3] = a, b, knots + a, knots + b
        value[0], value[1] = (1.0 - w) * model[i], w * model[i]
        value[2], value[3] = (1.0 - w) * by_mask[i], w * by_mask[i]
        for t in range(tensors):
            value[4 + t] = direction[i, t] * model[i]
        for p in range(4 + tensors):
            scaled = weight * value[p]
            gradient[place[p]] += scaled * residual[i]
            for q in range(4 + tensors):
                normal[place[p], place[q]] += scaled * value[q]
    return normal, gradient


def _first_scaling(knots: Knots, s2: np.ndarray, f_obs: np.ndarray, f_calc: np.ndarray, f_mask: np.ndarray) -> Scaling:
    k_mask = 0.35 * np.exp(-46.0 * knots.position / 4.0)
    basis = knots.basis(s2)
    model = np.abs(f_calc + (basis @ k_mask) * f_mask)
    ratio = (basis.T @ (f_obs * model)) / np.maximum(basis.T @ model**2, 1e-12)
    return Scaling(knots=knots, log_k=np.log(np.maximum(ratio, 1e-12)), k_mask=k_mask, anisotropy=np.zeros(6))
