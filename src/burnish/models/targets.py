"""Functions of the structure factors that a refinement lowers.

A `Target` owns what is measured and the parameters of its own error model. It sees the scaled F_model of a list of
reflections, complex, and answers with a value, its derivative and its expected curvature by |F_model|.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from burnish.data.reflections import Reflections
from burnish.models.likelihood import amplitude_information, amplitude_likelihood
from burnish.models.sigma_a import SigmaA, amplitude_error_model, fit_sigma_a

LEAST_FREE = 100  # free reflections below which the error model is fitted to the working set
IMPROBABLE_Z2 = 4.89**2  # square of the normal deviate of probability 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetEvaluation:
    """A target at one F_model.

    Attributes
    ----------
    work, free : value summed over the working and over the free reflections.
    coefficient : ∂work/∂Re F + i ∂work/∂Im F of each reflection. (m,) complex128
    curvature : expected ∂²work/∂|F|². (m,) float64
    """

    work: float
    free: float
    coefficient: Tensor
    curvature: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class MapFactors:
    """What a map needs of the error model, for each reflection of the data. (n,)

    Attributes
    ----------
    d : D of the model; 1 for least squares.
    fom : figure of merit; 1 for least squares.
    f_obs : amplitude to use, NaN where nothing was measured; for twins the detwinned one.
    phase : of the density coefficient's observed part as a unit complex number; that of the model without other phases.
    """

    d: Tensor
    fom: Tensor
    f_obs: Tensor
    phase: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Amplitudes that R factors and scales compare. (n,)

    Attributes
    ----------
    observed : measured amplitudes.
    model : amplitudes of the model that correspond to them; twin mates added up.
    single : observed amplitude of the one reflection |F_model| stands for: detwinned for twins.
    """

    observed: Tensor
    model: Tensor
    single: Tensor


class Target(ABC):
    """A function of F_model, which is on the scale of the measured amplitudes.

    F_model is wanted at `model_hkl`: the n reflections of the data, then what else the target needs (twin mates). The
    masks `work` and `free` are measured reflections in use. (n,) bool. Unless a target says otherwise, a measurement is
    that of one reflection.
    """

    reflections: Reflections
    sigma_a: SigmaA | None = None
    _measured: Tensor

    def fitted(self) -> dict[str, np.ndarray]:
        """The error model, from which its next fit starts, by name."""
        return {} if self.sigma_a is None else self.sigma_a.arrays()

    def restore(self, fitted: Mapping[str, np.ndarray]) -> None:
        """Take the error model that `fitted` told."""
        self.sigma_a = SigmaA.from_arrays(fitted)

    @property
    def model_hkl(self) -> Tensor:
        """Miller indices of F_model. (m, 3) int64"""
        return self.reflections.hkl

    @property
    def measured(self) -> Tensor:
        """Reflections with a usable measurement. (n,) bool"""
        return self._measured

    @property
    def twin_fractions(self) -> tuple[float, ...]:
        """Fractions of the identity and of each twin law."""
        return (1.0,)

    @abstractmethod
    def fit(self, f_model: Tensor, work: Tensor, free: Tensor) -> None:
        """Fit the error model."""

    @abstractmethod
    def evaluate(self, f_model: Tensor, work: Tensor, free: Tensor) -> TargetEvaluation:
        """Value and derivatives at fixed error model."""

    def compare(self, f_model: Tensor) -> Comparison:
        """Amplitudes for R factors and scales."""
        f_obs = self.reflections.f_obs
        return Comparison(observed=f_obs, model=f_model.abs(), single=f_obs)

    @abstractmethod
    def map_factors(self, f_model: Tensor) -> MapFactors:
        """D, figure of merit and amplitude for maps, at every reflection."""

    @abstractmethod
    def outliers(self, f_model: Tensor) -> Tensor:
        """Measurements that the fitted error model finds less likely than 1e-6. (n,) bool"""


def direction(f_model: Tensor) -> Tensor:
    """exp(iφ) of each structure factor, 1 where it is zero."""
    length = f_model.abs()
    return torch.where(length > 0, f_model / length.clamp_min(1e-30), torch.ones_like(f_model))


def measured_amplitudes(reflections: Reflections) -> Tensor:
    """Reflections with an amplitude and a positive uncertainty. (n,) bool"""
    return reflections.f_obs.isfinite() & reflections.sigma_f_obs.isfinite() & (reflections.sigma_f_obs > 0)


class AmplitudeTarget(Target):
    """Maximum likelihood on amplitudes with their experimental uncertainties."""

    def __init__(self, reflections: Reflections) -> None:
        self.reflections = reflections
        self._measured = measured_amplitudes(reflections)

    def fit(self, f_model: Tensor, work: Tensor, free: Tensor) -> None:
        use = free if int(free.sum()) >= LEAST_FREE else work | free
        r = self.reflections
        f_obs, amplitude, epsilon = r.f_obs[use], f_model.abs()[use], r.epsilon[use]
        error_model = amplitude_error_model(f_obs, r.sigma_f_obs[use], amplitude, r.centric[use], epsilon)
        self.sigma_a = fit_sigma_a(error_model, r.s2[use], f_obs, amplitude, epsilon, self.sigma_a)

    def error_model(self) -> tuple[Tensor, Tensor]:
        """D and Σ of every reflection; Σ without the measurement where nothing was measured."""
        r = self.reflections
        if self.sigma_a is None:
            raise RuntimeError("the error model was not fitted")
        d, s = self.sigma_a.at(r.s2)
        measurement = torch.where(r.centric, 1.0, 2.0) * r.sigma_f_obs.square()
        return d, torch.where(self._measured, measurement, 0.0) + r.epsilon * s

    def evaluate(self, f_model: Tensor, work: Tensor, free: Tensor) -> TargetEvaluation:
        r = self.reflections
        d, variance = self.error_model()
        amplitude = f_model.abs()
        f_obs = torch.where(work | free, r.f_obs, amplitude)
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
        d, variance = self.error_model()
        amplitude = f_model.abs()
        f_obs = torch.where(self._measured, self.reflections.f_obs, amplitude)
        fom = amplitude_likelihood(f_obs, d * amplitude, variance, self.reflections.centric).fom
        return MapFactors(d=d, fom=fom, f_obs=self.reflections.f_obs, phase=direction(f_model))

    def outliers(self, f_model: Tensor) -> Tensor:
        d, variance = self.error_model()
        return amplitude_outliers(self.reflections, d * f_model.abs(), variance) & self._measured


def amplitude_outliers(reflections: Reflections, expected: Tensor, variance: Tensor) -> Tensor:
    """Amplitudes further from D |F_model| than their likelihood allows with a probability of 1e-6. (n,) bool

    Notes
    -----
    Rice and Woolfson amplitudes fall like a normal distribution of variance Σ/2 (acentric) or Σ about F' when F' is
    large; half a Σ more makes the acentric limit that of Wilson (13.8 Σ) where F' vanishes.
    """
    half = torch.where(reflections.centric, 1.0, 0.5) * variance
    extra = torch.where(reflections.centric, 0.0, variance)
    return (reflections.f_obs - expected).square() > IMPROBABLE_Z2 * half + extra


class LeastSquaresTarget(Target):
    """Least squares on amplitudes with weights 1/(σ_F² + a²), a the rms residual: for high resolution."""

    def __init__(self, reflections: Reflections) -> None:
        self.reflections = reflections
        self.extra = 0.0
        self._measured = measured_amplitudes(reflections)

    def fit(self, f_model: Tensor, work: Tensor, free: Tensor) -> None:
        residual = self.reflections.f_obs[work] - f_model.abs()[work]
        self.extra = float(residual.square().mean())

    def fitted(self) -> dict[str, np.ndarray]:
        return {"extra": np.array(self.extra)}

    def restore(self, fitted: Mapping[str, np.ndarray]) -> None:
        self.extra = float(fitted["extra"])

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
        return MapFactors(d=one, fom=one, f_obs=self.reflections.f_obs, phase=direction(f_model))

    def outliers(self, f_model: Tensor) -> Tensor:
        r = self.reflections
        limit = 2.0 * IMPROBABLE_Z2 * (r.sigma_f_obs.square() + self.extra)  # residuals are not quite normal: 6.9 σ
        return ((f_model.abs() - r.f_obs).square() > limit) & self._measured
