"""A term that resumes from what another has fitted goes on like that one, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from burnish.data.atoms import Atoms
from burnish.data.reflections import Reflections
from burnish.models.anomalous_target import AnomalousTarget
from burnish.models.crystal_term import CrystalSettings, CrystalTerm
from burnish.models.intensity_target import IntensityTarget
from burnish.models.phased_target import PhasedTarget
from burnish.models.targets import AmplitudeTarget, LeastSquaresTarget, Target
from burnish.models.twin_target import TwinTarget
from tests.models.test_anomalous_target import DISPERSION, bijvoet_crystal
from tests.models.test_crystal_term import disturbed
from tests.models.test_likelihood import phased
from tests.models.test_twin_target import twinned_crystal


def crystal_for(kind: Callable[[Reflections], Target]) -> tuple[Atoms, Reflections]:
    if kind is TwinTarget:
        return twinned_crystal(0.3)
    if kind is AnomalousTarget:
        return bijvoet_crystal()[:2]
    atoms, r = phased()
    return atoms, replace(r, i_obs=r.f_obs.square(), sigma_i_obs=2.0 * r.f_obs * r.sigma_f_obs)


@pytest.mark.parametrize(
    "kind", [AmplitudeTarget, LeastSquaresTarget, IntensityTarget, PhasedTarget, TwinTarget, AnomalousTarget]
)
def test_it_goes_on_as_if_it_had_not_stopped(kind: Callable[[Reflections], Target]) -> None:
    atoms, reflections = crystal_for(kind)
    f_obs = reflections.f_obs.clone()
    f_obs[7] *= 20.0  # something to leave out
    reflections = replace(reflections, f_obs=f_obs)
    settings = CrystalSettings(dispersion=DISPERSION if kind is AnomalousTarget else None)
    first, now, next_ = (disturbed(atoms, rms) for rms in (0.3, 0.2, 0.1))
    whole = CrystalTerm(reflections, kind(reflections), settings)
    whole.prepare(first)
    whole.update_scaling(now)
    fitted = {name: np.array(array) for name, array in whole.fitted().items()}
    resumed = CrystalTerm(reflections, kind(reflections), settings)
    resumed.resume(first, now, fitted)
    for model in (now, next_):
        assert resumed.statistics() == whole.statistics()
        one, other = whole.evaluate(model), resumed.evaluate(model)
        assert one.value == other.value
        assert torch.equal(one.gradient.xyz, other.gradient.xyz)
        whole.update_scaling(next_)
        resumed.update_scaling(next_)
    anew = CrystalTerm(reflections, kind(reflections), settings)
    anew.prepare(next_)
    assert anew.value(next_) != whole.value(next_)  # which is why it matters


def test_nothing_fitted_is_refused() -> None:
    atoms, reflections = crystal_for(AmplitudeTarget)
    with pytest.raises(KeyError):
        CrystalTerm(reflections).resume(atoms, atoms, {})
