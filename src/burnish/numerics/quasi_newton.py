"""Smooth functions of a few parameters between bounds: BFGS with projection.

A library would do as well, but every refinement would pay for its loading: `scipy.optimize` takes 27 MB and .24 s,
`torch.optim` 79 MB and 1.3 s (its first step loads the compiler). Little memory is a promise of refinement.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ARMIJO = 1e-4  # share of the first-order gain that a step must bring
SHORTEST = 1e-10  # of a step before the search ends
STEEP = 1e-10  # smallest curvature along a step, relative, that is learned from


def minimise(
    objective: Callable[[Array], tuple[float, Array]],
    start: Array,
    lower: Array,
    upper: Array,
    *,
    tolerance: float = 1e-7,
    max_iterations: int = 100,
) -> tuple[Array, float]:
    """Minimum of a function with bounds; returns the parameters and the value there.

    Parameters
    ----------
    objective : value and gradient.
    start : where to begin; brought between the bounds first.
    lower, upper : bounds of each parameter.
    tolerance : ends when an iteration gains less than this, relative to the value (or to 1 where it is smaller).

    Notes
    -----
    Parameters at a bound whose gradient points outwards stay there; the others take a quasi-Newton step, cut at the
    bounds and halved until the value falls (Nocedal & Wright 2006, Numerical Optimization, algorithm 6.1; the bounds as
    in Bertsekas 1982, SIAM J. Control Optim. 20, 221).
    """
    x = np.clip(np.asarray(start, dtype=np.float64), lower, upper)
    value, gradient = objective(x)
    inverse = np.eye(len(x)) / max(float(np.linalg.norm(gradient)), 1e-12)
    learned = False
    for _ in range(max_iterations):
        free = ~(((x <= lower) & (gradient > 0.0)) | ((x >= upper) & (gradient < 0.0)))
        direction = np.zeros_like(x)
        direction[free] = -inverse[np.ix_(free, free)] @ gradient[free]
        if float(direction @ gradient) >= 0.0:
            direction = np.where(free, -gradient, 0.0)
        fraction, found = 1.0, None
        while fraction > SHORTEST:
            tried = np.clip(x + fraction * direction, lower, upper)
            there, slope = objective(tried)
            if np.isfinite(there) and there <= value + ARMIJO * float(gradient @ (tried - x)):
                found = (tried, there, slope)
                break
            fraction *= 0.5 if learned else 0.2
        if found is None:
            break
        step, change = found[0] - x, found[2] - gradient
        gained = value - found[1]
        x, value, gradient = found
        curvature = float(step @ change)
        if curvature > STEEP * float(np.linalg.norm(step) * np.linalg.norm(change)):
            if not learned:
                inverse, learned = np.eye(len(x)) * (curvature / float(change @ change)), True
            inverse = _updated(inverse, step, change, curvature)
        if gained <= tolerance * max(abs(value), 1.0):
            break
    return x, value


def _updated(inverse: Array, step: Array, change: Array, curvature: float) -> Array:
    """BFGS update of the inverse curvature."""
    left = np.eye(len(step)) - np.outer(step, change) / curvature
    return np.asarray(left @ inverse @ left.T + np.outer(step, step) / curvature)
