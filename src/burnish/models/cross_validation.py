"""Refinements judged by data that they have not seen: complete cross-validation, resolution limits, B-factor models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from burnish.data.atoms import Atoms
from burnish.data.reflections import AnomalousPairs, Reflections
from burnish.models.agreement import r_factor
from burnish.models.crystal_term import CrystalTerm

SIGNIFICANCE = 0.01  # of Hamilton's test
CERTAIN = 0.95  # share of the possible weights of restraints that must agree


def with_free(reflections: Reflections, free: Tensor) -> Reflections:
    """The same data with another free set. (n,) bool"""
    return replace(reflections, free=free)


def limited(reflections: Reflections, d_min: float) -> Reflections:
    """The reflections to a resolution limit, Å."""
    keep = reflections.s2 <= (1.0 + 1e-9) / d_min**2
    pairs = reflections.anomalous
    return replace(
        reflections,
        hkl=reflections.hkl[keep],
        f_obs=reflections.f_obs[keep],
        sigma_f_obs=reflections.sigma_f_obs[keep],
        i_obs=_rows(reflections.i_obs, keep),
        sigma_i_obs=_rows(reflections.sigma_i_obs, keep),
        free=reflections.free[keep],
        centric=reflections.centric[keep],
        epsilon=reflections.epsilon[keep],
        s2=reflections.s2[keep],
        anomalous=None
        if pairs is None
        else AnomalousPairs(
            f_obs=_rows(pairs.f_obs, keep),
            sigma_f_obs=_rows(pairs.sigma_f_obs, keep),
            i_obs=_rows(pairs.i_obs, keep),
            sigma_i_obs=_rows(pairs.sigma_i_obs, keep),
        ),
        hl=_rows(reflections.hl, keep),
    )


def _rows(values: Tensor | None, keep: Tensor) -> Tensor | None:
    return None if values is None else values[keep]


def shaken(atoms: Atoms, rms: float, generator: torch.Generator) -> Atoms:
    """Atoms moved at random by `rms` Å in three dimensions, so that a model forgets what it was fitted to."""
    step = torch.randn(atoms.xyz.shape, generator=generator, dtype=atoms.xyz.dtype)
    return replace(atoms, xyz=atoms.xyz + step * (rms / math.sqrt(3.0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """One fold: what a model that has not seen some reflections says of them.

    Attributes
    ----------
    index : rows of the data. (k,)
    observed, model : amplitudes on one scale. (k,)
    r_work : of the refinement, fraction.
    r_free : of these reflections, fraction.
    """

    index: Tensor
    observed: Tensor
    model: Tensor
    r_work: float
    r_free: float


def held_out(term: CrystalTerm) -> HeldOut:
    """The free reflections of a term as its last model has them."""
    compared = term.target.compare(term.amplitudes.f_model.to(torch.complex128))
    free, work = term.free, term.work
    return HeldOut(
        index=torch.nonzero(free).flatten(),
        observed=compared.observed[free],
        model=compared.model[free],
        r_work=r_factor(compared.observed[work], compared.model[work]),
        r_free=r_factor(compared.observed[free], compared.model[free]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """R of all reflections, each from a model that has not seen it.

    Attributes
    ----------
    r_complete : fraction.
    r_work : mean of the refinements.
    r_free_mean, r_free_sd : over the folds: what one free set of that size would have said, and its scatter.
    reflections : that were held out once.
    """

    r_complete: float
    r_work: float
    r_free_mean: float
    r_free_sd: float
    reflections: int


def r_complete(folds: Sequence[HeldOut]) -> Complete:
    """Put the folds together (Brünger 1997, Methods Enzymol. 277, 366; Luebben & Gruene 2015, PNAS 112, 8999).

    R_complete = Σ |F_o − |F_model|| / Σ F_o over all folds.
    """
    observed, model = (torch.cat([getattr(f, n) for f in folds]) for n in ("observed", "model"))
    values = np.array([f.r_free for f in folds])
    return Complete(
        r_complete=r_factor(observed, model),
        r_work=float(np.mean([f.r_work for f in folds])),
        r_free_mean=float(values.mean()),
        r_free_sd=float(values.std(ddof=1)) if len(values) > 1 else float("nan"),
        reflections=len(observed),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeComparison:
    """Free reflections of two models on the same data.

    Attributes
    ----------
    gain : mean fall of the negative log-likelihood from the first to the second, per free reflection.
    error : its standard error.
    """

    gain: float
    error: float

    @property
    def significant(self) -> bool:
        """Whether the second model is better by more than one standard error."""
        return self.gain > self.error


def compare_free(first: Tensor, second: Tensor) -> FreeComparison:
    """Compare negative log-likelihoods of the same free reflections, pairwise. (k,)"""
    gain = first - second
    error = float(gain.std()) / math.sqrt(len(gain)) if len(gain) > 1 else float("nan")
    return FreeComparison(gain=float(gain.mean()), error=error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Degrees:
    """Size of a model: numbers of parameters and restraints."""

    parameters: int
    restraints: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HamiltonTest:
    """Hamilton's R-ratio test of a larger model.

    Attributes
    ----------
    ratio : generalised residual of the smaller over that of the larger model.
    accepted : share of the possible weights of the restraints for which the larger model is justified.
    possible : whether any weight leaves more observations than parameters.
    """

    ratio: float
    accepted: float
    possible: bool

    @property
    def verdict(self) -> str:
        """Justified, rejected or undecided."""
        if not self.possible or self.accepted <= 1.0 - CERTAIN:
            return "rejected"
        return "justified" if self.accepted >= CERTAIN else "undecided"


def generalised_residual(observed: Tensor, model: Tensor, weight: Tensor) -> float:
    """√(Σ w (F_o − F_model)² / Σ w F_o²), a fraction."""
    return float(((weight * (observed - model).square()).sum() / (weight * observed.square()).sum()).sqrt())


def residual_ratio(observed: Tensor, smaller: Tensor, larger: Tensor, shell: Tensor) -> float:
    """Ratio of the generalised residuals of two models, reflections weighted by the variance in their shell.

    Parameters
    ----------
    observed, smaller, larger : amplitudes, those of the models on the scale of the data. (n,)
    shell : number of the resolution shell of each. (n,)
    """
    size = int(shell.max()) + 1
    variance = torch.zeros(size, dtype=observed.dtype).index_add_(0, shell, (observed - smaller).square())
    weight = 1.0 / (variance / torch.bincount(shell, minlength=size).clamp_min(1)).clamp_min(1e-30)[shell]
    return generalised_residual(observed, smaller, weight) / generalised_residual(observed, larger, weight)


def hamilton_test(ratio: float, observations: int, smaller: Degrees, larger: Degrees) -> HamiltonTest:
    """Whether a larger model fits better than its parameters alone explain.

    Parameters
    ----------
    ratio : of the generalised residuals, smaller model over larger.
    observations : reflections refined against.
    smaller, larger : sizes of both.

    Notes
    -----
    The larger model is justified where ratio > √(b / (n − m) · F(b, n − m) + 1), b parameters more, m in all (Hamilton
    1965, Acta Cryst. 18, 502). Restraints count as observations with an unknown weight w between 0 and 1 (Bacchi,
    Lamzin & Wilson 1996, Acta Cryst. D52, 641): effectively m − w·restraints parameters. All w are tried.
    """
    verdicts = []
    restrained = smaller.restraints > 0 or larger.restraints > 0
    for w in np.linspace(0.0, 1.0, 101) if restrained else [0.0]:
        size = larger.parameters - w * larger.restraints
        extra = size - (smaller.parameters - w * smaller.restraints)
        rest = observations - size
        if rest <= 0:
            continue
        if extra <= 0:  # the larger model has no more freedom than the smaller one
            verdicts.append(ratio > 1.0)
            continue
        critical = math.sqrt(extra / rest * float(stats.f.ppf(1.0 - SIGNIFICANCE, extra, rest)) + 1.0)
        verdicts.append(ratio > critical)
    return HamiltonTest(ratio=ratio, accepted=float(np.mean(verdicts)) if verdicts else 0.0, possible=bool(verdicts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Two refinements compared on the data that both have.

    Attributes
    ----------
    d_coarse, d_fine : resolution limits, Å.
    r_work, r_free : changes of the fine over the coarse refinement to `d_coarse`, fractions; negative is better.
    free : comparison of the free likelihoods to `d_coarse`.
    shell_cc_free : correlation of the model with the free data of the added shell.
    """

    d_coarse: float
    d_fine: float
    r_work: float
    r_free: float
    free: FreeComparison
    shell_cc_free: float

    @property
    def worthwhile(self) -> bool:
        """The finer data do no harm that shows: R-free does not rise where both can be judged (Karplus & Diederichs
        2012, Science 336, 1030), or the likelihood of the free data does not fall by more than its standard error.
        R-free of some hundred reflections changes by half a per cent by chance.
        """
        return self.r_free <= NO_RISE or self.free.gain > -self.free.error


NO_RISE = 0.0005  # of R-free: what repeated refinements of the same data differ by


def best_limit(first: float, pairs: Sequence[Paired]) -> float:
    """The finest limit up to which each step was worthwhile, Å."""
    limit = first
    for pair in pairs:
        if not pair.worthwhile:
            break
        limit = pair.d_fine
    return limit
