"""Maximum likelihood on amplitudes with experimental phases in Hendrickson–Lattman form.

The phase of the true structure factor is weighted by P(φ) ∝ exp(A cos φ + B sin φ + C cos 2φ + D sin 2φ) (Hendrickson &
Lattman 1970) when it is integrated out (MLHL; Pannu et al. 1998):

    −log L = half [log Σ + (F_o² + F'²)/Σ] − log ⟨exp(X cos(φ − φ_c))⟩_P,     X = (2 − c) F_o F'/Σ

and the gradient by the complex F' is (2 − c)(F' − F_o ⟨exp iφ⟩)/Σ with the mean over the combined distribution.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from burnish.core.errors import InputError
from burnish.data.reflections import Reflections
from burnish.models.likelihood import amplitude_information
from burnish.models.targets import AmplitudeTarget, MapFactors, Target, TargetEvaluation, direction
from burnish.symmetry.space_groups import restricted_phases

ANGLES = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class Phased:
    """−log of the integral over the phase, and mean of exp(iφ) under the combined distribution. (n,), (n,) complex"""

    value: Tensor
    mean: Tensor


class PhasedTarget(Target):
    """Maximum likelihood with a phase distribution; reflections without one are as in `AmplitudeTarget`."""

    def __init__(self, reflections: Reflections) -> None:
        if reflections.hl is None:
            raise InputError(
                "the data hold no Hendrickson-Lattman coefficients; choose the target of amplitudes, --target ml"
            )
        self.reflections = reflections
        self.amplitudes = AmplitudeTarget(reflections)
        self._measured = self.amplitudes.measured
        hl = torch.where(reflections.hl.isfinite(), reflections.hl, 0.0)
        n = len(reflections)
        phi = torch.arange(ANGLES).double() * (2.0 * math.pi / ANGLES)
        first = restricted_phases(reflections.crystal, reflections.hkl.numpy())
        allowed = torch.from_numpy(np.where(np.isfinite(first), first, 0.0))
        self._log_prior = torch.empty(ANGLES, n).double()
        for index, angle in enumerate(phi.tolist()):
            here = torch.where(reflections.centric, allowed + math.pi * (index % 2), torch.full((n,), angle).double())
            self._log_prior[index] = (
                hl[:, 0] * here.cos()
                + hl[:, 1] * here.sin()
                + hl[:, 2] * (2 * here).cos()
                + hl[:, 3] * (2 * here).sin()
            )
        self._log_prior -= torch.logsumexp(self._log_prior, dim=0)
        self._angle, self._allowed = phi, allowed

    def fit(self, f_model: Tensor, work: Tensor, free: Tensor) -> None:
        self.amplitudes.fit(f_model, work, free)

    def fitted(self) -> dict[str, np.ndarray]:
        return self.amplitudes.fitted()

    def restore(self, fitted: Mapping[str, np.ndarray]) -> None:
        self.amplitudes.restore(fitted)

    def _integrate(self, f_model: Tensor, f_obs: Tensor) -> Phased:
        """Sum over 36 angles, or over the two that a centric reflection may have (each taken 18 times)."""
        r = self.reflections
        d, variance = self.amplitudes.error_model()
        c = r.centric.double()
        factor = (2.0 - c) * f_obs * d / variance
        log_weights = []
        for index in range(ANGLES):
            cosine, sine = self._unit(index)
            log_weights.append(self._log_prior[index] + factor * (f_model.real * cosine + f_model.imag * sine))
        stacked = torch.stack(log_weights)
        total = torch.logsumexp(stacked, dim=0)
        mean = torch.zeros(len(r), dtype=torch.complex128)
        for index in range(ANGLES):
            weight = torch.exp(stacked[index] - total)
            cosine, sine = self._unit(index)
            mean += torch.complex(weight * cosine, weight * sine)
        half = 1.0 - 0.5 * c
        squares = (f_obs.square() + (d * f_model.abs()).square()) / variance
        constant = torch.where(r.centric, 0.5 * math.log(math.pi / 2.0), -torch.log(2.0 * f_obs.clamp_min(1e-30)))
        return Phased(value=half * (variance.log() + squares) - total + constant, mean=mean)

    def _unit(self, index: int) -> tuple[Tensor, Tensor]:
        """Cosine and sine of one angle of the quadrature for every reflection."""
        sign = 1.0 - 2.0 * (index % 2)
        angle = self._angle[index]
        cosine = torch.where(self.reflections.centric, sign * self._allowed.cos(), angle.cos())
        sine = torch.where(self.reflections.centric, sign * self._allowed.sin(), angle.sin())
        return cosine, sine

    def evaluate(self, f_model: Tensor, work: Tensor, free: Tensor) -> TargetEvaluation:
        r = self.reflections
        d, variance = self.amplitudes.error_model()
        f_obs = torch.where(work | free, r.f_obs, f_model.abs())
        found = self._integrate(f_model, f_obs)
        order = torch.where(r.centric, 1.0, 2.0)
        gradient = order * d * (d * f_model - f_obs * found.mean) / variance
        radial = amplitude_information(d * f_model.abs(), variance, r.centric)
        # A known phase makes the tangential component visible too, to the degree that the phases alone are known.
        prior = torch.zeros(len(r), dtype=torch.complex128)
        for index in range(ANGLES):
            cosine, sine = self._unit(index)
            prior += torch.exp(self._log_prior[index]) * torch.complex(cosine, sine)
        tangential = torch.where(r.centric, 0.0, prior.abs().square()) * order / variance
        return TargetEvaluation(
            work=float(found.value[work].sum()),
            free=float(found.value[free].sum()),
            coefficient=torch.where(work, gradient, torch.zeros_like(gradient)),
            curvature=torch.where(work, d.square() * (radial + tangential), 0.0),
        )

    def map_factors(self, f_model: Tensor) -> MapFactors:
        d, _ = self.amplitudes.error_model()
        f_obs = torch.where(self.measured, self.reflections.f_obs, f_model.abs())
        mean = self._integrate(f_model, f_obs).mean
        return MapFactors(d=d, fom=mean.abs(), f_obs=self.reflections.f_obs, phase=direction(mean))

    def outliers(self, f_model: Tensor) -> Tensor:
        return self.amplitudes.outliers(f_model)
