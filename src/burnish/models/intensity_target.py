"""Maximum likelihood on intensities."""

from __future__ import annotations

import torch
from torch import Tensor

from burnish.core.errors import InputError
from burnish.data.reflections import Reflections
from burnish.models.intensity_likelihood import intensity_likelihood
from burnish.models.likelihood import Likelihood, amplitude_information
from burnish.models.sigma_a import Slopes, fit_sigma_a
from burnish.models.targets import (
    LEAST_FREE,
    Comparison,
    MapFactors,
    Target,
    TargetEvaluation,
    direction,
)

STRONG = 2.0  # I/σ from which a reflection counts in R1


class IntensityTarget(Target):
    """Maximum likelihood on intensities, weak and negative ones as they were measured; R factors are R1 (I/σ > 2).

    `f_obs` of the reflections (French & Wilson) serves scales and maps only.
    """

    def __init__(self, reflections: Reflections) -> None:
        if reflections.i_obs is None or reflections.sigma_i_obs is None:
            raise InputError("the data hold no intensities; choose --target ml, or intensities with --labels")
        self.reflections = reflections
        self.intensity, self.sigma = reflections.i_obs, reflections.sigma_i_obs
        self._measured = self.intensity.isfinite() & self.sigma.isfinite() & (self.sigma > 0)

    def fit(self, f_model: Tensor, work: Tensor, free: Tensor) -> None:
        use = free if int(free.sum()) >= LEAST_FREE else work | free
        r = self.reflections
        intensity, sigma, centric, epsilon = self.intensity[use], self.sigma[use], r.centric[use], r.epsilon[use]

        amplitude = f_model.abs()[use]

        def slopes(d: Tensor, s: Tensor) -> Slopes:
            found = intensity_likelihood(intensity, sigma, d * amplitude, epsilon * s, centric)
            return Slopes(
                value=float(found.value.sum()),
                by_d=found.wrt_model * amplitude,
                by_log_s=found.wrt_variance * epsilon * s,
            )

        f_obs = intensity.clamp_min(0.0).sqrt()
        self.sigma_a = fit_sigma_a(slopes, r.s2[use], f_obs, amplitude, epsilon, self.sigma_a)

    def _error_model(self) -> tuple[Tensor, Tensor]:
        if self.sigma_a is None:
            raise RuntimeError("the error model was not fitted")
        d, s = self.sigma_a.at(self.reflections.s2)
        return d, self.reflections.epsilon * s

    def _likelihood(self, f_model: Tensor, use: Tensor) -> Likelihood:
        """Likelihood of the reflections in `use` only: the integrals are the costly part."""
        d, variance = self._error_model()
        expected = d * f_model.abs()
        return intensity_likelihood(
            self.intensity[use], self.sigma[use], expected[use], variance[use], self.reflections.centric[use]
        )

    def evaluate(self, f_model: Tensor, work: Tensor, free: Tensor) -> TargetEvaluation:
        use = work | free
        d, variance = self._error_model()
        found = self._likelihood(f_model, use)
        slope = torch.zeros_like(d)
        slope[use] = d[use] * found.wrt_model
        # A measurement blurs the amplitude by about σ_I/2F: the information is that of the amplitude with it.
        amplitude = f_model.abs()
        blur = 0.25 * self.sigma.square() / (d * amplitude).square().clamp_min(0.1 * variance)
        spread = variance + torch.where(self.reflections.centric, 1.0, 2.0) * torch.where(use, blur, 0.0)
        information = d.square() * amplitude_information(d * amplitude, spread, self.reflections.centric)
        return TargetEvaluation(
            work=float(found.value[work[use]].sum()),
            free=float(found.value[free[use]].sum()),
            coefficient=torch.where(work, slope, 0.0) * direction(f_model),
            curvature=torch.where(work, information, 0.0),
        )

    def compare(self, f_model: Tensor) -> Comparison:
        strong = self._measured & (self.intensity > STRONG * self.sigma)
        observed = torch.where(strong, self.intensity.clamp_min(0.0).sqrt(), torch.nan)
        return Comparison(observed=observed, model=f_model.abs(), single=self.reflections.f_obs)

    def map_factors(self, f_model: Tensor) -> MapFactors:
        d, _ = self._error_model()
        fom = torch.ones_like(d)
        fom[self._measured] = self._likelihood(f_model, self._measured).fom
        return MapFactors(d=d, fom=fom, f_obs=self.reflections.f_obs, phase=direction(f_model))

    def outliers(self, f_model: Tensor) -> Tensor:
        d, variance = self._error_model()
        expected = (d * f_model.abs()).square() + variance
        centric = self.reflections.centric
        spread = torch.where(centric, 2.0, 1.0) * variance * (variance + 2.0 * (d * f_model.abs()).square())
        # Intensities of weak reflections fall exponentially: 1e-6 is at 13.8 (23.9) means, 13 (16) standard deviations.
        limit = torch.where(centric, 16.0, 13.0) * torch.sqrt(spread + self.sigma.square())
        return ((self.intensity - expected).abs() > limit) & self._measured
