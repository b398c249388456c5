"""Particle images made ready for comparison: recentred, masked, transformed, freed of antisymmetric phase, with their
CTF."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.data.optics import Defocus, OpticsGroup
from burnish.optics.aberrations import odd_factor
from burnish.optics.ctf import ctf, phase_delay
from burnish.particles.lattice import Lattice

EDGE = 5.0  # width of the soft edge of the round mask, px, as RELION's default


@dataclass(frozen=True, slots=True, kw_only=True)
class CtfMode:
    """How images carry the contrast transfer function.

    Attributes
    ----------
    correct : model it at all.
    phase_flipped : the images' signs have been corrected already.
    skip_first_peak : treat it as 1 up to its first peak.
    """

    correct: bool = True
    phase_flipped: bool = False
    skip_first_peak: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBlock:
    """Images of one optics group and one half set, as Fourier pixels of their lattice.

    Attributes
    ----------
    index : particle of each image. (b,) int64
    half : half set.
    group : optics group.
    masked : recentred and masked: what poses are compared with. (b, k) complex64
    whole : recentred only: what maps and noise power are made of. (b, k) complex64
    transfer : CTF times the scale of the micrograph. (b, k) float32
    """

    index: Tensor
    half: int
    group: int
    masked: Tensor
    whole: Tensor
    transfer: Tensor


def soft_circle(size: int, radius: float, edge: float = EDGE) -> Tensor:
    """Round mask of `radius` px with a raised-cosine edge outside it. (size, size) float32"""
    line = torch.arange(size, dtype=torch.float32) - size // 2
    r = torch.hypot(line[:, None], line[None, :])
    return 0.5 + 0.5 * torch.cos(math.pi * ((r - radius) / edge).clamp(0.0, 1.0))


def transform_images(
    images: Tensor,
    centres: Tensor,
    mask: Tensor,
    lattice: Lattice,
    odd: Tensor | None,
    fill: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Fourier pixels of masked and of whole images.

    Parameters
    ----------
    images : of one optics group. (b, n, n) float32
    centres : whole-pixel shift (x, y) that is applied first. (b, 2) int64
    mask : round mask, which keeps the background's mean out of the edge. (n, n)
    lattice : pixels wanted.
    odd : exp(iφ) of the antisymmetric aberrations on the lattice, or None. (k,)
    fill : noise images that replace what is masked away, or None for zeros. (b, n, n)

    Returns
    -------
    masked, whole : (b, k) complex64; the phase origin is the voxel n//2.
    """
    n = lattice.size
    moved = torch.stack([torch.roll(x, (int(c[1]), int(c[0])), (0, 1)) for x, c in zip(images, centres, strict=True)])
    outside = 1.0 - mask
    background = (moved * outside).sum((1, 2)) / outside.sum()
    filling = background[:, None, None] if fill is None else fill
    masked = moved * mask + filling * outside
    kx, ky = lattice.pixels[:, 0].long(), lattice.pixels[:, 1].long()
    flat = (ky % n) * (n // 2 + 1) + kx
    sign = 1.0 - 2.0 * ((kx + ky) % 2).to(torch.float32)  # moves the phase origin from voxel 0 to voxel n//2
    factor = sign if odd is None else sign * odd.conj()
    both = [torch.fft.rfft2(x).reshape(len(x), -1)[:, flat] * factor for x in (masked, moved)]
    return both[0], both[1]


def transfer_function(lattice: Lattice, optics: OpticsGroup, defocus: Defocus, mode: CtfMode) -> Tensor:
    """CTF of each particle on the lattice. (b, k) float32"""
    count = len(defocus.u)
    if not mode.correct:
        return torch.ones(count, len(lattice.pixels), device=lattice.pixels.device)
    frequency = lattice_frequency(lattice, optics)
    value = ctf(frequency, defocus, optics)
    if mode.phase_flipped:
        value = value.abs()
    if mode.skip_first_peak:
        before = phase_delay(frequency, defocus, optics).abs() < 0.5 * math.pi
        value = torch.where(before, torch.ones_like(value), value)
    return value.to(torch.float32)


def lattice_frequency(lattice: Lattice, optics: OpticsGroup) -> Tensor:
    """(x, y) of each pixel of the lattice in the image as recorded, Å⁻¹. (k, 2) float32"""
    return lattice.pixels.to(torch.float32) / (lattice.size * optics.pixel_size)


def odd_phases(lattice: Lattice, optics: OpticsGroup) -> Tensor | None:
    """exp(iφ) of beam tilt and odd Zernike terms on the lattice, or None where there are none."""
    if not any(optics.beam_tilt) and optics.odd_zernike is None:
        return None
    return odd_factor(lattice_frequency(lattice, optics), optics)


ImageReader = Callable[[Tensor], Tensor]
"""Takes indices of particles of one optics group, gives their images (b, n, n) float32."""
