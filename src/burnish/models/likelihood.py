"""Likelihood of measured amplitudes given those of a model: Rice for acentric, Woolfson for centric reflections.

With F' = D |F_model|, X = (2 − c) F_o F' / Σ and Σ = (2 − c) σ_F² + ε S, c = 1 for centric reflections (Murshudov et
al. 1997; Pannu & Read 1996),

    acentric   log Σ + (F_o² + F'²)/Σ − log I₀(X) − log 2F_o        m = I₁(X)/I₀(X)
    centric    ½ log Σ + (F_o² + F'²)/2Σ − log cosh X + ½ log(π/2)  m = tanh X

and ∂/∂F' = (2 − c)(F' − m F_o)/Σ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood:
    """Negative log-likelihood per reflection and its first derivatives.

    Attributes
    ----------
    value : (n,)
    wrt_model : derivative with respect to F' = D |F_model|. (n,)
    wrt_variance : derivative with respect to Σ. (n,)
    fom : figure of merit m. (n,)
    """

    value: Tensor
    wrt_model: Tensor
    wrt_variance: Tensor
    fom: Tensor


def amplitude_likelihood(f_obs: Tensor, expected: Tensor, variance: Tensor, centric: Tensor) -> Likelihood:
    """Negative log-likelihood of amplitudes.

    Parameters
    ----------
    f_obs : measured amplitudes, not negative. (n,)
    expected : F' = D |F_model|, not negative. (n,)
    variance : Σ. (n,)
    centric : (n,) bool

    Examples
    --------
    >>> one = torch.ones(1, dtype=torch.float64)
    >>> round(float(amplitude_likelihood(one, 0 * one, one, one > 2).value), 4)    # Wilson: 1 − log 2
    0.3069
    """
    c = centric.to(f_obs.dtype)
    x = (2.0 - c) * f_obs * expected / variance
    scaled_i0 = torch.special.i0e(x)  # I0 itself overflows
    log_i0 = scaled_i0.log() + x
    log_cosh = x + torch.log1p(torch.exp(-2.0 * x)) - math.log(2.0)
    fom = torch.where(centric, torch.tanh(x), torch.special.i1e(x) / scaled_i0)
    squares = f_obs.square() + expected.square()
    half = 1.0 - 0.5 * c
    constant = torch.where(centric, 0.5 * math.log(math.pi / 2.0), -torch.log(2.0 * f_obs.clamp_min(1e-30)))
    value = half * (variance.log() + squares / variance) - torch.where(centric, log_cosh, log_i0) + constant
    return Likelihood(
        value=value,
        wrt_model=(2.0 - c) * (expected - fom * f_obs) / variance,
        wrt_variance=half * (1.0 - squares / variance) / variance + fom * x / variance,
        fom=fom,
    )


@cache
def _information_table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E[(∂/∂f)²]/f² of the likelihood against f = F'/√Σ on 0…6, acentric and centric, by quadrature over F_o."""
    f = np.linspace(0.0, 6.0, 121)[:, None]
    o = np.linspace(0.0, 12.0, 2401)[None, :]
    step = float(o[0, 1] - o[0, 0])
    x = torch.from_numpy(2.0 * f * o)
    ratio = (torch.special.i1e(x) / torch.special.i0e(x)).numpy()
    rice = 2.0 * o * np.exp(-((o - f) ** 2)) * torch.special.i0e(x).numpy()
    acentric = np.sum(rice * (2.0 * (f - ratio * o)) ** 2, axis=1) * step
    woolfson = np.sqrt(1.0 / (2.0 * np.pi)) * (np.exp(-0.5 * (o - f) ** 2) + np.exp(-0.5 * (o + f) ** 2))
    weight = np.full(o.shape, step)
    weight[0, 0] = 0.5 * step  # the centric density does not vanish at zero
    centric = np.sum(woolfson * weight * (f - np.tanh(f * o) * o) ** 2, axis=1)
    # By f², so that interpolation is right where the information vanishes as 4f² (acentric) and 2f² (centric).
    f2 = np.maximum(f[:, 0], 1e-12) ** 2
    ratios = np.stack([acentric, centric]) / f2
    ratios[:, 0] = 4.0, 2.0
    return f[:, 0], ratios[0], ratios[1]


def amplitude_information(expected: Tensor, variance: Tensor, centric: Tensor) -> Tensor:
    """Expected second derivative of the negative log-likelihood with respect to F' (Fisher information). (n,)

    2/Σ (acentric) or 1/Σ (centric) where F' is well above √Σ; falls as F'² where it is below, since the sign of a
    change of F' can then not be seen in the amplitude.
    """
    table, acentric, centric_table = _information_table()
    f = (expected / variance.sqrt()).cpu().numpy()
    unit = np.where(f < table[-1], f, table[-1]) ** 2 * np.where(
        centric.cpu().numpy(), np.interp(f, table, centric_table), np.interp(f, table, acentric)
    )
    return torch.as_tensor(unit, dtype=expected.dtype, device=expected.device) / variance
