"""Functions of the structure factors that a refinement lowers.

A `Target` owns what is measured and the parameters of its own error model. It sees the scaled F_model of a list of
reflections, complex, and answers with a value, its derivative and its expected curvature by |F_model|.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.data.reflections import Reflections
from burnish.models.likelihood import amplitude_information, amplitude_likelihood
from burnish.models.sigma_a import SigmaA, fit_sigma_a

LEAST_FREE = 100  # free reflections below which the error model is fitted to the working set


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetEvaluation:
    """A target at one F_model.

    Attributes
    ----------
    work, free : value summed over the working and over the free reflections.
    coefficient : ∂work/∂Re F + i ∂work/∂Im F of each reflection. (n,) complex128
    curvature : expected ∂²work/∂|F|². (n,) float64
    """

    work: float
    free: float
    coefficient: Tensor
    curvature: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class MapFactors:
    """What a map needs of the error model: D and figure of merit of each reflection; 1 and 1 for least squares."""

    d: Tensor
    fom: Tensor


class Target(ABC):
    """A function of F_model; amplitudes are on the scale of the data."""

    @abstractmethod
    def fit(self, f_model: Tensor, work: Tensor, free: Tensor) -> None:
        """Fit the error model; `work` and `free` are the measured reflections in use. (n,) complex, bool, bool"""

    @abstractmethod
    def evaluate(self, f_model: Tensor, work: Tensor, free: Tensor) -> TargetEvaluation:
        """Value and derivatives at fixed error model."""

    @abstractmethod
    def map_factors(self, f_model: Tensor) -> MapFactors:
        """D and figure of merit of every reflection, measured or not."""


def direction(f_model: Tensor) -> Tensor:
    """exp(iφ) of each structure factor, 1 where it is zero."""
    length = f_model.abs()
    return torch.where(length > 0, f_model / length.clamp_min(1e-30), torch.ones_like(f_model))


class AmplitudeTarget(Target):
    """Maximum likelihood on amplitudes with their experimental uncertainties."""

    def __init__(self, reflections: Reflections) -> None:
        self.reflections = reflections
        self.sigma_a: SigmaA | None = None

    def fit(self, f_model: Tensor, work: Tensor, free: Tensor) -> None:
        use = free if int(free.sum()) >= LEAST_FREE else work | free
        r = self.reflections
        self.sigma_a = fit_sigma_a(
            r.s2[use],
            r.f_obs[use],
            r.sigma_f_obs[use],
            f_model.abs()[use],
            r.centric[use],
            r.epsilon[use],
            self.sigma_a,
        )

    def _error_model(self) -> tuple[Tensor, Tensor]:
        """D and Σ of every reflection; Σ without the measurement where nothing was measured."""
        r = self.reflections
        if self.sigma_a is None:
            raise RuntimeError("the error model was not fitted")
        d, s = self.sigma_a.at(r.s2)
        measurement = torch.where(r.centric, 1.0, 2.0) * r.sigma_f_obs.square()
        return d, torch.where(measurement.isfinite(), measurement, 0.0) + r.epsilon * s

    def evaluate(self, f_model: Tensor, work: Tensor, free: Tensor) -> TargetEvaluation:
        r = self.reflections
        d, variance = self._error_model()
        amplitude = f_model.abs()
        use = work | free
        f_obs = torch.where(use, r.f_obs, amplitude)
        result = amplitude_likelihood(f_obs, d * amplitude, variance, r.centric)
        slope = torch.where(work, d * result.wrt_model, 0.0)
        information = d.square() * amplitude_information(d * amplitude, variance, r.centric)
        return TargetEvaluation(
            work=float(result.value[work].sum()),
            free=float(result.value[free].sum()),
            coefficient=slope * direction(f_model),
            curvature=torch.where(work, information, 0.0),
        )

    def map_factors(self, f_model: Tensor) -> MapFactors:
        d, variance = self._error_model()
        amplitude = f_model.abs()
        f_obs = torch.where(self.reflections.f_obs.isfinite(), self.reflections.f_obs, amplitude)
        return MapFactors(d=d, fom=amplitude_likelihood(f_obs, d * amplitude, variance, self.reflections.centric).fom)


class LeastSquaresTarget(Target):
    """Least squares on amplitudes with weights 1/(σ_F² + a²), a the rms residual: for high resolution."""

    def __init__(self, reflections: Reflections) -> None:
        self.reflections = reflections
        self.extra = 0.0

    def fit(self, f_model: Tensor, work: Tensor, free: Tensor) -> None:
        residual = self.reflections.f_obs[work] - f_model.abs()[work]
        self.extra = float(residual.square().mean())

    def evaluate(self, f_model: Tensor, work: Tensor, free: Tensor) -> TargetEvaluation:
        r = self.reflections
        use = work | free
        amplitude = f_model.abs()
        weight = torch.where(use, 1.0 / (r.sigma_f_obs.square() + self.extra), 0.0)
        residual = torch.where(use, amplitude - r.f_obs, 0.0)
        value = 0.5 * weight * residual.square()
        return TargetEvaluation(
            work=float(value[work].sum()),
            free=float(value[free].sum()),
            coefficient=torch.where(work, weight * residual, 0.0) * direction(f_model),
            curvature=torch.where(work, weight, 0.0),
        )

    def map_factors(self, f_model: Tensor) -> MapFactors:
        one = torch.ones_like(self.reflections.s2)
        return MapFactors(d=one, fom=one)
