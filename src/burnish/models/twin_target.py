"""Maximum likelihood against a twinned crystal.

A measurement is I(h) = Σ_k α_k |F(h_k)|² over the twin mates h_k. With F_t² = Σ_k α_k |F_k|² its mean is
D² F_t² + ⟨ε⟩S, ⟨ε⟩ = Σ α_k ε_k. The amplitude √I scatters, to first order, as Σ_k α_k F_k δF_k / F_t: the errors of the
mates are independent, so that S is reduced by w = Σ α_k² ε_k F_k² / Σ α_k F_k². The distribution of a twinned amplitude
is therefore taken as Rice's (Woolfson's, where all mates are centric) with the variance w S and the expectation
F'² = D² F_t² + (⟨ε⟩ − w) S, which keeps the mean of I; D, S and α are fitted by its likelihood. For α = (1, 0, …) it is
the likelihood of an untwinned crystal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from burnish.data.reflections import Reflections
from burnish.models.likelihood import amplitude_information, amplitude_likelihood
from burnish.models.sigma_a import amplitude_error_model, fit_sigma_a
from burnish.models.targets import (
    LEAST_FREE,
    Comparison,
    MapFactors,
    Target,
    TargetEvaluation,
    amplitude_outliers,
    direction,
    measured_amplitudes,
)
from burnish.models.twinning import twin_laws, twin_mates
from burnish.symmetry.space_groups import reflection_properties

STRONG = 2.0  # I/σ from which a reflection counts in R1


@dataclass(frozen=True, slots=True, kw_only=True)
class Twinned:
    """What a model leads to expect of each twinned measurement.

    Attributes
    ----------
    amplitude : F_t. (n,)
    share, excess : w and ⟨ε⟩ − w. (n,)
    lever : ∂F_t/∂F_k = α_k F_k / F_t of each mate. (k, n)
    """

    amplitude: Tensor
    share: Tensor
    excess: Tensor
    lever: Tensor


class TwinTarget(Target):
    """Maximum likelihood on amplitudes √I of a twinned crystal, its fractions refined."""

    def __init__(self, reflections: Reflections, laws: tuple[str, ...] | None = None) -> None:
        laws = twin_laws(reflections.crystal) if laws is None else laws
        self.reflections = reflections
        self.mates = twin_mates(reflections, laws)
        count = len(self.mates.laws)
        self.fractions = torch.tensor([1.0 - 0.2 * (count - 1) / count] + [0.2 / count] * (count - 1)).double()
        self._measured = measured_amplitudes(reflections)
        centric, epsilon, _ = reflection_properties(reflections.crystal, self.mates.hkl.numpy())
        spread = torch.from_numpy(np.where(centric, 2.0, 1.0) * epsilon)  # of |F| along F, in units of S/2
        self._spread = spread[self.mates.mate]
        self._epsilon = torch.from_numpy(epsilon)[self.mates.mate]
        self._centric = torch.from_numpy(centric)[self.mates.mate].all(dim=0)

    @property
    def model_hkl(self) -> Tensor:
        return self.mates.hkl

    @property
    def twin_fractions(self) -> tuple[float, ...]:
        return tuple(float(x) for x in self.fractions)

    def fitted(self) -> dict[str, np.ndarray]:
        return {**super().fitted(), "fractions": self.fractions.numpy()}

    def restore(self, fitted: Mapping[str, np.ndarray]) -> None:
        super().restore(fitted)
        self.fractions = torch.from_numpy(np.array(fitted["fractions"]))

    def _twinned(self, f_model: Tensor, fractions: Tensor) -> Twinned:
        single = f_model.abs()[self.mates.mate]
        total = (fractions[:, None] * single.square()).sum(dim=0).clamp_min(1e-20)
        weighted = fractions[:, None].square() * single.square() * self._spread
        share = torch.where(self._centric, 0.5, 1.0) * weighted.sum(dim=0) / total
        amplitude = total.sqrt()
        excess = ((fractions[:, None] * self._epsilon).sum(dim=0) - share).clamp_min(0.0)
        return Twinned(amplitude=amplitude, share=share, excess=excess, lever=fractions[:, None] * single / amplitude)

    def fit(self, f_model: Tensor, work: Tensor, free: Tensor) -> None:
        use = free if int(free.sum()) >= LEAST_FREE else work | free
        if len(self.fractions) > 1:
            self._fit_fractions(f_model, work)
        r = self.reflections
        twinned = self._twinned(f_model, self.fractions)
        f_obs, amplitude, share = r.f_obs[use], twinned.amplitude[use], twinned.share[use]
        error_model = amplitude_error_model(
            f_obs, r.sigma_f_obs[use], amplitude, self._centric[use], share, twinned.excess[use]
        )
        self.sigma_a = fit_sigma_a(error_model, r.s2[use], f_obs, amplitude, share, self.sigma_a)

    def _fit_fractions(self, f_model: Tensor, work: Tensor) -> None:
        """Least squares on amplitudes, fractions not negative; then by likelihood once there is an error model."""
        from scipy.optimize import minimize  # ten megabytes, wanted for twins only

        single = f_model.abs()[self.mates.mate][:, work].square()
        f_obs = self.reflections.f_obs[work]

        def objective(others: np.ndarray) -> float:
            fractions = torch.from_numpy(np.concatenate([[1.0 - others.sum()], others]))
            if float(fractions[0]) <= 0.0:
                return 1e12 * (1.0 - float(fractions[0]))
            if self.sigma_a is None:
                model = (fractions[:, None] * single).sum(dim=0).sqrt()
                scale = float((f_obs * model).sum() / model.square().sum())
                return float((f_obs - scale * model).square().sum() / f_obs.square().sum())
            _, expected, variance = self._expected(self._twinned(f_model, fractions))
            result = amplitude_likelihood(f_obs, expected[work], variance[work], self._centric[work])
            return float(result.value.mean())

        start = self.fractions[1:].numpy()
        bounds = [(0.0, 0.95)] * len(start)
        found = minimize(objective, start, method="Powell", bounds=bounds, options={"xtol": 2e-4, "ftol": 1e-8})
        others = np.atleast_1d(found.x)
        self.fractions = torch.from_numpy(np.concatenate([[1.0 - others.sum()], others]))

    def _missing(self) -> Tensor:
        """S of every measurement."""
        if self.sigma_a is None:
            raise RuntimeError("the error model was not fitted")
        return self.sigma_a.at(self.reflections.s2)[1]

    def _expected(self, twinned: Twinned) -> tuple[Tensor, Tensor, Tensor]:
        """D, F' and Σ of every measurement."""
        r = self.reflections
        if self.sigma_a is None:
            raise RuntimeError("the error model was not fitted")
        d, s = self.sigma_a.at(r.s2)
        measurement = torch.where(self._centric, 1.0, 2.0) * r.sigma_f_obs.square()
        expected = torch.sqrt((d * twinned.amplitude).square() + twinned.excess * s)
        return d, expected, torch.where(self._measured, measurement, 0.0) + twinned.share * s

    def evaluate(self, f_model: Tensor, work: Tensor, free: Tensor) -> TargetEvaluation:
        twinned = self._twinned(f_model, self.fractions)
        d, expected, variance = self._expected(twinned)
        f_obs = torch.where(work | free, self.reflections.f_obs, expected)
        result = amplitude_likelihood(f_obs, expected, variance, self._centric)
        chain = d.square() * twinned.amplitude / expected  # ∂F'/∂F_t
        slope = torch.where(work, chain * result.wrt_model, 0.0)
        s = self._missing()
        by_share = s * (result.wrt_variance - torch.where(twinned.excess > 0, 0.5 * result.wrt_model / expected, 0.0))
        by_share = torch.where(work, by_share, 0.0) * 2.0 / twinned.amplitude
        information = chain.square() * amplitude_information(expected, variance, self._centric)
        information = torch.where(work, information, 0.0)
        by_single, curvature = torch.zeros(len(f_model)).double(), torch.zeros(len(f_model)).double()
        unit = torch.where(self._centric, 0.5, 1.0) * self._spread * self.fractions[:, None]
        for mate, part, own in zip(self.mates.mate, twinned.lever, unit, strict=True):
            by_single.index_add_(0, mate, part * (slope + by_share * (own - twinned.share)))
            curvature.index_add_(0, mate, information * part.square())
        return TargetEvaluation(
            work=float(result.value[work].sum()),
            free=float(result.value[free].sum()),
            coefficient=by_single * direction(f_model),
            curvature=curvature,
        )

    def compare(self, f_model: Tensor) -> Comparison:
        r = self.reflections
        amplitude = self._twinned(f_model, self.fractions).amplitude
        observed, single = r.f_obs, f_model.abs()[: len(r)]
        if r.i_obs is not None and r.sigma_i_obs is not None:
            observed = torch.where(r.i_obs > STRONG * r.sigma_i_obs, r.i_obs.clamp_min(0.0).sqrt(), torch.nan)
        return Comparison(observed=observed, model=amplitude, single=r.f_obs * single / amplitude)

    def map_factors(self, f_model: Tensor) -> MapFactors:
        d, expected, variance = self._expected(self._twinned(f_model, self.fractions))
        f_obs = torch.where(self._measured, self.reflections.f_obs, expected)
        fom = amplitude_likelihood(f_obs, expected, variance, self._centric).fom
        return MapFactors(d=d, fom=fom, f_obs=self.compare(f_model).single, phase=direction(f_model[: len(d)]))

    def outliers(self, f_model: Tensor) -> Tensor:
        _, expected, variance = self._expected(self._twinned(f_model, self.fractions))
        return amplitude_outliers(self.reflections, expected, variance) & self._measured
