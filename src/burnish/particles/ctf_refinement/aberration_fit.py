"""Antisymmetric and symmetric phase aberrations of an optics group, from sums over its particles.

Terms are fitted and judged as monomials (sⁿ cos mθ: coma, trefoil, C_s, …), which do not mix with each other as
RELION's Zernike polynomials do (its Z_3^1 holds a shift, its Z_4^0 a defocus), and written as Zernike coefficients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.core.constants import electron_wavelength
from burnish.data.optics import OpticsGroup
from burnish.optics.aberrations import (
    TILT_TERMS,
    join_beam_tilt,
    monomials,
    monomials_to_zernike,
    terms_up_to,
    tilt_scale,
    zernike_orders,
)
from burnish.optics.frequency import magnified
from burnish.particles.ctf_refinement.half_plane import HalfPlane
from burnish.particles.ctf_refinement.phase_fit import Fit, PhaseSums, Prior, fit_phases, log_likelihood

SIGNIFICANCE = 2.7e-3  # of a family of terms: as rare by chance as three standard deviations
RADII = (0.4, 0.6, 0.8, 1.0)  # fractions of the highest frequency: strong aberrations wrap there, not further in
PHASE_SPREAD = 4.0  # rad; prior standard deviation of the rms phase of one term: only images that say nothing feel it

Family = tuple[int, int]  # (n, |m|): terms that a turn of the image mixes, tested together
SHIFT: Family = (1, 1)
COMA: Family = (3, 1)
TREFOIL: Family = (3, 3)
CONSTANT: Family = (0, 0)
DEFOCUS: Family = (2, 0)
ASTIGMATISM: Family = (2, 2)
SPHERICAL: Family = (4, 0)
TETRAFOIL: Family = (4, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class AberrationSums:
    """Sums over the particles of one optics group at each pixel.

    Attributes
    ----------
    odd : Σ weight · C · P* · X, whose phase is the antisymmetric aberration. (p,) complex128
    even : sums about χ as refined so far, one unit, if even terms are wanted. (1, p) float64
    particles : how many.
    """

    odd: Tensor
    even: PhaseSums | None
    particles: int

    def __add__(self, other: AberrationSums) -> AberrationSums:
        even = self.even + other.even if self.even is not None and other.even is not None else None
        return AberrationSums(odd=self.odd + other.odd, even=even, particles=self.particles + other.particles)


@dataclass(frozen=True, slots=True, kw_only=True)
class TermFit:
    """Monomial coefficients of one parity, in the order of `zernike_orders`.

    Attributes
    ----------
    odd : which parity.
    start : coefficients before the fit, rad. (m,)
    value : as they are to be written: with the changes that are significant. (m,)
    measured : what a fit of all terms gives, significant or not. (m,)
    sigma : standard uncertainty of `measured`; 0 for terms that were held. (m,)
    chance : probability that a family of terms differs this much from its start by chance.
    significant : families whose change was taken over, without those that are only there to be free.
    """

    odd: bool
    start: Tensor
    value: Tensor
    measured: Tensor
    sigma: Tensor
    chance: dict[Family, float]
    significant: tuple[Family, ...]

    @property
    def families(self) -> tuple[Family, ...]:
        """Family of each term."""
        return tuple((n, abs(m)) for n, m in zernike_orders(len(self.value), odd=self.odd))

    def zernike(self) -> tuple[float, ...]:
        """`value` as coefficients of RELION's polynomials."""
        return tuple((monomials_to_zernike(len(self.value), odd=self.odd) @ self.value).tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A quantity that a fit stands for, with its standard uncertainty."""

    value: float
    sigma: float


def fit_odd(
    sums: AberrationSums,
    optics: OpticsGroup,
    plane: HalfPlane,
    order: int,
    families: tuple[Family, ...] | None = None,
) -> TermFit:
    """Fit odd terms, a beam tilt among them as coma.

    Parameters
    ----------
    sums : of the group; the phases of `sums.odd` are those of the images as recorded.
    optics : as given: the fit starts from it, and what is not significantly different stays.
    order : highest n, 3 or more.
    families : those that may change beside the shift; all if None.
    """
    count = max(terms_up_to(order, odd=True), len(optics.odd_zernike or ()))
    start = _as_monomials(join_beam_tilt(optics, count), odd=True)
    patterns = monomials(magnified(plane.frequency, optics.magnification).double(), count, odd=True)
    turned = sums.odd * torch.polar(torch.ones_like(sums.odd.real), -(patterns @ start.to(patterns)))
    nothing = torch.zeros_like(turned.real)[None]
    phases = PhaseSums(s1=turned.real[None], s2=turned.imag[None], t0=nothing, t1=nothing, t2=nothing)
    return _select_terms(phases, patterns, start, plane, odd=True, free=(SHIFT,), families=families)


def fit_even(sums: AberrationSums, optics: OpticsGroup, plane: HalfPlane, order: int, *, free_defocus: bool) -> TermFit:
    """Fit even terms: C_s, tetrafoil and the rest up to `order`.

    Parameters
    ----------
    free_defocus : let a common change of defocus be free and write it with significant terms, but claim nothing from
        it: for particles whose own defocus is refined beside.
    """
    count = max(terms_up_to(order, odd=False), len(optics.even_zernike or ()))
    given = tuple(optics.even_zernike or ())
    start = _as_monomials(given + (0.0,) * (count - len(given)), odd=False)
    # RELION's even phase is subtracted from χ
    patterns = -monomials(magnified(plane.frequency, optics.magnification).double(), count, odd=False)
    free = (DEFOCUS,) if free_defocus else ()
    assert sums.even is not None
    return _select_terms(sums.even, patterns, start, plane, odd=False, free=free, families=None)


def measured_tilt(fit: TermFit, optics: OpticsGroup) -> tuple[Measured, Measured]:
    """Beam tilt x and y that the coma of a fit means, rad, significant or not."""
    scale = tilt_scale(optics.voltage, optics.spherical_aberration)
    x, y = (Measured(value=-float(fit.measured[i]) / scale, sigma=float(fit.sigma[i]) / scale) for i in TILT_TERMS)
    return x, y


def measured_cs(fit: TermFit, optics: OpticsGroup) -> Measured:
    """Change of C_s that the s⁴ term of an even fit means, Å."""
    place = fit.families.index(SPHERICAL)
    scale = 2.0 / (math.pi * electron_wavelength(optics.voltage) ** 3)
    return Measured(value=scale * float(fit.measured[place]), sigma=scale * float(fit.sigma[place]))


def phase_change(fit: TermFit, optics: OpticsGroup, plane: HalfPlane) -> Tensor:
    """Phase of what a fit changes, rad: added to the odd phase, or to the even one. (p,) float64"""
    k = magnified(plane.frequency, optics.magnification).double()
    return monomials(k, len(fit.value), odd=fit.odd) @ (fit.value - fit.start).to(k)


def _as_monomials(zernike: tuple[float, ...], *, odd: bool) -> Tensor:
    matrix = monomials_to_zernike(len(zernike), odd=odd)
    return torch.linalg.solve(matrix, torch.tensor(zernike, dtype=torch.float64))


def _select_terms(
    sums: PhaseSums,
    patterns: Tensor,
    start: Tensor,
    plane: HalfPlane,
    *,
    odd: bool,
    free: tuple[Family, ...],
    families: tuple[Family, ...] | None,
) -> TermFit:
    """Fit all terms, then drop the least significant family until every one left is significant."""
    family = [(n, abs(m)) for n, m in zernike_orders(len(start), odd=odd)]
    kept = [f for f in dict.fromkeys(family) if families is None or f in free or f in families]
    wanted = torch.tensor([f in kept for f in family])
    everything = latest = _fit_families(sums, patterns, family, kept, plane)
    chance = tests = _chances(everything, family, kept)
    while candidates := [f for f in kept if f not in free]:
        weakest = max(candidates, key=lambda f: tests[f])
        if tests[weakest] < SIGNIFICANCE:
            break
        kept.remove(weakest)
        if not kept:
            break
        latest = _fit_families(sums, patterns, family, kept, plane)
        tests = _chances(latest, family, kept)
    significant = tuple(f for f in kept if f not in free)
    change, measured, sigma = torch.zeros_like(start), start.clone(), torch.zeros_like(start)
    measured[wanted] += everything.value[0].to(start)
    sigma[wanted] = everything.sigma[0].to(start)
    if significant:  # else at most free terms are left, and nothing is claimed
        change[torch.tensor([f in kept for f in family])] = latest.value[0].to(change)
    return TermFit(
        odd=odd,
        start=start,
        value=start + change,
        measured=measured,
        sigma=sigma,
        chance=chance,
        significant=significant,
    )


def _fit_families(sums: PhaseSums, patterns: Tensor, family: list[Family], kept: list[Family], plane: HalfPlane) -> Fit:
    """Fit the kept families at growing radius, and at once from nothing; the more probable end counts.

    The first way finds strong aberrations, which wrap at the rim; where images say little it can stray.
    """
    index = [i for i, f in enumerate(family) if f in kept]
    basis = patterns[:, index]
    nothing = torch.zeros(1, len(index), dtype=torch.float64, device=basis.device)
    prior = Prior(mean=nothing, precision=basis.square().mean(dim=0) / PHASE_SPREAD**2)
    direct = fit_phases(sums, basis, nothing, prior)
    s = plane.s2.double().sqrt()
    marched = nothing
    for radius in RADII:
        inner = s <= radius * s.max()
        some = PhaseSums(**{n: getattr(sums, n)[:, inner] for n in PhaseSums.__slots__})
        marched = fit_phases(some, basis[inner], marched, prior).value
    change = (marched - direct.value).square().sum()
    if float(change) <= 1e-6 * float(direct.value.square().sum()):
        return direct

    def posterior(value: Tensor) -> float:
        penalty = 0.5 * (prior.precision * value.square()).sum()
        return float(log_likelihood(sums, value @ basis.T)[0] - penalty)

    if posterior(direct.value) >= posterior(marched):
        return direct
    return fit_phases(sums, basis, marched, prior)


def _chances(fit: Fit, family: list[Family], kept: list[Family]) -> dict[Family, float]:
    fitted = [f for f in family if f in kept]
    return {f: _chance(fit, [i for i, g in enumerate(fitted) if g == f]) for f in kept}


def _chance(fit: Fit, index: list[int]) -> float:
    """Probability of χ² at least as large, for these terms all being zero."""
    value, covariance = fit.value[0, index], fit.covariance[0][index][:, index]
    statistic = float(value @ torch.linalg.solve(covariance, value))
    half = torch.tensor([len(index) / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))  # the survival function of χ²
