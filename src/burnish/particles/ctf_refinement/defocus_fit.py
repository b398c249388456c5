"""Defocus, astigmatism, phase shift and envelope of the particles of one micrograph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from burnish.core.constants import electron_wavelength
from burnish.data.optics import Defocus, OpticsGroup
from burnish.optics.ctf import defocus_axes, defocus_coefficients, defocus_terms
from burnish.optics.frequency import magnified
from burnish.particles.ctf_refinement.half_plane import HalfPlane
from burnish.particles.ctf_refinement.phase_fit import (
    Fit,
    PhaseSums,
    Prior,
    fit_phases,
    gather_places,
    pool_units,
    scan,
    sum_phases,
    turn_sums,
)

Unit = Literal["no", "micrograph", "particle"]

MEAN, ASTIGMATISM, PHASE = 0, (1, 2), 3  # columns of the four symmetric parameters of a particle
ASTIGMATISM_SPREAD = 500.0  # Å; of a change of one component: keeps a weak particle from running away
PHASE_SPREAD = 0.5  # rad; of a change of phase shift
RING_PHASE = 0.15  # rad; how far defocus may turn the phase within one ring at the end of the search range
SCAN_PHASE = 0.6  # rad; between two values of the scan, at the highest frequency
MIN_SPREAD = 20.0  # Å; least spread of defocus about its micrograph that is believed
FEW_PARTICLES = 5  # fewer do not tell the spread of their micrograph
B_RANGE = (-200.0, 400.0)  # Å²; of B factors tried


@dataclass(frozen=True, slots=True, kw_only=True)
class DefocusSettings:
    """What is fitted, for whom.

    Attributes
    ----------
    defocus, astigmatism, phase_shift, b_factor : for each particle, one for its micrograph, or not at all.
    search_range : largest change of defocus, Å.
    spread : standard deviation of the particles' defocus about their micrograph's mean, Å; None takes it from the data.
    default_spread : the same for micrographs with too few particles to tell, Å.
    """

    defocus: Unit
    astigmatism: Unit
    phase_shift: Unit
    b_factor: Unit
    search_range: float
    spread: float | None
    default_spread: float

    @property
    def anything(self) -> bool:
        return any(u != "no" for u in (self.defocus, self.astigmatism, self.phase_shift, self.b_factor))


@dataclass(frozen=True, slots=True, kw_only=True)
class DefocusResult:
    """New values of the particles of one micrograph and their standard uncertainties; NaN where nothing was fitted.

    Attributes
    ----------
    defocus : new values; the old ones where `kept`.
    sigma_defocus : of the mean of u and v, Å. (n,)
    sigma_astigmatism : of u − v along one axis, Å. (n,)
    sigma_phase_shift : rad. (n,)
    sigma_b_factor : Å². (n,)
    kept : particles whose fit ended at the edge of the search range or nowhere, and which keep their values. (n,) bool
    gain : increase of the log-posterior. (n,)
    """

    defocus: Defocus
    sigma_defocus: Tensor
    sigma_astigmatism: Tensor
    sigma_phase_shift: Tensor
    sigma_b_factor: Tensor
    kept: Tensor
    gain: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patterns:
    """B_j(k) of mean defocus, both astigmatism components (rad/Å) and phase shift, and rings of equal length of k."""

    pixel: Tensor  # (p, 4)
    ring: Tensor  # (p,) int64
    ring_pattern: Tensor  # (rings,), of mean defocus
    s2: Tensor  # (p,)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Changes:
    """Changes of the four symmetric parameters with their uncertainties, who keeps what was given, and gains."""

    change: Tensor  # (n, 4)
    sigma: Tensor  # (n, 4)
    kept: Tensor  # (n,) bool
    gain: Tensor  # (n,)


def fit_defocus(
    agreement: Tensor,
    power: Tensor,
    delay: Tensor,
    given: Defocus,
    optics: OpticsGroup,
    plane: HalfPlane,
    settings: DefocusSettings,
) -> DefocusResult:
    """Fit what `settings` asks for to the images of one micrograph.

    Parameters
    ----------
    agreement, power : weights of C and −C² in the log-likelihood of each particle and pixel. (n, p)
    delay : phase χ at the given values, rad. (n, p)
    given : values to start from.
    """
    patterns = _make_patterns(plane, optics, settings.search_range)
    sums = sum_phases(agreement, power, delay)
    old = _parameters(given)
    found = _fit_changes(sums, patterns, old, settings)
    change, sigma, kept, gain = found.change, found.sigma, found.kept, found.gain
    b_factor, scale, sigma_b = given.b_factor, given.scale, torch.full_like(gain, math.nan)
    if settings.b_factor != "no":
        turned = turn_sums(sums, _total_change(patterns, change))
        b_factor, scale, sigma_b = _fit_envelope(
            turned, patterns.s2, given, per_particle=settings.b_factor == "particle"
        )
    u, v, angle = defocus_axes(old[:, :3] + change[:, :3])
    if settings.astigmatism == "no":  # keep the file's own way of naming the axes
        u, v, angle = given.u + change[:, MEAN], given.v + change[:, MEAN], given.angle
    new = Defocus(
        u=torch.where(kept, given.u, u),
        v=torch.where(kept, given.v, v),
        angle=torch.where(kept, given.angle, angle),
        phase_shift=given.phase_shift + change[:, PHASE],
        b_factor=b_factor,
        scale=scale,
    )
    return DefocusResult(
        defocus=new,
        sigma_defocus=sigma[:, MEAN],
        sigma_astigmatism=2.0 * sigma[:, ASTIGMATISM].square().mean(dim=1).sqrt(),
        sigma_phase_shift=sigma[:, PHASE],
        sigma_b_factor=sigma_b,
        kept=kept,
        gain=torch.where(kept, torch.zeros_like(gain), gain),
    )


def _fit_changes(sums: PhaseSums, patterns: _Patterns, old: Tensor, settings: DefocusSettings) -> _Changes:
    """Search defocus, then fit what is shared by the micrograph and what each particle has of its own.

    `old` are the parameters at the start. (n, 4)
    """
    n = len(old)
    change = torch.zeros(n, 4, dtype=torch.float64, device=old.device)
    sigma = torch.full_like(change, math.nan)
    kept = torch.zeros(n, dtype=torch.bool, device=old.device)
    gain = torch.zeros(n, dtype=torch.float64, device=old.device)
    prior = torch.zeros(2, dtype=torch.float64)  # mean and spread of defocus over the micrograph
    if settings.defocus == "particle":
        start, prior = _scan_particles(sums, old[:, MEAN], patterns, settings)
        change[:, MEAN] = start
    elif settings.defocus == "micrograph":
        change[:, MEAN] = _scan_micrograph(sums, patterns, settings)
    shared, own = _columns(settings, "micrograph"), _columns(settings, "particle")
    for _ in range(2 if shared and own else 1):
        if shared:
            fit = _fit_shared(sums, patterns, change, shared)
            change[:, shared] = fit.value.expand(n, -1)
            sigma[:, shared] = fit.sigma.expand(n, -1)
            gain = torch.where(gain == 0, fit.gain / n, gain)
        if own:
            fit = _fit_own(sums, patterns, change, own, _prior(old, prior, own))
            change[:, own], sigma[:, own] = fit.value, fit.sigma
            gain = fit.gain
            kept = ~fit.converged
    kept = kept | (change[:, MEAN].abs() > settings.search_range) | ~torch.isfinite(change).all(dim=1)
    change[kept] = 0.0
    return _Changes(change=change, sigma=sigma, kept=kept, gain=gain)


def spread_about_mean(value: Tensor, sigma: Tensor, default: float) -> tuple[float, float]:
    """Mean and true spread of quantities that are each measured with their own uncertainty, robust against outliers.

    Parameters
    ----------
    value, sigma : measurements and their standard uncertainties. (n,)
    default : spread to assume with fewer than 5 measurements.

    Returns
    -------
    mean, spread : spread is freed from the uncertainties, at least `MIN_SPREAD`.

    Notes
    -----
    Expectation–maximisation for N(mean, spread²) behind N(value, sigma²), without what lies 4 robust standard
    deviations out.
    """
    good = torch.isfinite(value) & torch.isfinite(sigma)
    value, sigma = value[good], sigma[good]
    if not len(value):
        return 0.0, default
    mean = float(value.median())
    if len(value) < FEW_PARTICLES:
        return mean, default
    robust = max(1.4826 * float((value - mean).abs().median()), MIN_SPREAD)
    near = (value - mean).abs() < 4.0 * (robust**2 + sigma.square()).sqrt()
    value, sigma = value[near], sigma[near]
    spread2 = max(robust**2 - float(sigma.square().median()), MIN_SPREAD**2)
    for _ in range(20):
        weight = spread2 / (spread2 + sigma.square())
        posterior = mean + weight * (value - mean)
        mean = float(posterior.mean())
        spread2 = float((weight * sigma.square() + (posterior - mean).square()).mean())
        spread2 = max(spread2, MIN_SPREAD**2)
    return mean, math.sqrt(spread2)


def _make_patterns(plane: HalfPlane, optics: OpticsGroup, search_range: float) -> _Patterns:
    k = magnified(plane.frequency, optics.magnification)
    pixel = torch.cat(
        [defocus_terms(k) * (math.pi * electron_wavelength(optics.voltage)), torch.ones_like(k[:, :1])], 1
    )
    turn = pixel[:, MEAN]
    rings = max(math.ceil(search_range * float(turn.max() - turn.min()) / RING_PHASE), 1)
    ring = ((turn - turn.min()) / (turn.max() - turn.min()) * rings).long().clamp(max=rings - 1)
    count = torch.bincount(ring, minlength=rings).clamp_min(1)
    mean = torch.zeros(rings, device=turn.device).index_add_(0, ring, turn) / count
    return _Patterns(pixel=pixel, ring=ring, ring_pattern=mean, s2=k.square().sum(dim=1))


def _parameters(defocus: Defocus) -> Tensor:
    """Mean defocus, astigmatism components, phase shift. (n, 4) float64"""
    return torch.cat([defocus_coefficients(defocus), defocus.phase_shift[:, None]], dim=1).double()


def _columns(settings: DefocusSettings, unit: Unit) -> list[int]:
    columns = [MEAN] if settings.defocus == unit else []
    columns += list(ASTIGMATISM) if settings.astigmatism == unit else []
    return columns + ([PHASE] if settings.phase_shift == unit else [])


def _steps(patterns: _Patterns, search_range: float) -> Tensor:
    """Values of defocus change to try, Å."""
    count = max(math.ceil(search_range * float(patterns.ring_pattern.max()) / SCAN_PHASE), 8)
    return torch.linspace(-search_range, search_range, 2 * count + 1, device=patterns.ring_pattern.device)


def _scan_particles(
    sums: PhaseSums, old: Tensor, patterns: _Patterns, settings: DefocusSettings
) -> tuple[Tensor, Tensor]:
    """Best change of each particle's defocus under the micrograph's prior, Å (n,), and that prior's mean and spread."""
    rings = gather_places(sums, patterns.ring, len(patterns.ring_pattern))
    steps = _steps(patterns, settings.search_range)
    score = scan(rings, patterns.ring_pattern, steps)
    weight = torch.softmax(score, dim=1)
    grid = steps.double()
    mean = (weight * grid).sum(dim=1)
    # what the scan itself says of each particle, with a floor of its own step
    width = (weight * (grid - mean[:, None]).square()).sum(dim=1) + float(grid[1] - grid[0]) ** 2 / 12.0
    best = grid[score.argmax(dim=1)]
    centre, spread = spread_about_mean(old + best, width.sqrt(), settings.default_spread)
    spread = settings.spread if settings.spread is not None else spread
    log_prior = -0.5 * ((old[:, None] + grid - centre) / spread).square()
    return grid[(score + log_prior).argmax(dim=1)], torch.tensor([centre, spread], dtype=torch.float64)


def _scan_micrograph(sums: PhaseSums, patterns: _Patterns, settings: DefocusSettings) -> Tensor:
    rings = pool_units(gather_places(sums, patterns.ring, len(patterns.ring_pattern)))
    steps = _steps(patterns, settings.search_range)
    return steps[scan(rings, patterns.ring_pattern, steps)[0].argmax()].double()


def _total_change(patterns: _Patterns, change: Tensor) -> Tensor:
    return change.to(patterns.pixel.dtype) @ patterns.pixel.T


def _without(change: Tensor, columns: list[int]) -> Tensor:
    rest = change.clone()
    rest[:, columns] = 0.0
    return rest


def _fit_shared(sums: PhaseSums, patterns: _Patterns, change: Tensor, columns: list[int]) -> Fit:
    """Parameters that all particles of the micrograph share, the others held."""
    rest = _without(change, columns)
    if bool((rest != 0).any()):
        sums = turn_sums(sums, _total_change(patterns, rest))
    start = change[:1, columns]
    prior = Prior(mean=torch.zeros_like(start), precision=_weak_precision(columns, start))
    return fit_phases(pool_units(sums), patterns.pixel[:, columns], start, prior)


def _fit_own(sums: PhaseSums, patterns: _Patterns, change: Tensor, columns: list[int], prior: Prior) -> Fit:
    """Parameters of each particle, those of the micrograph held."""
    rest = _without(change, columns)
    if bool((rest != 0).any()):
        sums = turn_sums(sums, _total_change(patterns, rest))
    if columns == [MEAN]:
        rings = gather_places(sums, patterns.ring, len(patterns.ring_pattern))
        return fit_phases(rings, patterns.ring_pattern[:, None], change[:, columns], prior)
    return fit_phases(sums, patterns.pixel[:, columns], change[:, columns], prior)


def _prior(old: Tensor, about: Tensor, columns: list[int]) -> Prior:
    """Defocus near the micrograph's mean, other changes small."""
    mean = torch.zeros(len(old), len(columns), dtype=torch.float64, device=old.device)
    precision = _weak_precision(columns, mean)
    if MEAN in columns:
        mean[:, columns.index(MEAN)] = about[0] - old[:, MEAN]
        precision[columns.index(MEAN)] = 1.0 / about[1] ** 2
    return Prior(mean=mean, precision=precision)


def _weak_precision(columns: list[int], like: Tensor) -> Tensor:
    spreads = {MEAN: math.inf, 1: ASTIGMATISM_SPREAD, 2: ASTIGMATISM_SPREAD, PHASE: PHASE_SPREAD}
    return torch.tensor([spreads[c] ** -2 for c in columns], dtype=torch.float64, device=like.device)


def _fit_envelope(sums: PhaseSums, s2: Tensor, given: Defocus, *, per_particle: bool) -> tuple[Tensor, Tensor, Tensor]:
    """B factor and scale under which images and projections agree best, beside the envelope already in the sums.

    Returns
    -------
    B, Å², scale, and σ(B); each (n,).

    Notes
    -----
    L(B, a) = a Σ S1 e^(−Bs²/4) − ½ a² Σ (T0 − T1) e^(−Bs²/2) is quadratic in the scale a: L(B) = N²/(4 D) at its best,
    with N, D the two sums. The maximum over a grid of B is refined by its parabola.
    """
    n = len(sums.s1)
    if not per_particle:
        sums = pool_units(sums)
    grid = torch.linspace(*B_RANGE, 121, dtype=torch.float64, device=s2.device)
    fall = torch.exp(-0.25 * grid[:, None] * s2.double())
    numerator = sums.s1.double() @ fall.T
    denominator = 0.5 * (sums.t0 - sums.t1).double() @ fall.square().T
    value = numerator.clamp_min(0.0).square() / (4.0 * denominator.clamp_min(1e-300))
    step = float(grid[1] - grid[0])
    at = value.argmax(dim=1).clamp(1, len(grid) - 2)
    row = torch.arange(len(at), device=at.device)
    left, middle, right = value[row, at - 1], value[row, at], value[row, at + 1]
    bend = (left - 2.0 * middle + right) / step**2
    offset = torch.where(bend < 0, -0.5 * (right - left) / step / bend.clamp_max(-1e-300), torch.zeros_like(bend))
    inside = (bend < 0) & (middle >= left) & (middle >= right)
    change = torch.where(inside, grid[at] + offset.clamp(-step, step), torch.zeros_like(bend))
    factor = torch.where(
        inside, numerator[row, at] / (2.0 * denominator[row, at].clamp_min(1e-300)), torch.ones_like(bend)
    )
    sigma = torch.where(inside, (-bend).clamp_min(1e-300).rsqrt(), torch.full_like(bend, math.nan))
    return (given.b_factor + change).expand(n), (given.scale * factor).expand(n), sigma.expand(n)
