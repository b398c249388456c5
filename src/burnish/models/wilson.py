"""Mean intensity as a function of the reciprocal vector: Wilson statistics with anisotropy.

⟨I(h)⟩ = ε exp(p(s²) − hᵗ B h / 2), p piecewise linear, B traceless and of the crystal's symmetry. Fitted by scoring for
the exponential distribution with a logarithmic link, which takes negative intensities as they are: each step solves
XᵀWX δ = XᵀW(I/⟨I⟩ − 1), W = ⟨I⟩²/(⟨I⟩² + σ²).
"""

from __future__ import annotations

import numpy as np

from burnish.data.reflections import Crystal
from burnish.models.resolution import Knots, knots_by_number, roughness
from burnish.models.scaling import anisotropy_basis, quadratic_terms

LARGEST_RATIO = 25.0  # of intensity to mean that a step listens to
MOST_REFLECTIONS = 20_000  # to fit; a part of a larger set says as much
BEND = 0.7  # standard deviation of the second differences of p over knots


def mean_intensity(
    crystal: Crystal, hkl: np.ndarray, s2: np.ndarray, intensity: np.ndarray, sigma: np.ndarray
) -> np.ndarray:
    """Expected intensity of each reflection per unit of epsilon.

    Parameters
    ----------
    hkl, s2 : indices and 1/d². (n, 3), (n,)
    intensity, sigma : measured values and their uncertainties, divided by epsilon; values may be negative. (n,)
    """
    part = slice(None, None, max(1, len(s2) // MOST_REFLECTIONS))
    knots = knots_by_number(s2[part], first=max(20, min(100, len(s2[part]) // 20)), most=20)
    tensors = anisotropy_basis(crystal) if len(s2) > 500 else np.zeros((0, 6))
    parameters = _fit(crystal, hkl[part], s2[part], intensity[part], sigma[part], knots, tensors)
    left, right = knots.locate(s2)
    nearby = np.minimum(left + 1, len(knots) - 1)
    logarithm = (1.0 - right) * parameters[left] + right * parameters[nearby]
    tensor = parameters[len(knots) :] @ tensors
    return np.exp(np.clip(logarithm - 0.5 * quadratic_terms(crystal, hkl) @ tensor, -60.0, 60.0))


def _fit(
    crystal: Crystal,
    hkl: np.ndarray,
    s2: np.ndarray,
    intensity: np.ndarray,
    sigma: np.ndarray,
    knots: Knots,
    tensors: np.ndarray,
) -> np.ndarray:
    """p at the knots, then the coefficients of the tensors."""
    basis = knots.basis(s2)
    design = np.concatenate([basis, -0.5 * quadratic_terms(crystal, hkl) @ tensors.T], axis=1)
    middle = np.median(np.abs(intensity))
    believable = np.clip(intensity, -1e4 * middle, 1e4 * middle)
    shell = np.maximum(basis.T @ believable / np.maximum(basis.sum(axis=0), 1e-9), 1e-6 * middle + 1e-30)
    parameters = np.concatenate([np.log(shell), np.zeros(len(tensors))])
    smooth = np.zeros((design.shape[1], design.shape[1]))
    smooth[: len(knots), : len(knots)] = roughness(len(knots)) / BEND**2
    for _ in range(30):
        mean = np.exp(np.clip(design @ parameters, -60.0, 60.0))
        weight = mean**2 / (mean**2 + sigma**2)
        excess = weight * np.clip(intensity / mean - 1.0, -LARGEST_RATIO, LARGEST_RATIO)
        normal = design.T @ (design * weight[:, None]) + smooth + 1e-6 * np.eye(len(smooth))
        step = np.linalg.solve(normal, design.T @ excess - smooth @ parameters)
        step *= 1.0 / max(1.0, float(np.abs(step[: len(knots)]).max()))
        parameters += step
        if np.abs(step[: len(knots)]).max() < 1e-3:
            break
    return parameters
