"""What errors of phase cost, phase images, and the numbers behind the report's sentences."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.particles.ctf_refinement.ctf_blobs import NO_DEFOCUS, make_experiment, make_group, make_particles

from burnish.core.events import ignore
from burnish.optics.aberrations import odd_phase
from burnish.particles.ctf_refinement.findings import estimate_loss, find, kept_by_shell, kept_under_defocus
from burnish.particles.ctf_refinement.half_plane import make_half_plane
from burnish.particles.ctf_refinement.phase_images import observed_even, observed_odd, phase_image
from burnish.particles.ctf_refinement.refinement import RefinementSettings, refine, start_refinement
from burnish.particles.ctf_refinement.weights import ShellWeights, reliability_of_shells


def weights(fsc: torch.Tensor) -> ShellWeights:
    return ShellWeights(noise=torch.ones_like(fsc), gain=1.0, reliability=fsc, memory=torch.zeros_like(fsc))


def test_signal_left_by_a_defocus_error():
    group = make_group(box_size=64, pixel_size=1.0)
    kept = kept_under_defocus(torch.tensor([100.0, -100.0]), group, 33)
    turn = math.pi * 0.0196875 * 100.0 * (20 / 64) ** 2
    assert kept[0] == 1.0
    assert kept[20].item() == pytest.approx(math.cos(turn), abs=1e-5)


def test_signal_left_by_a_phase_error():
    plane = make_half_plane(32, 1.0, 0.0, 0.45)
    kept = kept_by_shell(torch.full((len(plane),), math.pi / 3), plane, 20)
    inside = torch.zeros(20, dtype=torch.bool)
    inside[plane.shell.unique()] = True
    torch.testing.assert_close(kept[inside], torch.full_like(kept[inside], 0.5), rtol=0, atol=1e-6)
    assert bool((kept[~inside] == 1.0).all())


def test_resolution_gained_without_the_error():
    plane = make_half_plane(64, 1.0, 0.0, 0.49)
    s = torch.arange(33, dtype=torch.float64) / 64
    ratio = 10.0 * torch.exp(-((s / 0.15) ** 2))
    fsc = ratio / (1 + ratio)
    loss = estimate_loss(torch.full((33,), 0.5, dtype=torch.float64), weights(fsc), plane)
    # FSC = 0.143 where the ratio is 1/6; without the error where it is 1/24
    expected = [1 / (0.15 * math.sqrt(math.log(10.0 * n))) for n in (6, 24)]
    assert loss.crossed
    assert loss.kept_fraction == 0.5
    assert (loss.resolution_with, loss.resolution_without) == pytest.approx(expected, rel=0.01)
    nothing = estimate_loss(torch.ones(33, dtype=torch.float64), weights(fsc), plane)
    assert nothing.resolution_without == nothing.resolution_with


def test_a_curve_that_never_falls_is_limited_by_the_data():
    plane = make_half_plane(64, 1.0, 0.0, 0.49)
    loss = estimate_loss(torch.full((33,), 0.5), weights(torch.full((33,), 0.9, dtype=torch.float64)), plane)
    assert not loss.crossed
    assert loss.resolution_with == pytest.approx(64 / int(plane.shell.max()))


def test_reliability_ends_where_two_shells_fail():
    frequency = torch.arange(6) * 0.1
    fsc = torch.tensor([1.0, 0.9, 0.02, 0.5, 0.01, 0.03], dtype=torch.float64)
    found = reliability_of_shells(fsc, frequency, torch.tensor([0.0, 0.1, 0.15, 0.3, 0.35, 0.4, 0.5, 0.9]))
    expected = torch.tensor([1.0, 0.9, 0.46, 0.5, 0.25, 0.0, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_images_show_the_phase_that_was_put_in():
    true = make_group(beam_tilt=(3e-3, -2e-3), spherical_aberration=2.5e7)
    truth = make_particles(60, group=true)
    given = make_group()
    experiment = make_experiment(replace(truth, optics=(given,)), truth, 20.0)
    wanted = RefinementSettings(defocus=NO_DEFOCUS, odd_order=3, even_order=4, magnification=False)
    state = refine(experiment, wanted, start_refinement(experiment.particles), ignore, lambda s: None)
    sums, plane = state.fits.sums[0], experiment.planes[0]
    assert sums is not None
    k = plane.frequency.double()
    expected = phase_image(odd_phase(k, true) - odd_phase(k, given), plane, odd=True)
    seen = observed_odd(sums, odd_phase(k, given), plane)
    assert seen.shape == expected.shape
    assert (np.isnan(seen) == np.isnan(expected)).all()
    inner = np.isfinite(seen)
    assert np.sqrt(np.mean(np.angle(np.exp(1j * (seen - expected)))[inner] ** 2)) < 0.35
    np.testing.assert_allclose(seen[inner], -seen[::-1, ::-1][inner], atol=1e-9)  # antisymmetric
    even = observed_even(sums, plane)
    np.testing.assert_allclose(even[inner], even[::-1, ::-1][inner], atol=1e-9)


def test_findings_of_a_group():
    true = make_group(beam_tilt=(1.2e-3, -0.6e-3))
    truth = make_particles(60, group=true)
    experiment = make_experiment(replace(truth, optics=(make_group(),)), truth, 50.0)
    wanted = RefinementSettings(defocus=NO_DEFOCUS, odd_order=3, even_order=0, magnification=False)
    state = refine(experiment, wanted, start_refinement(experiment.particles), ignore, lambda s: None)
    (found,) = find(experiment, state)
    assert found.significant == ("beam tilt (coma)",)
    tilt = [t for t in found.terms if t.name.startswith("beam tilt")]
    assert [t.value for t in tilt] == pytest.approx([1.2, -0.6], abs=4 * tilt[0].sigma)
    assert all(t.taken for t in tilt) and not any(t.taken for t in found.terms if "trefoil" in t.name)
    assert found.fitted == 0 and found.defocus_loss is None
    assert found.aberration_loss is not None
    theta = torch.linspace(0, 2 * math.pi, 720, dtype=torch.float64)
    middle = 15.75 / (48 * 1.2)  # shell 16 is cut in its middle by the limit of the data, 3.6 Å
    ring = torch.stack([theta.cos(), theta.sin()], dim=1) * middle
    expected = float((odd_phase(ring, state.optics[0]) - odd_phase(ring, make_group())).cos().mean())
    assert found.aberration_loss.kept_fraction == pytest.approx(expected, abs=0.03)
