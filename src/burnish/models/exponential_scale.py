"""The plainest scale that serves a whole crystal: one B and one exponential of the bulk solvent.

    |F_obs| ≈ k · exp(−B s²/4) · |F_calc + k_sol · exp(−B_sol s²/4) · F_mask|

The scale by knots (`scaling`) follows whatever shape the resolution dependence has, and so cannot say which B the atoms
lack: a B of 25 Å² too much in all atoms of a crystal at 3 Å is made good by its knots. This one can: with it B belongs
to the atoms, and models suit programs that scale with one exponential.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LARGEST_K_SOL = 1.0
LARGEST_B_SOL = 200.0  # Å²
_CONVERGED = 1e-4
_STEPS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ExponentialScale:
    """Parameters of the scale.

    Attributes
    ----------
    log_k : log of the overall factor.
    b : B that the atoms lack, Å².
    k_sol : mean density of the solvent, e⁻/Å³.
    b_sol : B of the solvent's edge, Å².
    """

    log_k: float
    b: float
    k_sol: float
    b_sol: float


def exponential_factors(scale: ExponentialScale, s2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Overall factor, without anisotropy, and k_mask of each reflection. (n,), (n,)"""
    quarter = 0.25 * s2
    return np.exp(scale.log_k - scale.b * quarter), scale.k_sol * np.exp(-scale.b_sol * quarter)


def fit_exponential_scale(
    s2: np.ndarray, f_obs: np.ndarray, f_calc: np.ndarray, f_mask: np.ndarray, start: ExponentialScale | None = None
) -> ExponentialScale:
    """Fit the four numbers by Levenberg and Marquardt's method to amplitudes, with a hyperbolic loss.

    Parameters
    ----------
    s2 : 1/d² of the reflections to use, Å⁻². (n,)
    f_obs : amplitudes, corrected for anisotropy, without NaN. (n,)
    f_calc, f_mask : structure factors of atoms and of the mask. (n,) complex
    start : where to begin; k_sol .35 and B_sol 46 without.

    Notes
    -----
    All amplitudes weigh alike, as in R, so that strong reflections count most; the loss grows linearly beyond the
    usual residual, so that low orders which the mask explains badly cannot turn the scale.
    """
    overlap = np.real(np.conj(f_calc) * f_mask).astype(float)
    mask2, calc2 = np.abs(f_mask).astype(float) ** 2, np.abs(f_calc).astype(float) ** 2
    if start is None:
        size = np.sqrt(np.maximum(calc2, 1e-12))
        start = ExponentialScale(log_k=float(np.log(f_obs.sum() / size.sum())), b=0.0, k_sol=0.35, b_sol=46.0)
    p = np.array([start.log_k, start.b, start.k_sol, start.b_sol])
    damping = 1e-3
    model, jacobian = _model(p, s2, overlap, mask2, calc2)
    residual = f_obs - model
    spread = max(1.5 * float(np.median(np.abs(residual))), 1e-12)  # 1.5: to the standard deviation of a normal one
    loss = _loss(residual, spread)
    for _ in range(_STEPS):
        weight = 1.0 / np.sqrt(1.0 + (residual / spread) ** 2)
        normal = jacobian @ (weight * jacobian).T
        normal[np.diag_indices(4)] *= 1.0 + damping
        normal[np.diag_indices(4)] += 1e-12 * max(float(np.trace(normal)), 1e-30)
        step = np.linalg.solve(normal, jacobian @ (weight * residual))
        tried = _within_limits(p + step)
        model, jacobian_there = _model(tried, s2, overlap, mask2, calc2)
        there = _loss(f_obs - model, spread)
        if there > loss:
            damping *= 10.0
            if damping > 1e6:
                break
            continue
        gained = (loss - there) / max(loss, 1e-30)
        p, residual, jacobian, loss, damping = tried, f_obs - model, jacobian_there, there, max(damping / 10.0, 1e-6)
        if gained < _CONVERGED:
            break
    return ExponentialScale(log_k=float(p[0]), b=float(p[1]), k_sol=float(p[2]), b_sol=float(p[3]))


def _model(
    p: np.ndarray, s2: np.ndarray, overlap: np.ndarray, mask2: np.ndarray, calc2: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes (n,) and their derivatives by the four parameters (4, n)."""
    quarter = 0.25 * s2
    edge = np.exp(-p[3] * quarter)
    k = p[2] * edge
    bare = np.sqrt(np.maximum(calc2 + k * (2.0 * overlap + k * mask2), 1e-12))
    factor = np.exp(p[0] - p[1] * quarter)
    model = factor * bare
    by_k = factor * (overlap + k * mask2) / bare
    return model, np.stack([model, -quarter * model, edge * by_k, -quarter * k * by_k])


def _loss(residual: np.ndarray, spread: float) -> float:
    return float(np.sum(np.sqrt(1.0 + (residual / spread) ** 2) - 1.0))


def _within_limits(p: np.ndarray) -> np.ndarray:
    return np.array([p[0], p[1], np.clip(p[2], 0.0, LARGEST_K_SOL), np.clip(p[3], 0.0, LARGEST_B_SOL)])
