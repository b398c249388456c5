"""R factors and correlations of observed and model amplitudes."""

from __future__ import annotations

import torch
from torch import Tensor


def r_factor(observed: Tensor, model: Tensor) -> float:
    """Σ| |F_o| − |F_m| | / Σ F_o over observed values that are not NaN; NaN without reflections.

    Examples
    --------
    >>> r_factor(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 3.0]))
    0.25
    """
    present = observed.isfinite()
    observed, model = observed[present], model[present]
    total = float(observed.sum())
    return float((observed - model).abs().sum()) / total if total > 0 else float("nan")


def correlation(observed: Tensor, model: Tensor) -> float:
    """Pearson correlation over observed values that are not NaN; NaN with fewer than three values or no spread."""
    present = observed.isfinite()
    observed, model = observed[present], model[present]
    if len(observed) < 3:
        return float("nan")
    a, b = observed - observed.mean(), model - model.mean()
    norm = float(a.norm() * b.norm())
    return float(torch.dot(a, b)) / norm if norm > 0 else float("nan")
