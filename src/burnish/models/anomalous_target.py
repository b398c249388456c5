"""Maximum likelihood on Bijvoet pairs.

F(h) and F(−h) are amplitudes of one structure with f″ in the form factors; each has the likelihood of an amplitude,
with D and S of both. The errors of the model are common to the two, so that a complete pair counts as one measurement:
each half weighs ½. Phase information enters through the difference of the model's amplitudes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from burnish.core.errors import InputError
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


class AnomalousTarget(Target):
    """Maximum likelihood on F(+) and F(−); F_model is wanted at h, then at −h."""

    def __init__(self, reflections: Reflections) -> None:
        pairs = reflections.anomalous
        if pairs is None or pairs.f_obs is None or pairs.sigma_f_obs is None:
            raise InputError(
                "the data hold no amplitudes of Bijvoet pairs; choose the target of amplitudes, --target ml"
            )
        self.reflections = reflections
        self._f_obs, self._sigma = pairs.f_obs.T.reshape(-1), pairs.sigma_f_obs.T.reshape(-1)
        known = self._f_obs.isfinite() & self._sigma.isfinite() & (self._sigma > 0)
        both = known.reshape(2, -1).all(dim=0).repeat(2)
        self._weight = torch.where(known, torch.where(both, 0.5, 1.0), 0.0).double()
        self._centric, self._epsilon = reflections.centric.repeat(2), reflections.epsilon.repeat(2)
        self._s2 = reflections.s2.repeat(2)
        self._measured = known.reshape(2, -1).any(dim=0) & measured_amplitudes(reflections)

    @property
    def model_hkl(self) -> Tensor:
        return torch.cat([self.reflections.hkl, -self.reflections.hkl])

    def _mean(self, f_model: Tensor) -> Tensor:
        """Structure factor without the part of f″: (F(h) + F*(−h)) / 2. (n,) complex"""
        n = len(self.reflections)
        return 0.5 * (f_model[:n] + f_model[n:].conj())

    def fit(self, f_model: Tensor, work: Tensor, free: Tensor) -> None:
        use = free if int(free.sum()) >= LEAST_FREE else work | free
        r, amplitude = self.reflections, self._mean(f_model).abs()[use]
        f_obs, epsilon = r.f_obs[use], r.epsilon[use]
        error_model = amplitude_error_model(f_obs, r.sigma_f_obs[use], amplitude, r.centric[use], epsilon)
        self.sigma_a = fit_sigma_a(error_model, r.s2[use], f_obs, amplitude, epsilon, self.sigma_a)

    def _error_model(self, s2: Tensor, sigma: Tensor, centric: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        if self.sigma_a is None:
            raise RuntimeError("the error model was not fitted")
        d, s = self.sigma_a.at(s2)
        measurement = torch.where(centric, 1.0, 2.0) * sigma.square()
        return d, torch.where(measurement.isfinite(), measurement, 0.0) + epsilon * s

    def evaluate(self, f_model: Tensor, work: Tensor, free: Tensor) -> TargetEvaluation:
        d, variance = self._error_model(self._s2, self._sigma, self._centric, self._epsilon)
        amplitude = f_model.abs()
        weight = self._weight * (work | free).repeat(2)
        f_obs = torch.where(weight > 0, self._f_obs, amplitude)
        found = amplitude_likelihood(f_obs, d * amplitude, variance, self._centric)
        value = weight * torch.where(weight > 0, found.value, 0.0)
        active = weight * work.repeat(2)
        information = d.square() * amplitude_information(d * amplitude, variance, self._centric)
        return TargetEvaluation(
            work=float(value[work.repeat(2)].sum()),
            free=float(value[free.repeat(2)].sum()),
            coefficient=active * d * found.wrt_model * direction(f_model),
            curvature=active * information,
        )

    def compare(self, f_model: Tensor) -> Comparison:
        n = len(self.reflections)
        f_obs = self.reflections.f_obs
        return Comparison(observed=f_obs, model=0.5 * (f_model[:n].abs() + f_model[n:].abs()), single=f_obs)

    def map_factors(self, f_model: Tensor) -> MapFactors:
        r, mean = self.reflections, self._mean(f_model)
        d, variance = self._error_model(r.s2, r.sigma_f_obs, r.centric, r.epsilon)
        f_obs = torch.where(self._measured, r.f_obs, mean.abs())
        fom = amplitude_likelihood(f_obs, d * mean.abs(), variance, r.centric).fom
        return MapFactors(d=d, fom=fom, f_obs=r.f_obs, phase=direction(mean))

    def outliers(self, f_model: Tensor) -> Tensor:
        r = self.reflections
        d, variance = self._error_model(r.s2, r.sigma_f_obs, r.centric, r.epsilon)
        return amplitude_outliers(r, d * self._mean(f_model).abs(), variance) & self._measured
