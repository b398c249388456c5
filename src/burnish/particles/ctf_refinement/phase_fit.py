"""Fit of changes of the phase χ under the sine of the transfer function.

Every symmetric property of the optics (defocus, astigmatism, phase shift, Cs, even Zernike terms) changes χ by a linear
function of its parameters, Δ = Σ θ_j B_j(k). With the sums over the images that share the parameters,

    S1 = Σ a sin χ,  S2 = Σ a cos χ,  T0 = Σ b,  T1 = Σ b cos 2χ,  T2 = Σ b sin 2χ,
    a = 2 Re(X* P)/σ²,  b = |P|²/σ²   (with gain, reliability and envelope),

the log-likelihood is L(Δ) = Σ_k S1 cos Δ + S2 sin Δ − ½ (T0 − T1 cos 2Δ + T2 sin 2Δ), exact for any Δ, whether the
images are those of one particle, a micrograph or an optics group.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MAX_HALVINGS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSums:
    """The five sums of each unit (particle, micrograph, group) at each place (pixel or ring); each (units, places)."""

    s1: Tensor
    s2: Tensor
    t0: Tensor
    t1: Tensor
    t2: Tensor

    def __add__(self, other: PhaseSums) -> PhaseSums:
        return PhaseSums(**{n: getattr(self, n) + getattr(other, n) for n in PhaseSums.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """Gaussian prior of each parameter, without correlation.

    Attributes
    ----------
    mean : of each unit and parameter, or of each parameter. (units, m) or (m,)
    precision : 1/variance; 0 where nothing is known. (m,)
    """

    mean: Tensor
    precision: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Parameters at the maximum.

    Attributes
    ----------
    value : (units, m)
    covariance : inverse of the information, prior included. (units, m, m)
    gain : log-posterior above that of the start. (units,)
    converged : whether the last step was small beside its own uncertainty. (units,) bool
    """

    value: Tensor
    covariance: Tensor
    gain: Tensor
    converged: Tensor

    @property
    def sigma(self) -> Tensor:
        """Standard uncertainty of each parameter. (units, m)"""
        return self.covariance.diagonal(dim1=-2, dim2=-1).clamp_min(0.0).sqrt()


def sum_phases(agreement: Tensor, power: Tensor, delay: Tensor) -> PhaseSums:
    """The five terms of single images.

    Parameters
    ----------
    agreement : a of each image and pixel. (n, p)
    power : b of each image and pixel. (n, p)
    delay : χ, rad. (n, p)
    """
    sine, cosine = torch.sin(delay), torch.cos(delay)
    return PhaseSums(
        s1=agreement * sine,
        s2=agreement * cosine,
        t0=power,
        t1=power * (cosine.square() - sine.square()),
        t2=power * (2.0 * sine * cosine),
    )


def log_likelihood(sums: PhaseSums, change: Tensor) -> Tensor:
    """L of each unit for a change of phase.

    Parameters
    ----------
    change : Δ, rad. (units, places) or (places,)
    """
    sine, cosine = torch.sin(change), torch.cos(change)
    double = sums.t1 * (cosine.square() - sine.square()) - sums.t2 * (2.0 * sine * cosine)
    return (sums.s1 * cosine + sums.s2 * sine - 0.5 * (sums.t0 - double)).sum(dim=-1, dtype=torch.float64)


def scan(sums: PhaseSums, pattern: Tensor, steps: Tensor) -> Tensor:
    """L of each unit for a list of values of one parameter.

    Parameters
    ----------
    pattern : B(k) of the parameter. (places,)
    steps : values θ. (m,)

    Returns
    -------
    L, by matrix products over the places. (units, m) float64
    """
    change = steps[:, None].to(pattern) * pattern
    sine, cosine = torch.sin(change).T, torch.cos(change).T
    double_sine, double_cosine = 2.0 * sine * cosine, cosine.square() - sine.square()
    value = sums.s1 @ cosine + sums.s2 @ sine + 0.5 * (sums.t1 @ double_cosine - sums.t2 @ double_sine)
    return value.double() - 0.5 * sums.t0.sum(dim=-1, dtype=torch.float64)[:, None]


def fit_phases(
    sums: PhaseSums,
    patterns: Tensor,
    start: Tensor,
    prior: Prior,
    *,
    max_steps: int = 12,
    max_step: Tensor | None = None,
) -> Fit:
    """Maximise L + log prior by Newton's method with step halving.

    Parameters
    ----------
    patterns : B_j(k). (places, m)
    start : (units, m)
    prior : of the parameters.
    max_step : largest change of each parameter in one step; no limit if None. (m,)

    Notes
    -----
    Where the observed information is not positive definite (far from the maximum), the expected one replaces it:
    Σ b (1 + cos 2χ) B_i B_j, which is never negative.
    """
    value = start.double()
    scale = _scale_of(patterns)
    basis = (patterns.double() * scale).to(patterns.dtype)  # equilibrated, so that float32 products do no harm
    unit_prior = Prior(mean=prior.mean.double() / scale, precision=prior.precision.double() * scale.square())
    limit = None if max_step is None else max_step.double() / scale
    theta = value / scale
    first = current = _posterior(sums, basis, theta, unit_prior)
    converged = torch.zeros(len(theta), dtype=torch.bool, device=theta.device)
    for _ in range(max_steps):
        gradient, information = _derivatives(sums, basis, theta, unit_prior)
        step = torch.linalg.solve(information, gradient[..., None])[..., 0]
        if limit is not None:
            step = step * (limit / step.abs().clamp_min(1e-300)).min(dim=-1, keepdim=True).values.clamp_max(1.0)
        theta, current, taken = _line_search(sums, basis, theta, step, current, unit_prior)
        small = (taken.square() * information.diagonal(dim1=-2, dim2=-1)).sum(dim=-1) < 1e-4
        converged = converged | small
        if bool(small.all()):
            break
    _, information = _derivatives(sums, basis, theta, unit_prior)
    covariance = torch.linalg.inv(information) * scale * scale[:, None]
    return Fit(value=theta * scale, covariance=covariance, gain=current - first, converged=converged)


def _line_search(
    sums: PhaseSums, basis: Tensor, theta: Tensor, step: Tensor, current: Tensor, prior: Prior
) -> tuple[Tensor, Tensor, Tensor]:
    """Halve the step of each unit until its posterior does not fall."""
    fraction = torch.ones(len(theta), 1, dtype=theta.dtype, device=theta.device)
    for _ in range(MAX_HALVINGS):
        trial = _posterior(sums, basis, theta + fraction * step, prior)
        worse = ~(trial >= current - 1e-6 * current.abs())
        if not bool(worse.any()):
            break
        fraction = torch.where(worse[:, None], 0.5 * fraction, fraction)
    else:
        trial = _posterior(sums, basis, theta + fraction * step, prior)
        fraction = torch.where((trial >= current)[:, None], fraction, torch.zeros_like(fraction))
        trial = torch.maximum(trial, current)
    return theta + fraction * step, trial, fraction * step


def _posterior(sums: PhaseSums, basis: Tensor, theta: Tensor, prior: Prior) -> Tensor:
    change = theta.to(basis.dtype) @ basis.T
    return log_likelihood(sums, change) - 0.5 * (prior.precision * (theta - prior.mean).square()).sum(dim=-1)


def _derivatives(sums: PhaseSums, basis: Tensor, theta: Tensor, prior: Prior) -> tuple[Tensor, Tensor]:
    """Gradient and information (minus the second derivatives) of the posterior."""
    change = theta.to(basis.dtype) @ basis.T
    sine, cosine = torch.sin(change), torch.cos(change)
    double_sine, double_cosine = 2.0 * sine * cosine, cosine.square() - sine.square()
    slope = -sums.s1 * sine + sums.s2 * cosine - sums.t1 * double_sine - sums.t2 * double_cosine
    curvature = sums.s1 * cosine + sums.s2 * sine + 2.0 * (sums.t1 * double_cosine - sums.t2 * double_sine)
    gradient = (slope @ basis).double() - prior.precision * (theta - prior.mean)
    information = _products(basis, curvature) + torch.diag(prior.precision)
    good = torch.linalg.eigvalsh(information).amin(dim=-1) > 1e-6 * information.diagonal(dim1=-2, dim2=-1).abs().amax(
        -1
    )
    if not bool(good.all()):
        expected = _products(basis, (sums.t0 + sums.t1 * double_cosine - sums.t2 * double_sine).clamp_min(0.0))
        expected = expected + torch.diag(prior.precision)
        ridge = 1e-6 * expected.diagonal(dim1=-2, dim2=-1).amax(dim=-1).clamp_min(1e-12)
        expected = expected + ridge[:, None, None] * torch.eye(basis.shape[1], dtype=torch.float64, device=basis.device)
        information = torch.where(good[:, None, None], information, expected)
    return gradient, information


def _products(basis: Tensor, weight: Tensor) -> Tensor:
    """Bᵀ diag(weight) B of each unit. (units, m, m) float64"""
    m = basis.shape[1]
    pairs = (basis[:, :, None] * basis[:, None, :]).reshape(len(basis), m * m)
    return (weight @ pairs).double().reshape(-1, m, m)


def _scale_of(patterns: Tensor) -> Tensor:
    """1 / rms of each pattern. (m,) float64"""
    rms = patterns.double().square().mean(dim=0).sqrt()
    return torch.where(rms > 0, 1.0 / rms.clamp_min(1e-300), torch.ones_like(rms))


def turn_sums(sums: PhaseSums, change: Tensor) -> PhaseSums:
    """The sums about χ + Δ from those about χ.

    Parameters
    ----------
    change : Δ, rad. (units, places) or (places,)
    """
    sine, cosine = torch.sin(change), torch.cos(change)
    double_sine, double_cosine = 2.0 * sine * cosine, cosine.square() - sine.square()
    return PhaseSums(
        s1=sums.s1 * cosine + sums.s2 * sine,
        s2=sums.s2 * cosine - sums.s1 * sine,
        t0=sums.t0,
        t1=sums.t1 * double_cosine - sums.t2 * double_sine,
        t2=sums.t2 * double_cosine + sums.t1 * double_sine,
    )


def pool_units(sums: PhaseSums) -> PhaseSums:
    """One unit out of all: images that share a change of phase."""
    return PhaseSums(**{n: getattr(sums, n).sum(dim=0, keepdim=True) for n in PhaseSums.__slots__})


def gather_places(sums: PhaseSums, place: Tensor, places: int) -> PhaseSums:
    """Sum the places that share an index, for patterns that are nearly constant over them.

    Parameters
    ----------
    place : index of the new place of each old one. (p,) int64
    places : number of new places.
    """

    def gather(values: Tensor) -> Tensor:
        return values.new_zeros(len(values), places).index_add_(1, place, values)

    return PhaseSums(**{n: gather(getattr(sums, n)) for n in PhaseSums.__slots__})
