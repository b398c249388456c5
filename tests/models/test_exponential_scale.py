"""The scale of four numbers: recovery, what the B of the atoms does to it, and odd data."""

import numpy as np
import pytest

from burnish.models.exponential_scale import fit_exponential_scale


@pytest.fixture
def crystal():
    rng = np.random.default_rng(2)
    s2 = rng.uniform(0.0005, 1.0 / 2.2**2, 4000)
    f_calc = (rng.normal(size=(2, 4000)) * 300 * np.exp(-5 * s2)).T @ np.array([1, 1j])
    f_mask = (rng.normal(size=(2, 4000)) * 1500 * np.exp(-30 * s2)).T @ np.array([1, 1j])
    f_obs = 1.7 * np.exp(-8.0 * s2 / 4) * np.abs(f_calc + 0.38 * np.exp(-50 * s2 / 4) * f_mask)
    return s2, f_obs * (1 + 0.03 * rng.normal(size=4000)), f_calc, f_mask


def test_the_four_numbers_are_recovered(crystal):
    kept = [a.copy() for a in crystal]
    found = fit_exponential_scale(*crystal)
    assert np.exp(found.log_k) == pytest.approx(1.7, rel=0.01)
    assert found.b == pytest.approx(8.0, abs=0.3)
    assert found.k_sol == pytest.approx(0.38, abs=0.01)
    assert found.b_sol == pytest.approx(50.0, abs=2.0)
    assert all(np.array_equal(a, b) for a, b in zip(kept, crystal, strict=True))


def test_b_given_to_the_atoms_leaves_the_scale(crystal):
    s2, f_obs, f_calc, f_mask = crystal
    before = fit_exponential_scale(*crystal)
    fading = np.exp(-8.0 * s2 / 4)
    after = fit_exponential_scale(s2, f_obs, f_calc * fading, f_mask * fading, before)
    assert after.b == pytest.approx(before.b - 8.0, abs=0.1)


def test_outliers_and_a_missing_solvent_do_no_harm(crystal):
    s2, _, f_calc, _ = crystal
    wild = 1.7 * np.exp(-8.0 * s2 / 4) * np.abs(f_calc)
    wild[s2 < 0.003] *= 3.0
    found = fit_exponential_scale(s2, wild, f_calc, np.zeros_like(f_calc))
    assert found.b == pytest.approx(8.0, abs=1.0)
    assert np.isfinite([found.log_k, found.k_sol, found.b_sol]).all()
