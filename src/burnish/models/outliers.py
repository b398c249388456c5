"""Reflections that can hardly be what was measured (Read 1999, Acta Cryst. D55, 1759)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from burnish.models.resolution import knots_by_number

IMPROBABLE = 1e-6


def wilson_outliers(s2: Tensor, f_obs: Tensor, centric: Tensor, epsilon: Tensor) -> Tensor:
    """Amplitudes too large for their shell: probability under Wilson statistics below 1e-6. (n,) bool

    E² > 13.8 for acentric, 23.9 for centric reflections; ⟨I⟩ by piecewise linear log means over s², refined once
    without the outliers so that one wild value does not hide itself.
    """
    intensity = (f_obs.square() / epsilon).cpu().numpy()
    limit = np.where(centric.cpu().numpy(), 23.93, -np.log(IMPROBABLE))
    position = s2.cpu().numpy()
    basis = knots_by_number(position, first=max(20, min(200, len(position) // 10)), most=20).basis(position)
    keep = intensity <= 1000.0 * np.median(intensity)
    for _ in range(3):
        count = np.maximum((basis[keep]).sum(axis=0), 1e-9)
        mean = basis @ (basis[keep].T @ intensity[keep] / count)
        keep = intensity <= limit * np.maximum(mean, 1e-30)
    return torch.as_tensor(~keep, device=s2.device)


def model_outliers(f_obs: Tensor, expected: Tensor, variance: Tensor, centric: Tensor) -> Tensor:
    """Amplitudes too far from what the model leads to expect: probability below 1e-6 by the width of its likelihood.

    Parameters
    ----------
    expected : F' = D |F_model|. (n,)
    variance : Σ of the likelihood. (n,)
    """
    spread = torch.where(centric, variance, 0.5 * variance)
    # Rice and Woolfson amplitudes lie at √(F'² + …); beyond it they fall like a normal distribution of this spread.
    return (f_obs - expected).square() > (4.89**2) * spread + torch.where(centric, 0.0, 0.5) * variance
