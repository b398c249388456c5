"""Amplitudes from intensities, weak and negative ones among them (French & Wilson 1978, Acta Cryst. A34, 517).

The posterior of the true intensity J ≥ 0 given I ± σ under the Wilson prior of mean Σ is ∝ exp(−(J − hσ)²/2σ²), with a
factor J^(−1/2) for centric reflections, and h = I/σ − σ/Σ (acentric) or I/σ − σ/2Σ (centric). Its moments depend on h
alone; they are tabulated by quadrature over the amplitude.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from burnish.data.reflections import Crystal
from burnish.models.wilson import mean_intensity

LOW, HIGH = -30.0, 30.0  # of h; beyond, the asymptotic forms


@cache
def _moments() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and standard deviation of F/√σ against h, acentric in row 0 and centric in row 1. (k,), (2, k), (2, k)"""
    h = np.linspace(LOW, HIGH, 1201)
    x = np.linspace(0.0, 1.0, 4001)
    # The density of f = F/√σ sits within a few 1/√|h| of 0 for negative h and at √h for positive h.
    reach = np.where(h > 0, np.sqrt(np.maximum(h, 0.0) + 8.0), 7.0 / np.sqrt(1.0 + np.abs(h) / 3.0))
    mean, spread = np.empty((2, len(h))), np.empty((2, len(h)))
    for n, (centre, end) in enumerate(zip(h, reach, strict=True)):
        f = end * x
        exponent = -0.5 * (f**2 - centre) ** 2
        weight = np.exp(exponent - exponent.max())
        weight[0] *= 0.5
        for row, density in enumerate((f * weight, weight)):
            total = density.sum()
            mean[row, n] = (density @ f) / total
            spread[row, n] = np.sqrt((density @ f**2) / total - mean[row, n] ** 2)
    return h, mean, spread


def french_wilson(
    crystal: Crystal,
    hkl: np.ndarray,
    s2: np.ndarray,
    intensity: np.ndarray,
    sigma: np.ndarray,
    centric: np.ndarray,
    epsilon: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and standard deviation of each amplitude.

    Parameters
    ----------
    hkl, s2 : indices and 1/d². (n, 3), (n,)
    intensity, sigma : measured intensities and their uncertainties; NaN, or σ not positive, where not measured. (n,)
    centric, epsilon : of each reflection. (n,)

    Returns
    -------
    f_obs, sigma_f_obs : NaN where the intensity was not measured. (n,) float64
    """
    f_obs, sigma_f_obs = np.full(len(s2), np.nan), np.full(len(s2), np.nan)
    use = np.isfinite(intensity) & np.isfinite(sigma) & (np.where(np.isfinite(sigma), sigma, 0.0) > 0.0)
    if not use.any():
        return f_obs, sigma_f_obs
    i, width, eps = intensity[use], sigma[use], epsilon[use]
    expected = eps * mean_intensity(crystal, hkl[use], s2[use], i / eps, width / eps)
    h = i / width - np.where(centric[use], 0.5, 1.0) * width / expected
    table, mean, spread = _moments()
    inside = np.clip(h, LOW, HIGH)
    row = centric[use].astype(int)
    f = np.where(row, np.interp(inside, table, mean[1]), np.interp(inside, table, mean[0]))
    df = np.where(row, np.interp(inside, table, spread[1]), np.interp(inside, table, spread[0]))
    # Beyond the table: J is nearly normal above (F = √J), nearly exponential (or χ² of one degree) below.
    beyond = np.sqrt(np.maximum(np.abs(h), 1.0) / HIGH)
    f = np.where(h > HIGH, f * beyond, np.where(h < LOW, f / beyond, f))
    df = np.where((h > HIGH) | (h < LOW), df / beyond, df)
    root = np.sqrt(width)
    f_obs[use], sigma_f_obs[use] = f * root, df * root
    return f_obs, sigma_f_obs
