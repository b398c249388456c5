"""Likelihoods of amplitudes, intensities and phased amplitudes: normalisation, derivatives, limits."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from burnish.models.crystal_term import CrystalTerm
from burnish.models.intensity_likelihood import intensity_likelihood
from burnish.models.intensity_target import IntensityTarget
from burnish.models.likelihood import amplitude_information, amplitude_likelihood
from burnish.models.phased_target import PhasedTarget
from burnish.models.sigma_a import amplitude_error_model, fit_sigma_a
from burnish.models.targets import LeastSquaresTarget
from burnish.symmetry.space_groups import reflection_properties, restricted_phases
from tests.models.crystals import direct_summation, random_atoms, reflections_to, triclinic_like
from tests.models.test_crystal_term import disturbed, simulated

F64 = torch.float64


@pytest.mark.parametrize("centric", [False, True])
@pytest.mark.parametrize("expected", [0.0, 0.7, 3.0, 40.0])
def test_amplitude_density_integrates_to_one(centric: bool, expected: float) -> None:
    f = torch.linspace(1e-6, expected + 15.0, 40001, dtype=F64)
    density = torch.exp(
        -amplitude_likelihood(
            f, torch.full_like(f, expected), torch.full_like(f, 2.0), torch.full(f.shape, centric)
        ).value
    )
    assert float(torch.trapezoid(density, f)) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("centric", [False, True])
def test_derivatives_of_the_amplitude_likelihood(centric: bool) -> None:
    f_obs = torch.tensor([0.3, 2.0, 50.0, 900.0], dtype=F64)
    expected = torch.tensor([0.2, 2.5, 47.0, 880.0], dtype=F64, requires_grad=True)
    variance = torch.tensor([1.0, 0.5, 9.0, 100.0], dtype=F64, requires_grad=True)
    mask = torch.full((4,), centric)
    result = amplitude_likelihood(f_obs, expected, variance, mask)
    by_expected, by_variance = torch.autograd.grad(result.value.sum(), (expected, variance))
    torch.testing.assert_close(result.wrt_model, by_expected)
    torch.testing.assert_close(result.wrt_variance, by_variance)


@pytest.mark.parametrize("centric", [False, True])
def test_information_is_the_mean_square_of_the_slope(centric: bool) -> None:
    rng = np.random.default_rng(1)
    for expected in (0.1, 1.0, 5.0, 30.0):
        noise = rng.normal(size=(2, 200_000))
        observed = np.abs(expected + noise[0] * 2.0) if centric else np.hypot(expected + noise[0] * 2.0, noise[1] * 2.0)
        variance = torch.full((200_000,), 4.0 if centric else 8.0, dtype=F64)
        model, mask = torch.full_like(variance, expected), torch.full(variance.shape, centric)
        slope = amplitude_likelihood(torch.from_numpy(observed), model, variance, mask).wrt_model
        found = amplitude_information(model[:1], variance[:1], mask[:1])
        assert float(found) == pytest.approx(float(slope.square().mean()), rel=0.03)


@pytest.mark.parametrize("centric", [False, True])
def test_intensity_likelihood_against_direct_integration(centric: bool) -> None:
    cases = [
        (-3.0, 2.0, 0.5, 1.0),
        (0.5, 0.2, 1.2, 2.0),
        (4.0, 3.0, 1.0, 0.3),
        (100.0, 5.0, 9.0, 4.0),
        (25.0, 0.1, 4.0, 3.0),
    ]
    i, sigma, expected, variance = (torch.tensor(column, dtype=F64) for column in zip(*cases, strict=True))
    mask = torch.full((len(cases),), centric)
    found = intensity_likelihood(i, sigma, expected, variance, mask)
    f = torch.linspace(1e-7, 20.0, 400_001, dtype=F64)
    for n in range(len(cases)):
        full = torch.full_like(f, 1.0)
        prior = amplitude_likelihood(f, full * expected[n], full * variance[n], torch.full(f.shape, centric)).value
        gauss = 0.5 * ((i[n] - f.square()) / sigma[n]).square() + math.log(math.sqrt(2 * math.pi) * float(sigma[n]))
        value = -math.log(float(torch.trapezoid(torch.exp(-prior - gauss), f)))
        assert float(found.value[n]) == pytest.approx(value, abs=0.02)


@pytest.mark.parametrize("centric", [False, True])
def test_derivatives_of_the_intensity_likelihood(centric: bool) -> None:
    i = torch.tensor([-3.0, 0.5, 4.0, 100.0], dtype=F64)
    sigma = torch.tensor([2.0, 0.2, 3.0, 5.0], dtype=F64)
    expected = torch.tensor([0.5, 1.2, 1.0, 9.0], dtype=F64)
    variance = torch.tensor([1.0, 2.0, 0.3, 4.0], dtype=F64)
    mask = torch.full((4,), centric)

    def value(e, v):
        return intensity_likelihood(i, sigma, e, v, mask).value

    found = intensity_likelihood(i, sigma, expected, variance, mask)
    h = 1e-4
    slope = (value(expected + h, variance) - value(expected - h, variance)) / (2 * h)
    torch.testing.assert_close(found.wrt_model, slope, rtol=0.02, atol=0.01)
    slope = (value(expected, variance + h) - value(expected, variance - h)) / (2 * h)
    torch.testing.assert_close(found.wrt_variance, slope, rtol=0.02, atol=0.01)


def test_sharp_intensities_are_amplitudes() -> None:
    """With σ_I small, P(I) = P(F)/2F at F = √I."""
    f = torch.tensor([2.0, 7.0, 15.0], dtype=F64)
    expected, variance = torch.tensor([3.0, 6.0, 15.5], dtype=F64), torch.tensor([2.0, 3.0, 1.0], dtype=F64)
    mask = torch.zeros(3, dtype=torch.bool)
    sharp = intensity_likelihood(f.square(), torch.full_like(f, 1e-3), expected, variance, mask)
    plain = amplitude_likelihood(f, expected, variance, mask)
    torch.testing.assert_close(sharp.value, plain.value + torch.log(2 * f), atol=5e-3, rtol=0)
    torch.testing.assert_close(sharp.wrt_model, plain.wrt_model, atol=5e-3, rtol=5e-3)


def test_sigma_a_is_recovered() -> None:
    rng = np.random.default_rng(2)
    n = 4000
    s2 = torch.from_numpy(np.sort(rng.uniform(0.01, 0.3, n)))
    d_true, s_true = 0.95 - 1.0 * s2, 100.0 * torch.exp(-4.0 * s2)
    model = torch.from_numpy(rng.rayleigh(20.0, n))
    noise = torch.from_numpy(rng.normal(size=(2, n))) * (s_true / 2).sqrt()
    f_obs = torch.hypot(d_true * model + noise[0], noise[1])
    sigma, centric, epsilon = (
        torch.full((n,), 0.5, dtype=F64),
        torch.zeros(n, dtype=torch.bool),
        torch.ones(n, dtype=F64),
    )
    found = fit_sigma_a(amplitude_error_model(f_obs, sigma, model, centric, epsilon), s2, f_obs, model, epsilon)
    d, s = found.at(s2)
    assert float((d - d_true).abs().mean()) < 0.03
    assert float((s / s_true).log().abs().mean()) < 0.15


def test_restricted_phases_are_those_of_real_crystals() -> None:
    for space_group in ("P 21 21 21", "P 65 2 2", "I 21 3", "P -1"):
        crystal = triclinic_like(space_group)
        hkl = reflections_to(crystal, 2.2).hkl
        centric, _, _ = reflection_properties(crystal, hkl.numpy())
        first = restricted_phases(crystal, hkl.numpy())
        np.testing.assert_array_equal(np.isfinite(first), centric)
        pick = np.flatnonzero(centric)[:40]
        f = direct_summation(crystal, random_atoms(crystal, 4, seed=6), hkl[torch.from_numpy(pick)])
        strong = np.abs(f) > 1e-3
        assert np.abs(np.sin(np.angle(f) - first[pick]))[strong].max() < 1e-5


def phased(seed: int = 1):
    """Simulated data with phases known to about 40°."""
    atoms, reflections = simulated(seed)
    term = CrystalTerm(reflections)
    term.prepare(atoms)
    true = term.amplitudes.f_model.to(torch.complex128)
    unit = 2.5 * true / true.abs()
    hl = torch.stack([unit.real, unit.imag, torch.zeros_like(unit.real), torch.zeros_like(unit.real)], dim=1)
    return atoms, replace(reflections, hl=hl)


def test_phased_target_without_phases_is_the_amplitude_target() -> None:
    atoms, reflections = phased()
    blank = replace(reflections, hl=torch.full_like(reflections.hl, torch.nan))
    model = disturbed(atoms, 0.2)
    values, gradients = [], []
    for target in (None, PhasedTarget(blank)):
        term = CrystalTerm(blank, target)
        term.prepare(model)
        found = term.evaluate(model)
        values.append(found.value)
        gradients.append(found.gradient.xyz)
    assert values[0] == pytest.approx(values[1], abs=2.0)
    assert float((gradients[0] - gradients[1]).norm() / gradients[0].norm()) < 0.02


@pytest.mark.parametrize("kind", ["phased", "intensity", "least squares"])
def test_gradient_of_each_target(kind: str) -> None:
    atoms, reflections = phased()
    i_obs, sigma_i = reflections.f_obs.square(), 2.0 * reflections.f_obs * reflections.sigma_f_obs
    reflections = replace(reflections, i_obs=i_obs, sigma_i_obs=sigma_i)
    kinds = {"phased": PhasedTarget, "intensity": IntensityTarget, "least squares": LeastSquaresTarget}
    model = disturbed(atoms, 0.2)
    term = CrystalTerm(reflections, kinds[kind](reflections))
    term.prepare(model)
    assert term.statistics().r_work > 0.1
    found = term.evaluate(model)
    scale = float(found.gradient.xyz.abs().max())
    for n in range(0, len(atoms), 13):
        ends = []
        for sign in (1.0, -1.0):
            xyz = model.xyz.clone()
            xyz[n, 2] += sign * 0.01
            ends.append(term.value(replace(model, xyz=xyz)))
        assert (ends[0] - ends[1]) / 0.02 == pytest.approx(float(found.gradient.xyz[n, 2]), abs=7e-3 * scale)


def test_phases_pull_further_than_amplitudes() -> None:
    """From 1.2 Å rms, where amplitudes alone get lost."""
    atoms, reflections = phased()
    ends = {}
    for name, target in (("plain", None), ("phased", PhasedTarget(reflections))):
        model = disturbed(atoms, 1.2)
        term = CrystalTerm(reflections, target)
        term.prepare(model)
        for _ in range(12):
            found = term.evaluate(model)
            shift = torch.linalg.solve(found.fisher.xyz, found.gradient.xyz[:, :, None])[:, :, 0]
            model = replace(model, xyz=model.xyz - 0.6 * shift.clamp(-0.3, 0.3))
            term.update_scaling(model)
        ends[name] = float((model.xyz - atoms.xyz).norm(dim=1).median())
    assert ends["phased"] < 0.1
    assert ends["phased"] < 0.7 * ends["plain"]


def test_targets_without_their_data_say_so() -> None:
    _, reflections = simulated(count=5)
    from burnish.core.errors import InputError

    with pytest.raises(InputError, match="no intensities"):
        IntensityTarget(reflections)
    with pytest.raises(InputError, match="Hendrickson"):
        PhasedTarget(reflections)
