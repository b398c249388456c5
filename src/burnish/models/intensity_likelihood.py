"""Likelihood of measured intensities, the true amplitude integrated out (Yamashita et al. 2023, Acta Cryst. D79, 368).

    P(I | F') = ∫ P(F | F', Σ) N(I; F², σ²) dF,     P(F | F', Σ) Rice or Woolfson with Σ = ε S

Negative and weak intensities enter as they are, without French & Wilson. The integral is a sum over nodes around the
mode of the integrand; derivatives are means of those of log P(F | F', Σ) over the same nodes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from burnish.models.likelihood import Likelihood

NODES = 20
REACH = 5.0  # half-width of the nodes, standard deviations of the integrand


def _ratio(x: Tensor, centric: Tensor) -> Tensor:
    """m(X) = I₁/I₀ or tanh."""
    return torch.where(centric, torch.tanh(x), torch.special.i1e(x) / torch.special.i0e(x))


def _mode(
    intensity: Tensor, sigma: Tensor, expected: Tensor, variance: Tensor, centric: Tensor
) -> tuple[Tensor, Tensor]:
    """Amplitude at the maximum of the integrand and its width, by Newton with a curvature that stays positive."""
    c = centric.to(intensity.dtype)
    mean = expected.square() + variance  # of F² under the model; its variance Σ² + 2Σ F'² (acentric)
    spread = (1.0 + c) * variance * (variance + 2.0 * expected.square()) + 1e-30
    weight = 1.0 / sigma.square()
    f = torch.sqrt(((intensity * weight + mean / spread) / (weight + 1.0 / spread)).clamp_min(0.05 * variance))
    width = f
    for _ in range(6):
        m = _ratio((2.0 - c) * f * expected / variance, centric)
        slope = (1.0 - c) / f - (2.0 - c) * (f - m * expected) / variance + 2.0 * f * (intensity - f.square()) * weight
        curvature = (
            (1.0 - c) / f.square() + (2.0 - c) / variance + (2.0 * weight) * (3.0 * f.square() - intensity).clamp_min(0)
        )
        f = (f + (slope / curvature).clamp(-0.5 * f, f)).clamp_min(1e-6)
        width = curvature.rsqrt()
    return f, width


def intensity_likelihood(
    intensity: Tensor, sigma: Tensor, expected: Tensor, variance: Tensor, centric: Tensor
) -> Likelihood:
    """Negative log-likelihood of intensities.

    Parameters
    ----------
    intensity, sigma : measured intensities, of either sign, and their uncertainties, positive. (n,)
    expected : F' = D |F_model|. (n,)
    variance : Σ = ε S, without the measurement. (n,)
    centric : (n,) bool

    Returns
    -------
    `fom` is ⟨m⟩ over the posterior of F, and derivatives are by F' and Σ.
    """
    mode, width = _mode(intensity, sigma, expected, variance, centric)
    low = (mode - REACH * width).clamp_min(0.0)
    step = (mode + REACH * width - low) / NODES
    c = centric.to(intensity.dtype)
    total = torch.full_like(mode, -math.inf)
    parts = []
    for node in range(NODES):
        f = low + (node + 0.5) * step
        x = (2.0 - c) * f * expected / variance
        bessel = torch.special.i0e(x)
        # exponent with the growth of I0 or cosh taken together: −(F − F')²/Σ
        rice = torch.log(2.0 * f / variance) + bessel.log() - (f - expected).square() / variance
        cosh = torch.log1p(torch.exp(-2.0 * x)) - 0.5 * torch.log(2.0 * math.pi * variance)
        woolfson = cosh - 0.5 * (f - expected).square() / variance
        log_p = torch.where(centric, woolfson, rice) - 0.5 * ((intensity - f.square()) / sigma).square()
        m = torch.where(centric, torch.tanh(x), torch.special.i1e(x) / bessel)
        by_expected = (2.0 - c) * (expected - m * f) / variance
        half = 1.0 - 0.5 * c
        by_variance = half * (1.0 - (f.square() + expected.square()) / variance) / variance + m * x / variance
        parts.append((log_p, by_expected, by_variance, m))
        total = torch.logaddexp(total, log_p)
    wrt_model, wrt_variance, fom = torch.zeros_like(mode), torch.zeros_like(mode), torch.zeros_like(mode)
    for log_p, by_expected, by_variance, m in parts:
        weight = torch.exp(log_p - total)
        wrt_model += weight * by_expected
        wrt_variance += weight * by_variance
        fom += weight * m
    value = -(total + step.log()) + 0.5 * math.log(2.0 * math.pi) + sigma.log()
    return Likelihood(value=value, wrt_model=wrt_model, wrt_variance=wrt_variance, fom=fom)
