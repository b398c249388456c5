"""Amplitudes from weak intensities: limits, truth recovered, comparison with direct integration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

from burnish.models.french_wilson import french_wilson
from burnish.models.wilson import mean_intensity
from tests.models.crystals import reflections_to, triclinic_like


def simulated(noise: float, seed: int = 1):
    crystal = replace(triclinic_like("P 21 21 21"), cell=(30.0, 37.0, 41.0, 90.0, 90.0, 90.0))
    r = reflections_to(crystal, 2.0)
    rng = np.random.default_rng(seed)
    s2, centric, epsilon = r.s2.numpy(), r.centric.numpy(), r.epsilon.numpy()
    expected = 1000.0 * np.exp(-10.0 * s2 - 8.0 * (r.hkl[:, 2].numpy() / 41.0) ** 2)
    true = epsilon * expected * np.where(centric, rng.chisquare(1, len(s2)), rng.exponential(1.0, len(s2)))
    sigma = np.full(len(s2), noise * 200.0)
    return crystal, r, expected, true, true + sigma * rng.normal(size=len(s2)), sigma


def amplitudes(crystal, r, intensity, sigma):
    return french_wilson(crystal, r.hkl.numpy(), r.s2.numpy(), intensity, sigma, r.centric.numpy(), r.epsilon.numpy())


def test_mean_intensity_recovers_an_anisotropic_prior() -> None:
    crystal, r, expected, _, intensity, sigma = simulated(0.05)
    found = mean_intensity(
        crystal, r.hkl.numpy(), r.s2.numpy(), intensity / r.epsilon.numpy(), sigma / r.epsilon.numpy()
    )
    assert np.abs(np.log(found / expected)).mean() < 0.12


def test_strong_intensities_give_their_root() -> None:
    crystal, r, _, true, _, _ = simulated(0.0)
    f, sigma = amplitudes(crystal, r, true + 5.0, np.full(len(true), 0.01))
    np.testing.assert_allclose(f, np.sqrt(true + 5.0), rtol=1e-3)
    np.testing.assert_allclose(sigma, 0.005 / np.sqrt(true + 5.0), rtol=0.02)


def test_weak_data_have_no_bias_and_honest_sigmas() -> None:
    crystal, r, _, true, intensity, sigma = simulated(0.3)
    f, sigma_f = amplitudes(crystal, r, intensity, sigma)
    pull = (f - np.sqrt(true)) / sigma_f
    assert (intensity < 0).mean() > 0.1
    assert (f > 0).all()
    assert abs(pull.mean()) < 0.08
    assert pull.std() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("centric", [False, True])
@pytest.mark.parametrize("ratio", [-60.0, -5.0, 0.0, 2.0, 8.0, 45.0])
def test_moments_against_direct_integration(centric: bool, ratio: float) -> None:
    """One reflection whose prior is known: h is what the table is entered with."""
    from burnish.models import french_wilson as module

    h = ratio

    def density(f: float) -> float:
        return (1.0 if centric else f) * np.exp(-0.5 * (f * f - h) ** 2 + 0.5 * min(h, 0.0) ** 2)

    points = [np.sqrt(max(h, 0.0))]
    total = quad(density, 0, 12, points=points, limit=400)[0]
    mean = quad(lambda f: f * density(f), 0, 12, points=points, limit=400)[0] / total
    table, means, _ = module._moments()
    inside = np.clip(h, module.LOW, module.HIGH)
    scale = np.sqrt(abs(h) / 30.0) if abs(h) > 30.0 else 1.0
    found = np.interp(inside, table, means[int(centric)]) * (scale if h > 0 else 1.0 / scale)
    assert found == pytest.approx(mean, rel=4e-3)


def test_unmeasured_stays_unmeasured_and_inputs_untouched() -> None:
    crystal, r, _, _, intensity, sigma = simulated(0.1)
    intensity[3], sigma[5] = np.nan, 0.0
    before = intensity.copy()
    f, sigma_f = amplitudes(crystal, r, intensity, sigma)
    assert np.isnan(f[[3, 5]]).all() and np.isnan(sigma_f[[3, 5]]).all()
    assert np.isfinite(np.delete(f, [3, 5])).all()
    np.testing.assert_array_equal(before, intensity)
