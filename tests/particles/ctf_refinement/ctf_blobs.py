"""A small experiment with known truth: Gaussian blobs, whose projections are exact, imaged by the transfer function."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import roma
import torch
from torch import Tensor

from burnish.data.optics import Defocus, OpticsGroup
from burnish.data.particles import Particles, Poses
from burnish.optics.aberrations import odd_factor
from burnish.optics.ctf import ctf
from burnish.optics.frequency import image_frequencies, magnified
from burnish.particles.ctf_refinement.defocus_fit import DefocusSettings
from burnish.particles.ctf_refinement.half_plane import make_half_plane
from burnish.particles.ctf_refinement.reference import transform_reference
from burnish.particles.ctf_refinement.refinement import Experiment
from burnish.particles.ctf_refinement.weights import ShellWeights

BOX, PIXEL = 48, 1.2
MAX_FREQUENCY = 1 / 3.6
NO_DEFOCUS = DefocusSettings(
    defocus="no",
    astigmatism="no",
    phase_shift="no",
    b_factor="no",
    search_range=2000.0,
    spread=None,
    default_spread=200.0,
)


def blob_positions(count: int = 60, radius: float = 14.0, seed: int = 3) -> Tensor:
    """Centres of the blobs, Å. (count, 3) float64"""
    g = torch.Generator().manual_seed(seed)
    direction = torch.randn(count, 3, generator=g, dtype=torch.float64)
    length = radius * torch.rand(count, 1, generator=g, dtype=torch.float64) ** (1 / 3)
    return direction / direction.norm(dim=1, keepdim=True) * length


def exact_projection(rotation: Tensor, frequency: Tensor, positions: Tensor, variance: float = 1.0) -> Tensor:
    """Transform of the projected blobs at frequencies (..., 2), of unit integral each. (n, ...) complex128"""
    k = frequency.double()
    seen = torch.einsum("nab,cb->nca", rotation[:, :2].double(), positions)
    phase = -2 * math.pi * torch.einsum("nca,...a->nc...", seen, k)
    envelope = torch.exp(-2 * math.pi**2 * variance * k.square().sum(dim=-1))
    return torch.polar(torch.ones_like(phase), phase).sum(dim=1) * envelope


def blob_map(positions: Tensor, variance: float = 1.0) -> Tensor:
    """The blobs on the grid, so that sums over voxels are integrals. (BOX, BOX, BOX) float32"""
    axis = (torch.arange(BOX, dtype=torch.float64) - BOX // 2) * PIXEL
    one = torch.exp(-((axis - positions[..., None]) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance) * PIXEL
    return torch.einsum("cz,cy,cx->zyx", one[:, 2], one[:, 1], one[:, 0]).float()


def make_group(**changes: object) -> OpticsGroup:
    values: dict[str, object] = {
        "name": "a",
        "voltage": 300e3,
        "spherical_aberration": 2.7e7,
        "amplitude_contrast": 0.1,
        "pixel_size": PIXEL,
        "box_size": BOX,
    }
    return OpticsGroup(**(values | changes))  # type: ignore[arg-type]


def make_particles(count: int, micrographs: int = 2, seed: int = 1, group: OpticsGroup | None = None) -> Particles:
    """Particles of one optics group, random in orientation, 60 Å of defocus spread about their micrograph."""
    g = torch.Generator().manual_seed(seed)
    micrograph = torch.arange(count) % micrographs
    mean = torch.linspace(9000, 14000, micrographs, dtype=torch.float64)[micrograph]
    own = 60.0 * torch.randn(count, generator=g, dtype=torch.float64)
    zero = torch.zeros(count, dtype=torch.float64)
    quaternion = torch.randn(count, 4, generator=g, dtype=torch.float64)
    quaternion = quaternion / quaternion.norm(dim=1, keepdim=True)
    return Particles(
        stack=zero.long(),
        slice_index=torch.arange(count),
        stacks=("s.mrcs",),
        optics=(group or make_group(),),
        optics_index=zero.long(),
        defocus=Defocus(
            u=mean + own + 100, v=mean + own - 100, angle=zero + 0.5, phase_shift=zero, b_factor=zero, scale=zero + 1
        ),
        poses=Poses(
            rotation=roma.unitquat_to_rotmat(quaternion),
            shift=2.0 * torch.randn(count, 2, generator=g, dtype=torch.float64),
        ),
        half_set=torch.arange(count) % 2,
        micrograph=micrograph,
        micrographs=tuple(f"mic{m}.mrc" for m in range(micrographs)),
        group=micrograph,
        coordinate=torch.zeros(count, 2, dtype=torch.float64),
    )


def record_images(truth: Particles, noise: float, seed: int = 7) -> Tensor:
    """Images under the true optics, with white noise of power `noise` a Fourier coefficient. (n, BOX, BOX) float32"""
    assert truth.poses is not None
    optics = truth.optics[0]
    frequency = image_frequencies(BOX, PIXEL, dtype=torch.float64)
    signal = exact_projection(truth.poses.rotation, magnified(frequency, optics.magnification), blob_positions())
    signal = signal * ctf(frequency, truth.defocus, optics) * odd_factor(frequency, optics)
    phase = 2 * math.pi * torch.einsum("nd,yxd->nyx", truth.poses.shift + (BOX // 2) * -PIXEL, frequency)
    signal = signal * torch.polar(torch.ones_like(phase), phase)
    images = torch.fft.irfft2(signal, s=(BOX, BOX))
    g = torch.Generator().manual_seed(seed)
    return (images + math.sqrt(noise) / BOX * torch.randn(images.shape, generator=g, dtype=torch.float64)).float()


def make_experiment(given: Particles, truth: Particles, noise: float) -> Experiment:
    """Experiment with the true map as both half maps and the true weights."""
    density = blob_map(blob_positions())
    mask = torch.ones_like(density)
    reference = transform_reference(density, mask, PIXEL, MAX_FREQUENCY * 1.1)
    plane = make_half_plane(BOX, PIXEL, 1 / 30, MAX_FREQUENCY)
    shells = BOX // 2 + 1
    weights = ShellWeights(
        noise=torch.full((shells,), noise, dtype=torch.float64),
        gain=1.0,
        reliability=torch.ones(shells, dtype=torch.float64),
        memory=torch.zeros(shells, dtype=torch.float64),
    )
    images = record_images(truth, noise)
    return Experiment(
        particles=given,
        half_maps=(reference, reference),
        planes=(plane,),
        weights=(weights,),
        load=lambda rows: images[rows],
    )


def with_defocus(particles: Particles, **changes: Tensor) -> Particles:
    """The particles with some defocus values replaced."""
    return replace(particles, defocus=replace(particles.defocus, **changes))


def on_device(experiment: Experiment, device: torch.device) -> Experiment:
    """The experiment with everything but the images and the particle table moved."""

    def moved(record: Any) -> Any:
        tensors = {f.name: getattr(record, f.name) for f in fields(record)}
        return replace(record, **{n: v.to(device) for n, v in tensors.items() if isinstance(v, Tensor)})

    return replace(
        experiment,
        half_maps=(moved(experiment.half_maps[0]), moved(experiment.half_maps[1])),
        planes=tuple(moved(p) for p in experiment.planes),
        weights=tuple(moved(w) for w in experiment.weights),
    )
