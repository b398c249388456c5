"""Measurements that no crystal can have produced."""

from __future__ import annotations

import numpy as np

from burnish.data.reflections import Crystal
from burnish.models.wilson import mean_intensity

LARGEST_E2 = 60.0  # Wilson statistics: probability 1e-26 (acentric), 1e-14 (centric)


def impossible_intensities(
    crystal: Crystal, hkl: np.ndarray, s2: np.ndarray, intensity: np.ndarray, sigma: np.ndarray, epsilon: np.ndarray
) -> np.ndarray:
    """Intensities more than 60 times the mean of their surroundings. (n,) bool

    Notes
    -----
    Read (1999) rejects at a probability of 1e-6 under Wilson statistics, E² > 13.8; stacked bases and other repeats
    in the cell (the 12 k l family of 5d5w) exceed that, and the model explains them. So only what is beyond any
    statistics goes here; what merely disagrees with the model is found when there is one (`Target.outliers`).
    """
    scaled = intensity / epsilon
    keep = scaled <= 1e3 * max(float(np.median(np.abs(scaled))), 1e-30)
    for _ in range(2):
        if not keep.any():
            return ~keep
        mean = np.full(len(s2), np.nan)
        mean[keep] = mean_intensity(crystal, hkl[keep], s2[keep], scaled[keep], (sigma / epsilon)[keep])
        order = np.argsort(s2[keep])
        mean = np.interp(s2, s2[keep][order], mean[keep][order])
        keep = scaled <= LARGEST_E2 * mean
    return ~keep
