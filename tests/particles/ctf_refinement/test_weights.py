"""Noise, gain and memory of half maps, from sums with known answer and from images that a half map remembers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tests.particles.ctf_refinement.ctf_blobs import (
    BOX,
    PIXEL,
    blob_map,
    blob_positions,
    make_experiment,
    make_particles,
)

from burnish.core.errors import DataError
from burnish.particles.ctf_refinement.comparison import compare, split_into_chunks
from burnish.particles.ctf_refinement.half_plane import make_half_plane
from burnish.particles.ctf_refinement.refinement import prepare
from burnish.particles.ctf_refinement.weights import ShellSums, ShellWeights, estimate_weights, survey


def simulated_sums(memory: float, gain: float, n: int = 40000, shells: int = 6) -> tuple[ShellSums, float]:
    """Shells of coefficients: images with noise of power 4, half maps of signal 1 and noise 0.5, their memory."""
    g = torch.Generator().manual_seed(3)

    def normal(power: float) -> torch.Tensor:
        parts = torch.randn(2, shells, n, generator=g, dtype=torch.float64) * math.sqrt(power / 2)
        return torch.complex(parts[0], parts[1])

    transfer = torch.randn(shells, n, generator=g, dtype=torch.float64)
    signal = normal(1.0)
    image = gain * transfer * signal + normal(4.0)
    own, other = signal + normal(0.5) + memory * transfer * image, signal + normal(0.5)

    def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a.conj() * b).real

    return (
        ShellSums(
            image_power=image.abs().square().sum(1),
            with_own=(transfer * product(own, image)).sum(1),
            with_other=(transfer * product(other, image)).sum(1),
            model_power=(transfer.square() * own.abs().square()).sum(1),
            filtered_power=(transfer.square() * image.abs().square()).sum(1),
            count=torch.full((shells,), float(n), dtype=torch.float64),
        ),
        1.0 / 1.5,
    )


@pytest.mark.parametrize("memory", [0.0, 0.02])
def test_memory_gain_and_noise(memory):
    sums, reliability = simulated_sums(memory, 0.8)
    found = estimate_weights(sums, torch.full((6,), reliability, dtype=torch.float64))
    # the error of the memory: noise of the half maps against the images, sqrt(0.5 · ⟨C²|X|²⟩ n) / Σ C²|X|²
    assert (found.memory - memory).abs().max() < 3 * math.sqrt(0.5 / (4.6 * 40000 * 7))
    # what is remembered holds signal, too, which makes the model stronger by 2 · memory · gain · ⟨C⁴⟩/⟨C²⟩
    assert found.gain == pytest.approx(0.8, rel=0.03 + 4 * memory)
    assert (found.noise - 4.0).abs().max() < 0.15


def test_slope_of_the_reliability():
    plane = make_half_plane(BOX, PIXEL, 1 / 30, 1 / 4)
    s = torch.arange(BOX // 2 + 1, dtype=torch.float64) / (BOX * PIXEL)
    falling = ShellWeights(
        noise=torch.ones_like(s), gain=1.0, reliability=torch.exp(-3.0 * s), memory=torch.zeros_like(s)
    )
    torch.testing.assert_close(falling.reliability_slope(plane), torch.full((len(plane),), -3.0, dtype=torch.float64))
    ended = replace(falling, reliability=torch.where(s < 0.1, 1.0, 0.0).double())
    assert bool((ended.reliability_slope(plane) == 0).all())


def test_empty_shells_do_no_harm():
    sums, _ = simulated_sums(0.0, 1.0, n=2000)
    first = torch.tensor([0.0, 1, 1, 1, 1, 1], dtype=torch.float64)
    holes = ShellSums(**{n: getattr(sums, n) * first for n in ShellSums.__slots__})
    found = estimate_weights(holes, torch.full((6,), 0.6, dtype=torch.float64))
    for value in (found.noise, found.memory):
        assert bool(torch.isfinite(value).all())
    assert bool((found.noise > 0).all())


def test_survey_of_images():
    truth = make_particles(60, micrographs=6)
    experiment = make_experiment(truth, truth, 150.0)
    plane = experiment.planes[0]
    reliability = torch.ones(BOX // 2 + 1, dtype=torch.float64)
    (found,) = survey(truth, experiment.half_maps, (plane,), (reliability,), experiment.load)
    used = plane.shell.unique()
    assert found.gain == pytest.approx(1.0, abs=0.1)
    assert (found.noise[used] / 150.0 - 1.0).abs().max() < 0.25
    assert float(found.memory[used].max()) == pytest.approx(0.0, abs=1e-12)  # both half maps are the same


def test_survey_passes_over_what_cannot_be_read():
    truth = make_particles(30, micrographs=3)
    experiment = make_experiment(truth, truth, 150.0)
    reliability = (torch.ones(BOX // 2 + 1, dtype=torch.float64),)

    def load(rows: torch.Tensor) -> torch.Tensor:
        if int(truth.micrograph[rows[0]]) != 2:
            raise DataError("stack is gone")
        return experiment.load(rows)

    (found,) = survey(truth, experiment.half_maps, experiment.planes, reliability, load)
    assert found.gain > 0

    def nothing(rows: torch.Tensor) -> torch.Tensor:
        raise DataError("stack is gone")

    with pytest.raises(DataError, match="stack is gone"):
        survey(truth, experiment.half_maps, experiment.planes, reliability, nothing)


def test_half_maps_that_agree_too_little_are_refused():
    truth = make_particles(10)
    density = blob_map(blob_positions())
    shells = torch.arange(BOX // 2 + 1, dtype=torch.float64) / (BOX * PIXEL)
    fsc = torch.where(shells < 1 / 40, 0.9, 0.0).double()
    with pytest.raises(DataError, match=r"agree to .* Å only"):
        prepare(
            truth,
            (density, density),
            torch.ones_like(density),
            PIXEL,
            (fsc, shells),
            30.0,
            lambda rows: torch.zeros(len(rows), BOX, BOX),
            torch.device("cpu"),
        )


def test_swapped_half_maps_are_the_others():
    truth = make_particles(8)
    experiment = make_experiment(truth, truth, 1.0)
    double = replace(experiment.half_maps[1], values=2.0 * experiment.half_maps[1].values)
    maps = (experiment.half_maps[0], double)
    (chunk, _) = split_into_chunks(truth)
    images = experiment.load(chunk.rows)
    own = compare(truth, chunk, images, maps, experiment.planes[0])
    other = compare(truth, chunk, images, maps, experiment.planes[0], swap=True)
    factor = (truth.half_set[chunk.rows] == 1).float()[:, None] + 1.0
    torch.testing.assert_close(own.projection / factor, other.projection / (3.0 - factor))
