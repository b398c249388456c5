"""Particle images with known truth: projections of a map, with optics, shifts and noise.

Everything that a refinement has to find is drawn here and kept; the field's usual tests simulate with the program that
is tested, so that a wrong convention cancels out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from burnish.data.optics import Defocus, OpticsGroup
from burnish.data.particles import Particles, Poses
from burnish.fourier.resize import window
from burnish.fourier.transforms import centred_rfft
from burnish.optics.aberrations import odd_factor
from burnish.optics.ctf import ctf
from burnish.optics.frequency import image_frequencies, magnified


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """How particles lie and were imaged.

    Attributes
    ----------
    particles, micrographs : how many.
    preferred : share of the particles that lie in the preferred view, z towards the beam.
    preferred_spread : standard deviation of their tilt about it, rad.
    shift : standard deviation of each component of the shift, Å.
    defocus : lowest and highest mean defocus of a micrograph, Å.
    defocus_spread : standard deviation of a particle's defocus about its micrograph's, Å.
    astigmatism : highest difference of the two defocus values, Å.
    scale_spread : intensity scale of a micrograph, drawn from 1 ± this.
    """

    particles: int
    micrographs: int
    preferred: float = 0.0
    preferred_spread: float = 0.2
    shift: float = 0.0
    defocus: tuple[float, float] = (8000.0, 25000.0)
    defocus_spread: float = 0.0
    astigmatism: float = 0.0
    scale_spread: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseModel:
    """Noise and damage.

    Attributes
    ----------
    snr : variance of the signal over that of the noise, per pixel in the particle's circle; None for no noise.
    coloured : share of the noise power that lies at low resolution.
    colour_resolution : resolution about which it falls off, Å.
    diameter : of the particle's circle, Å.
    dose : electrons per Å² whose damage dims high resolution; 0 for none.
    """

    snr: float | None
    coloured: float = 0.0
    colour_resolution: float = 25.0
    diameter: float
    dose: float = 0.0


def draw_rotations(count: int, preferred: float, spread: float, generator: torch.Generator) -> Tensor:
    """Rotation matrices A (x_image = A x_reference), uniform but for a share near the view along z. (count, 3, 3)"""
    q = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    w, x, y, z = (q / q.norm(dim=1, keepdim=True)).unbind(1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    uniform = torch.stack([torch.stack(r, dim=-1) for r in rows], dim=-2)
    tilt = spread * torch.randn(count, 2, generator=generator, dtype=torch.float64).norm(dim=1)
    turn = 2 * math.pi * torch.rand(count, 2, generator=generator, dtype=torch.float64)
    near = _about_z(turn[:, 0]) @ _about_y(tilt) @ _about_z(turn[:, 1])
    chosen = torch.rand(count, generator=generator, dtype=torch.float64) < preferred
    return torch.where(chosen[:, None, None], near, uniform)


def draw_particles(scene: Scene, optics: tuple[OpticsGroup, ...], stack: str, generator: torch.Generator) -> Particles:
    """Draw what the images shall show; micrographs are dealt to the optics groups in turn."""
    n, m = scene.particles, scene.micrographs
    micrograph = (torch.arange(n) * m) // n

    def uniform(count: int, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)

    mean, difference = uniform(m, *scene.defocus)[micrograph], uniform(m, 0.0, scene.astigmatism)[micrograph]
    own = scene.defocus_spread * torch.randn(n, generator=generator, dtype=torch.float64)
    zero = torch.zeros(n, dtype=torch.float64)
    defocus = Defocus(
        u=mean + own + difference / 2,
        v=mean + own - difference / 2,
        angle=uniform(m, 0.0, math.pi)[micrograph],
        phase_shift=zero,
        b_factor=zero,
        scale=uniform(m, 1 - scene.scale_spread, 1 + scene.scale_spread)[micrograph],
    )
    poses = Poses(
        rotation=draw_rotations(n, scene.preferred, scene.preferred_spread, generator),
        shift=scene.shift * torch.randn(n, 2, generator=generator, dtype=torch.float64),
    )
    return Particles(
        stack=torch.zeros(n, dtype=torch.int64),
        slice_index=torch.arange(n),
        stacks=(stack,),
        optics=optics,
        optics_index=micrograph % len(optics),
        defocus=defocus,
        poses=poses,
        half_set=torch.randperm(n, generator=generator) % 2,
        micrograph=micrograph,
        micrographs=tuple(f"micrographs/mic{i + 1:04d}.mrc" for i in range(m)),
        group=micrograph,
        coordinate=(200 + 3300 * torch.rand(n, 2, generator=generator, dtype=torch.float64)).round(decimals=1),
    )


def nominal(optics: OpticsGroup) -> OpticsGroup:
    """The optics group as a microscope's log has it: no tilt, no aberrations, no magnification error."""
    return replace(
        optics,
        beam_tilt=(0.0, 0.0),
        odd_zernike=None,
        even_zernike=None,
        magnification=torch.eye(2, dtype=torch.float64),
    )


def disturb_defocus(particles: Particles, error: float, generator: torch.Generator, *, own: bool) -> Particles:
    """Give each particle its own defocus (own) or its micrograph's mean, with Gaussian errors of deviation `error`, Å.

    The scale is taken away: no program that estimates defocus reports it.
    """
    d = particles.defocus
    change = error * torch.randn(len(particles), generator=generator, dtype=torch.float64)
    if not own:
        mean = (d.u + d.v) / 2
        count = torch.bincount(particles.micrograph)
        per_micrograph = torch.bincount(particles.micrograph, mean) / count.clamp_min(1)
        change = change + per_micrograph[particles.micrograph] - mean
    return replace(particles, defocus=replace(d, u=d.u + change, v=d.v + change, scale=torch.ones_like(d.scale)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Projector:
    """A map's transform, ready for central slices.

    Attributes
    ----------
    volume : padded transform about the centre, kz and ky running −n/2 … n/2 − 1, kx 0 … n/2; complex64.
    box : of the images, pixels.
    padding : how much larger the padded box is.
    """

    volume: Tensor
    box: int
    padding: int


def make_projector(density: Tensor, padding: int | None = None) -> Projector:
    """Prepare a cubic map for slicing by linear interpolation.

    The box is padded three times, or twice where that would take gigabytes: truth should be truer than what programs
    that pad twice reconstruct from it. The map is divided by sinc² of the radius first, by which linear interpolation
    in Fourier space multiplies it.
    """
    n = len(density)
    padding = padding or (3 if n <= 192 else 2)
    r = (torch.arange(n, dtype=torch.float64) - n // 2) / (n * padding)
    squared = (r[:, None, None] ** 2 + r[:, None] ** 2 + r**2).sqrt()
    corrected = density / torch.special.sinc(squared).square().to(density)
    padded = window(corrected, (n * padding,) * 3)
    return Projector(volume=torch.fft.fftshift(centred_rfft(padded, 3), dim=(0, 1)), box=n, padding=padding)


def slices(projector: Projector, rotation: Tensor, magnification: Tensor) -> Tensor:
    """Central slices about the image centre, (n, box, box//2 + 1) complex64.

    Notes
    -----
    The transform of a projection at k = (x, y) is that of the map at Aᵀ·(M k, 0).
    """
    box, pad = projector.box, projector.padding
    k = magnified(image_frequencies(box, 1.0, dtype=torch.float64), magnification) * (box * pad)
    plane = torch.cat([k, torch.zeros_like(k[..., :1])], dim=-1).reshape(-1, 3)
    at = (plane @ rotation.double()).float()  # rows times A = Aᵀ times columns; (n, pixels, 3)
    flipped = at[..., 0] < 0
    at = torch.where(flipped[..., None], -at, at)
    values = _interpolate(projector.volume, at)
    values = torch.where(flipped, values.conj(), values)
    inside = at.square().sum(-1) <= (box * pad / 2 - 1) ** 2
    return torch.where(inside, values, 0).reshape(len(rotation), box, box // 2 + 1)


def _interpolate(volume: Tensor, at: Tensor) -> Tensor:
    """Linear interpolation at (x, y, z) with x ≥ 0, wave numbers of the padded box."""
    n = len(volume)
    low = at.floor()
    part = at - low
    x, y, z = low.long().unbind(-1)
    flat = volume.reshape(-1)
    total = torch.zeros(at.shape[:-1], dtype=volume.dtype)
    for dz in (0, 1):
        for dy in (0, 1):
            for dx in (0, 1):
                row = (z + (dz + n // 2)).clamp(0, n - 1) * n + (y + (dy + n // 2)).clamp(0, n - 1)
                index = row * volume.shape[-1] + (x + dx).clamp(0, volume.shape[-1] - 1)
                w = (part[..., 0] if dx else 1 - part[..., 0]) * (part[..., 1] if dy else 1 - part[..., 1])
                total += flat[index] * (w * (part[..., 2] if dz else 1 - part[..., 2]))
    return total


def clean_transforms(projector: Projector, particles: Particles, rows: Tensor, noise: NoiseModel) -> Tensor:
    """Transforms of the noiseless images about the centre, (n, box, box//2 + 1); all rows of one optics group."""
    if particles.poses is None:
        raise ValueError("simulation needs poses")
    optics = particles.optics[int(particles.optics_index[rows[0]])]
    f = image_frequencies(optics.box_size, optics.pixel_size)
    d = particles.defocus
    defocus = Defocus(**{k: getattr(d, k)[rows] for k in ("u", "v", "angle", "phase_shift", "b_factor", "scale")})
    image = slices(projector, particles.poses.rotation[rows], optics.magnification)
    # the shift brings the particle to the centre: before it, the particle lies at −shift
    turn = 2 * math.pi * torch.einsum("hwc,nc->nhw", f, particles.poses.shift[rows].float())
    image = image * torch.polar(torch.ones_like(turn), turn) * ctf(f, defocus, optics) * odd_factor(f, optics)
    if noise.dose > 0:
        image = image * dose_envelope(f.norm(dim=-1), noise.dose)
    return image


def dose_envelope(s: Tensor, dose: float) -> Tensor:
    """Amplitude left of frequency s (Å⁻¹) in an image summed over `dose` electrons per Å² at 300 kV.

    Notes
    -----
    Mean of exp(−N/2N_c) over the exposure, N_c = 0.245 s^−1.665 + 2.81 (Grant & Grigorieff 2015, eLife 4, e06980).
    """
    critical = 2.0 * (0.245 * s.clamp_min(1e-4) ** -1.665 + 2.81)
    return -critical / dose * torch.expm1(-dose / critical)


def noise_power(box: int, pixel_size: float, noise: NoiseModel) -> Tensor:
    """Relative noise power of each coefficient of the half transform, mean 1; (box, box//2 + 1)."""
    s = image_frequencies(box, pixel_size).norm(dim=-1)
    low = torch.exp(-0.5 * (s * noise.colour_resolution).square())
    counted = torch.full_like(low, 2.0)
    counted[:, 0] = 1.0
    if box % 2 == 0:
        counted[:, -1] = 1.0
    return (1.0 - noise.coloured) + noise.coloured * low / ((low * counted).sum() / box**2)


def signal_deviation(
    projector: Projector, particles: Particles, noise: NoiseModel, generator: torch.Generator
) -> float:
    """Standard deviation of the noiseless signal in the circle, over up to 64 particles."""
    variances = []
    for rows in rows_of_one_optics(particles, 32, torch.randperm(len(particles), generator=generator)[:64]):
        images = _to_images(clean_transforms(projector, particles, rows, noise), projector.box)
        inside = circle(
            projector.box, particles.optics[int(particles.optics_index[rows[0]])].pixel_size, noise.diameter
        )
        variances.append(images[:, inside].var(dim=1))
    return float(torch.cat(variances).mean().sqrt())


def render(
    projector: Projector,
    particles: Particles,
    rows: Tensor,
    noise: NoiseModel,
    deviation: float,
    generator: torch.Generator,
) -> Tensor:
    """Images of some particles of one optics group, background mean 0 and deviation 1 where there is noise."""
    optics = particles.optics[int(particles.optics_index[rows[0]])]
    box = optics.box_size
    f = clean_transforms(projector, particles, rows, noise)
    if noise.snr is None:
        return _to_images(f, box)
    amplitude = noise_power(box, optics.pixel_size, noise).sqrt() * (deviation / math.sqrt(noise.snr))
    white = torch.fft.rfft2(torch.randn(len(rows), box, box, generator=generator))
    images = _to_images(f + white * amplitude, box)
    outside = ~circle(box, optics.pixel_size, min(noise.diameter, (box - 8) * optics.pixel_size))
    background = images[:, outside]
    return (images - background.mean(dim=1)[:, None, None]) / background.std(dim=1)[:, None, None]


def rows_of_one_optics(particles: Particles, size: int, rows: Tensor | None = None) -> list[Tensor]:
    """Rows in batches of at most `size`, each of one optics group."""
    chosen = torch.arange(len(particles)) if rows is None else rows
    batches: list[Tensor] = []
    for group in range(len(particles.optics)):
        mine = chosen[particles.optics_index[chosen] == group]
        batches += [b for b in mine.split(size) if len(b)]
    return batches


def circle(box: int, pixel_size: float, diameter: float) -> Tensor:
    """Pixels within a circle about the centre n//2; (box, box) bool."""
    x = (torch.arange(box) - box // 2) * pixel_size
    return (x[:, None] ** 2 + x**2).sqrt() < diameter / 2


def _to_images(f: Tensor, box: int) -> Tensor:
    return torch.fft.fftshift(torch.fft.irfft2(f, s=(box, box)), dim=(-2, -1))


def _about_z(angle: Tensor) -> Tensor:
    c, s, o = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = [[c, s, o], [-s, c, o], [o, o, o + 1]]
    return torch.stack([torch.stack(r, dim=-1) for r in rows], dim=-2)


def _about_y(angle: Tensor) -> Tensor:
    c, s, o = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = [[c, o, -s], [o, o + 1, o], [s, o, c]]
    return torch.stack([torch.stack(r, dim=-1) for r in rows], dim=-2)
