"""Scale of the model to the data: overall, anisotropic, bulk solvent.

    F_model = k(s) · exp(−hᵗ B_aniso h / 4) · (F_calc + k_mask(s) F_mask)

k and k_mask are piecewise linear in s² (log k for the scale), after the scales by shell of Afonine et al. (2013): an
exponential for the solvent fails where the mask is poor (low-resolution shells of 4hg7). B_aniso has no trace and obeys
the crystal symmetry; the slope of log k with s² is the isotropic B that the atoms lack. All parameters are fitted at
once by Gauss–Newton with robust weights, on the working reflections.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from burnish.data.reflections import Crystal
from burnish.models.resolution import Knots, knots_by_number, roughness
from burnish.symmetry.space_groups import fractionalisation, symmetric_tensors

SOLVENT_D_MIN = 2.5  # where the solvent has faded (exp(−46/4/2.5²) = .16 of .35 e⁻/Å³), Å
MAX_K_MASK = 1.0


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


def scale_factors(scaling: Scaling, s2: np.ndarray, quadratic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Overall factor and k_mask of each reflection. (n,), (n,)"""
    left, right = scaling.knots.locate(s2)
    nearby = np.minimum(left + 1, len(scaling.knots) - 1)
    log_k = (1.0 - right) * scaling.log_k[left] + right * scaling.log_k[nearby]
    k_mask = (1.0 - right) * scaling.k_mask[left] + right * scaling.k_mask[nearby]
    return np.exp(log_k - 0.25 * (quadratic @ scaling.anisotropy)), k_mask


def overall_b(scaling: Scaling) -> float:
    """Isotropic B in the scale, Å²: slope of log k with s² beyond 4 Å (all knots at lower resolution)."""
    position, log_k = scaling.knots.position, scaling.log_k
    use = position > 1.0 / 16.0 if np.sum(position > 1.0 / 16.0) >= 3 else np.ones(len(position), dtype=bool)
    if np.sum(use) < 2:
        return 0.0
    return float(-4.0 * np.polyfit(position[use], log_k[use], 1)[0])


def flat_solvent(scaling: Scaling) -> tuple[float, float]:
    """k_sol and B_sol, e⁻/Å³ and Å², of the exponential nearest to k_mask; (0, 0) without solvent."""
    position, k_mask = scaling.knots.position, scaling.k_mask
    use = k_mask > 0.02
    if np.sum(use) < 2:
        return float(k_mask.max(initial=0.0)), 0.0
    slope, offset = np.polyfit(position[use], np.log(k_mask[use]), 1, w=k_mask[use])
    return float(np.exp(offset)), float(max(0.0, -4.0 * slope))


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
    basis = start.knots.basis(s2)
    tensors = anisotropy_basis(crystal)
    direction = -0.25 * quadratic_terms(crystal, hkl) @ tensors.T
    solvent = start.knots.position < 1.0 / SOLVENT_D_MIN**2
    overlap = np.real(np.conj(f_calc) * f_mask)
    mask2, calc2 = np.abs(f_mask) ** 2, np.abs(f_calc) ** 2
    log_k, k_mask = start.log_k.copy(), np.where(solvent, start.k_mask, 0.0)
    aniso = np.linalg.lstsq(tensors.T, start.anisotropy, rcond=None)[0] if len(tensors) else np.zeros(0)
    size = len(log_k)
    smooth = roughness(size)
    for _ in range(12):
        k = basis @ k_mask
        factor = np.exp(basis @ log_k + direction @ aniso)
        bare = np.sqrt(np.maximum(calc2 + k * (2.0 * overlap + k * mask2), 1e-12))
        model = factor * bare
        residual = f_obs - model
        spread = np.sqrt(basis @ _shell_means(basis, residual**2)) + 1e-12
        weight = 1.0 / (spread**2 * np.sqrt(1.0 + (residual / spread) ** 2))
        wrt_mask = factor * (overlap + k * mask2) / bare
        jacobian = np.concatenate(
            [basis * model[:, None], (basis * wrt_mask[:, None])[:, solvent], direction * model[:, None]], axis=1
        )
        scaled = jacobian * weight[:, None]
        normal, right = jacobian.T @ scaled, scaled.T @ residual
        # Weak priors on the second differences, .1 of log k and .2 of k_mask: a noisy knot follows its neighbours.
        active = np.flatnonzero(solvent)
        prior = np.zeros_like(normal)
        prior[:size, :size] = smooth / 0.1**2
        mask_part = slice(size, size + len(active))
        prior[mask_part, mask_part] = roughness(len(active)) / 0.2**2 + np.eye(len(active)) / 1.0
        current = np.concatenate([log_k, k_mask[solvent], aniso])
        right -= prior @ current
        normal += prior
        normal[np.diag_indices(len(normal))] *= 1.0 + 1e-6
        step = np.linalg.solve(normal, right)
        step *= min(1.0, 0.7 / np.abs(step[:size]).max(initial=1e-9))
        log_k += step[:size]
        k_mask[solvent] = np.clip(k_mask[solvent] + step[mask_part], 0.0, MAX_K_MASK)
        aniso += step[size + len(active) :]
        if np.abs(step[: size + len(active)]).max() < 1e-3:
            break
    return Scaling(
        knots=start.knots, log_k=log_k, k_mask=k_mask, anisotropy=aniso @ tensors if len(tensors) else np.zeros(6)
    )


def _shell_means(basis: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean of values around each knot. (k,)"""
    return (basis.T @ values) / np.maximum(basis.sum(axis=0), 1e-9)


def _first_scaling(knots: Knots, s2: np.ndarray, f_obs: np.ndarray, f_calc: np.ndarray, f_mask: np.ndarray) -> Scaling:
    k_mask = 0.35 * np.exp(-46.0 * knots.position / 4.0)
    basis = knots.basis(s2)
    model = np.abs(f_calc + (basis @ k_mask) * f_mask)
    ratio = _shell_means(basis, f_obs * model) / np.maximum(_shell_means(basis, model**2), 1e-12)
    return Scaling(knots=knots, log_k=np.log(np.maximum(ratio, 1e-12)), k_mask=k_mask, anisotropy=np.zeros(6))
