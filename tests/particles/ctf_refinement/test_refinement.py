"""The whole refinement: aberrations and magnification recovered, nothing claimed from noise, failures, resuming."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from tests.particles.ctf_refinement.ctf_blobs import NO_DEFOCUS, make_experiment, make_group, make_particles, on_device

from burnish.core.errors import DataError
from burnish.core.events import Event, Message, ignore
from burnish.optics.aberrations import odd_phase
from burnish.optics.ctf import phase_delay
from burnish.optics.frequency import magnified
from burnish.optics.magnification import carry_defocus, split_magnification
from burnish.particles.ctf_refinement.aberration_fit import COMA, SPHERICAL, TREFOIL, measured_cs, measured_tilt
from burnish.particles.ctf_refinement.refinement import (
    Pass,
    RefinementSettings,
    plan_passes,
    refine,
    start_refinement,
)

ABERRATIONS = RefinementSettings(defocus=NO_DEFOCUS, odd_order=3, even_order=0, magnification=False)


def run(experiment, wanted, notify=ignore, save=lambda state: None, state=None):
    return refine(experiment, wanted, state or start_refinement(experiment.particles), notify, save)


def test_recovers_tilt_and_trefoil():
    true = make_group(beam_tilt=(0.9e-3, -0.5e-3), odd_zernike=(0.0, 0.0, 0.0, 0.0, 0.0, 40.0))
    truth = make_particles(80, group=true)
    given = replace(truth, optics=(make_group(),))
    experiment = make_experiment(given, truth, 100.0)
    state = run(experiment, ABERRATIONS)
    k = experiment.planes[0].frequency.double()
    error = odd_phase(k, state.optics[0]) - odd_phase(k, true)
    assert error.square().mean().sqrt() < 0.1 < odd_phase(k, true).square().mean().sqrt()
    fit = state.fits.odd[0]
    assert set(fit.significant) == {COMA, TREFOIL}
    for found, expected in zip(measured_tilt(fit, true), true.beam_tilt, strict=True):
        assert abs(found.value - expected) < 4 * found.sigma < 0.4e-3


def test_strong_aberrations_that_wrap():
    true = make_group(beam_tilt=(-6e-3, 4e-3))
    truth = make_particles(80, group=true)
    experiment = make_experiment(replace(truth, optics=(make_group(),)), truth, 30.0)
    k = experiment.planes[0].frequency.double()
    assert odd_phase(k, true).abs().max() > 5.0
    state = run(experiment, ABERRATIONS)
    assert (odd_phase(k, state.optics[0]) - odd_phase(k, true)).square().mean().sqrt() < 0.1


def test_what_is_known_already_stays():
    true = make_group(beam_tilt=(0.9e-3, -0.5e-3), odd_zernike=(0.0, 0.0, 0.0, 0.0, 0.0, 40.0))
    truth = make_particles(40, group=true)
    state = run(make_experiment(truth, truth, 100.0), ABERRATIONS)
    assert state.optics[0].beam_tilt == true.beam_tilt
    assert state.optics[0].odd_zernike == true.odd_zernike


def test_nothing_is_claimed_from_noise():
    claimed = 0
    for seed in range(5):
        truth = make_particles(30, seed=seed)
        wanted = replace(ABERRATIONS, even_order=4)
        state = run(make_experiment(truth, truth, 300.0), wanted)
        claimed += bool(state.fits.odd[0].significant) + bool(state.fits.even[0].significant)
        for fit in (state.fits.odd[0], state.fits.even[0]):
            assert ((fit.measured - fit.start) / fit.sigma).abs().max() < 4.5
    assert claimed <= 1  # ten fits, eight families, each wrong once in 370


def test_recovers_cs():
    truth = make_particles(80, group=make_group(spherical_aberration=2.0e7))
    experiment = make_experiment(replace(truth, optics=(make_group(),)), truth, 30.0)
    state = run(experiment, replace(ABERRATIONS, odd_order=0, even_order=4))
    fit = state.fits.even[0]
    assert SPHERICAL in fit.significant
    cs = measured_cs(fit, make_group())
    assert abs(cs.value + 0.7e7) < 4 * cs.sigma
    k = experiment.planes[0].frequency.double()
    error = phase_delay(k, truth.defocus, state.optics[0]) - phase_delay(k, truth.defocus, truth.optics[0])
    assert error.square().mean().sqrt() < 0.1


def test_recovers_anisotropic_magnification():
    matrix = torch.tensor([[1.015, 0.004], [0.004, 0.995]], dtype=torch.float64)
    truth = make_particles(80, group=make_group(magnification=matrix))
    # defocus as it would have been fitted to the recorded images without knowledge of the magnification
    as_seen = carry_defocus(truth.defocus, matrix, torch.eye(2))
    given = replace(truth, optics=(make_group(),), defocus=as_seen)
    experiment = make_experiment(given, truth, 10.0)
    state = run(experiment, replace(ABERRATIONS, odd_order=0, magnification=True))
    fit = state.fits.magnification[0]
    error = fit.matrix - matrix
    assert error.abs().max() < 0.002
    assert float((error / fit.sigma).abs().max()) < 5
    parts = split_magnification(fit.matrix)
    assert parts.anisotropy == pytest.approx(0.021, abs=0.004)
    # the transfer function in the recorded image stays what it was, but for Cs
    k = experiment.planes[0].frequency.double()
    was = phase_delay(k, given.defocus, replace(given.optics[0], spherical_aberration=0.0))
    now = phase_delay(k, state.defocus, replace(state.optics[0], spherical_aberration=0.0))
    torch.testing.assert_close(now, was, rtol=1e-6, atol=1e-4)
    assert not torch.allclose(magnified(k, fit.matrix), k)


def test_plans():
    defocus = replace(NO_DEFOCUS, defocus="particle")
    both = RefinementSettings(defocus=defocus, odd_order=3, even_order=4, magnification=False)
    a, d, m = Pass.ABERRATIONS, Pass.DEFOCUS, Pass.MAGNIFICATION
    assert plan_passes(both) == (a, d, a, d, a)
    assert plan_passes(replace(both, even_order=0)) == (a, d, a)
    assert plan_passes(replace(both, odd_order=0, even_order=0)) == (d,)
    assert plan_passes(replace(both, odd_order=0)) == (d, a, d, a)
    assert plan_passes(replace(both, magnification=True)) == (m, m, m)
    assert plan_passes(replace(ABERRATIONS, odd_order=0)) == ()


def test_a_micrograph_that_fails_is_named_and_keeps_its_values():
    truth = make_particles(30, micrographs=3)
    experiment = make_experiment(truth, truth, 100.0)
    heard: list[Event] = []

    def load(rows):
        if int(truth.micrograph[rows[0]]) == 1:
            raise DataError("stack s.mrcs ends early")
        images = experiment.load(rows).clone()
        if int(truth.micrograph[rows[0]]) == 2:
            images[0, 0, 0] = torch.nan
        return images

    wanted = replace(ABERRATIONS, defocus=replace(NO_DEFOCUS, defocus="particle"))
    state = run(replace(experiment, load=load), wanted, heard.append)
    warnings = [e.text for e in heard if isinstance(e, Message) and e.level == "warning"]
    assert len(warnings) == 2 and "mic1.mrc" in warnings[0] and "ends early" in warnings[0]
    assert "mic2.mrc" in warnings[1] and "not finite" in warnings[1]
    assert set(state.failed) == {1, 2}
    kept = truth.micrograph > 0
    assert torch.equal(state.defocus.u[kept], truth.defocus.u[kept])
    assert not bool(state.fitted[kept].any()) and bool(state.fitted[~kept].all())
    assert state.fits.odd[0] is not None


def test_resuming_after_any_micrograph_gives_the_same_bits():
    truth = make_particles(36, micrographs=3)
    experiment = make_experiment(truth, truth, 100.0)
    wanted = replace(ABERRATIONS, defocus=replace(NO_DEFOCUS, defocus="particle"))
    saved = []
    whole = run(experiment, wanted, save=lambda s: saved.append(copy.deepcopy(s)))
    assert len(saved) == 3 * 3 + 3
    for checkpoint in saved[1::3]:
        again = run(experiment, wanted, state=checkpoint)
        assert torch.equal(again.defocus.u, whole.defocus.u)
        assert again.optics[0].odd_zernike == whole.optics[0].odd_zernike
        assert torch.equal(again.fits.odd[0].measured, whole.fits.odd[0].measured)


def test_a_cache_changes_nothing():
    truth = make_particles(24)
    experiment = make_experiment(truth, truth, 100.0)
    wanted = replace(ABERRATIONS, defocus=replace(NO_DEFOCUS, defocus="particle"))
    plain = run(experiment, wanted)
    for size in (10_000_000, 300_000):
        start = start_refinement(truth)
        cached = refine(experiment, wanted, start, ignore, lambda state: None, cache_bytes=size)
        assert torch.equal(plain.defocus.u, cached.defocus.u)


def test_threads_change_nothing():
    truth = make_particles(40, micrographs=8)
    experiment = make_experiment(truth, truth, 100.0)
    wanted = replace(ABERRATIONS, defocus=replace(NO_DEFOCUS, defocus="particle"))
    plain = run(experiment, wanted)
    many = refine(experiment, wanted, start_refinement(truth), ignore, lambda s: None, cache_bytes=10**7, threads=3)
    assert torch.equal(plain.defocus.u, many.defocus.u)
    assert torch.equal(plain.fits.odd[0].measured, many.fits.odd[0].measured)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_optics():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    truth = make_particles(40)
    experiment = make_experiment(truth, truth, 100.0)
    wanted = replace(ABERRATIONS, defocus=replace(NO_DEFOCUS, defocus="particle"), even_order=4)
    here = run(experiment, wanted)
    there = run(on_device(experiment, torch.device("cuda")), wanted)
    # single particles, float32 sums in another order: far below the uncertainty of some tens of Å
    assert (here.defocus.u - there.defocus.u).abs().max() < 1.0
    torch.testing.assert_close(there.fits.odd[0].measured, here.fits.odd[0].measured, rtol=1e-2, atol=1e-2)
