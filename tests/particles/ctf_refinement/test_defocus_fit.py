"""Defocus, astigmatism, phase shift and envelope: recovery, honest uncertainties, particles that say nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tests.particles.ctf_refinement.ctf_blobs import NO_DEFOCUS, make_experiment, make_particles, with_defocus

from burnish.core.events import ignore
from burnish.data.particles import Particles
from burnish.optics.ctf import defocus_coefficients
from burnish.particles.ctf_refinement.defocus_fit import DefocusSettings, Unit, spread_about_mean
from burnish.particles.ctf_refinement.refinement import (
    Experiment,
    RefinementSettings,
    State,
    refine,
    start_refinement,
)

NOISE = 200.0  # power of a coefficient; that of the signal is some tens


def settings(**changes: Unit | float) -> DefocusSettings:
    return replace(NO_DEFOCUS, **({"defocus": "particle"} | changes))  # type: ignore[arg-type]


def run(experiment: Experiment, defocus: DefocusSettings) -> State:
    wanted = RefinementSettings(defocus=defocus, odd_order=0, even_order=0, magnification=False)
    return refine(experiment, wanted, start_refinement(experiment.particles), ignore, lambda state: None)


def disturbed(truth: Particles, spread: float, seed: int = 11) -> Particles:
    g = torch.Generator().manual_seed(seed)
    error = spread * torch.randn(len(truth), generator=g, dtype=torch.float64)
    return with_defocus(truth, u=truth.defocus.u + error, v=truth.defocus.v + error)


def error_of(state: State, truth: Particles) -> torch.Tensor:
    return (state.defocus.u + state.defocus.v - truth.defocus.u - truth.defocus.v) / 2


def test_finds_the_defocus_of_each_particle():
    truth = make_particles(60)
    given = disturbed(truth, 400.0)
    before = given.defocus.u.clone()
    state = run(make_experiment(given, truth, NOISE), settings())
    error = error_of(state, truth)
    assert bool(state.fitted.all())
    assert error.square().mean().sqrt() < 80.0  # from 400 Å; the test below says that it is what the images allow
    z = error / state.sigma[:, 0]
    assert 0.6 < z.square().mean().sqrt() < 1.5  # uncertainties say how far off they are
    assert torch.equal(given.defocus.u, before)
    torch.testing.assert_close(state.defocus.u - state.defocus.v, truth.defocus.u - truth.defocus.v)
    assert torch.equal(state.defocus.angle, truth.defocus.angle)


def test_one_value_for_a_micrograph():
    truth = make_particles(40)
    offset = torch.where(truth.micrograph == 0, 700.0, -500.0)
    given = with_defocus(truth, u=truth.defocus.u + offset, v=truth.defocus.v + offset)
    state = run(make_experiment(given, truth, NOISE), settings(defocus="micrograph"))
    change = state.defocus.u - given.defocus.u
    for micrograph, expected in ((0, -700.0), (1, 500.0)):
        found = change[truth.micrograph == micrograph]
        assert float(found.std()) < 1e-6
        assert abs(float(found[0]) - expected) < 4 * float(state.sigma[truth.micrograph == micrograph, 0][0]) < 100


@pytest.mark.parametrize(("unit", "noise", "limit"), [("particle", 20.0, 60.0), ("micrograph", NOISE, 40.0)])
def test_astigmatism(unit, noise, limit):
    truth = make_particles(40)
    given = disturbed(truth, 100.0)
    given = with_defocus(given, u=given.defocus.u + 150, v=given.defocus.v - 150, angle=given.defocus.angle + 0.4)
    state = run(make_experiment(given, truth, noise), settings(astigmatism=unit))
    error = defocus_coefficients(state.defocus) - defocus_coefficients(truth.defocus)
    assert error[:, 1:].square().mean().sqrt() < limit
    assert bool((state.sigma[:, 1] > 0).all())


def test_phase_shift_of_a_micrograph():
    truth = make_particles(60)
    truth = with_defocus(truth, phase_shift=truth.defocus.phase_shift + 1.0)
    given = with_defocus(truth, phase_shift=truth.defocus.phase_shift - 0.3)
    state = run(make_experiment(given, truth, NOISE), settings(defocus="no", phase_shift="micrograph"))
    assert (state.defocus.phase_shift - 1.0).abs().max() < 0.1
    assert torch.equal(state.defocus.u, given.defocus.u)


def test_envelope_of_a_micrograph():
    truth = make_particles(60)
    truth = with_defocus(truth, b_factor=torch.full((60,), 30.0, dtype=torch.float64), scale=truth.defocus.scale * 0.8)
    given = with_defocus(
        truth, b_factor=torch.zeros(60, dtype=torch.float64), scale=torch.ones(60, dtype=torch.float64)
    )
    state = run(make_experiment(given, truth, 50.0), settings(defocus="no", b_factor="micrograph"))
    assert (state.defocus.b_factor - 30.0).abs().max() < 12.0
    assert (state.defocus.scale - 0.8).abs().max() < 0.08


def test_a_particle_without_signal_stays_by_its_micrograph():
    truth = make_particles(60, micrographs=1)
    given = disturbed(truth, 100.0)
    experiment = make_experiment(given, truth, NOISE)
    g = torch.Generator().manual_seed(5)
    images = experiment.load(torch.arange(60)).clone()
    images[7] = math.sqrt(NOISE) / images.shape[-1] * torch.randn(images.shape[1:], generator=g)
    state = run(replace(experiment, load=lambda rows: images[rows]), settings())
    mean = float((state.defocus.u + state.defocus.v).mean()) / 2
    lost = float(state.defocus.u[7] + state.defocus.v[7]) / 2
    assert abs(lost - mean) < 250.0  # the truth spreads by 60 Å; the search reaches 2,000 Å


def test_batch_equals_single_micrographs():
    truth = make_particles(30, micrographs=3)
    given = disturbed(truth, 300.0)
    experiment = make_experiment(given, truth, NOISE)
    whole = run(experiment, settings(spread=100.0))
    rows = (given.micrograph == 1).nonzero()[:, 0]
    # the same micrograph with the others' images spoilt
    images = experiment.load(torch.arange(30)).clone()
    images[given.micrograph != 1] = 0.0
    alone = run(replace(experiment, load=lambda r: images[r]), settings(spread=100.0))
    assert torch.equal(whole.defocus.u[rows], alone.defocus.u[rows])


def test_spread_is_freed_from_the_uncertainties():
    g = torch.Generator().manual_seed(9)
    truth = 1000 + 80 * torch.randn(3000, generator=g, dtype=torch.float64)
    sigma = 40 + 60 * torch.rand(3000, generator=g, dtype=torch.float64)
    value = truth + sigma * torch.randn(3000, generator=g, dtype=torch.float64)
    value[:60] += 5000  # lost ones
    mean, spread = spread_about_mean(value, sigma, 300.0)
    assert mean == pytest.approx(1000, abs=8)
    assert spread == pytest.approx(80, rel=0.1)


def test_spread_of_few_or_no_values():
    sigma = torch.ones(3, dtype=torch.float64)
    assert spread_about_mean(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), sigma, 300.0) == (2.0, 300.0)
    assert spread_about_mean(sigma[:0], sigma[:0], 300.0) == (0.0, 300.0)
    nan = torch.full((10,), math.nan, dtype=torch.float64)
    assert spread_about_mean(nan, nan, 300.0) == (0.0, 300.0)
