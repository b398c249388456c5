"""Images of observed phase residuals over the Fourier plane: what the fits of aberrations saw."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from burnish.particles.ctf_refinement.aberration_fit import AberrationSums
from burnish.particles.ctf_refinement.half_plane import HalfPlane

SMOOTHING = 1.5  # pixels; the sums are smoothed, never the phases


def observed_odd(sums: AberrationSums, phase_given: Tensor, plane: HalfPlane) -> np.ndarray:
    """Antisymmetric phase of the images beyond the given one, rad; NaN outside the data. (m, m)

    Parameters
    ----------
    phase_given : of the optics as given. (p,)
    """
    turned = sums.odd * torch.polar(torch.ones_like(sums.odd.real), -phase_given.double())
    real, imaginary = (_smooth(_spread(v, plane, odd=o)) for v, o in ((turned.real, False), (turned.imag, True)))
    return _cut(np.arctan2(imaginary, real), plane)


def observed_even(sums: AberrationSums, plane: HalfPlane) -> np.ndarray:
    """Symmetric phase that the images have beyond χ, in RELION's sign (subtracted from χ), rad. (m, m)

    Notes
    -----
    The likelihood of a pixel is quadratic in (cos Δ, sin Δ); its maximum without the constraint cos² + sin² = 1 gives Δ
    (Zivanov, Nakane & Scheres, IUCrJ 7 (2020) 253).
    """
    even = sums.even
    assert even is not None
    s1, s2, t0, t1, t2 = (
        _smooth(_spread(getattr(even, n)[0], plane, odd=False)) for n in ("s1", "s2", "t0", "t1", "t2")
    )
    determinant = np.maximum((t0 - t1) * (t0 + t1) - t2**2, 1e-300)
    cosine = ((t0 + t1) * s1 - t2 * s2) / determinant
    sine = ((t0 - t1) * s2 - t2 * s1) / determinant
    return _cut(-np.arctan2(sine, cosine), plane)


def phase_image(phase: Tensor, plane: HalfPlane, *, odd: bool) -> np.ndarray:
    """A fitted phase on the same grid. (m, m)"""
    return _cut(_spread(phase, plane, odd=odd), plane)


def _spread(values: Tensor, plane: HalfPlane, *, odd: bool) -> np.ndarray:
    """Half-plane values on the full plane, zero frequency in the middle. (box + 1, box + 1)"""
    half = plane.box_size // 2
    k = (plane.frequency.double() * plane.box_size * plane.pixel_size).round().long().cpu().numpy()
    image = np.zeros((2 * half + 1, 2 * half + 1))
    image[half + k[:, 1], half + k[:, 0]] = values.double().cpu().numpy()
    mirrored = -values if odd else values
    image[half - k[:, 1], half - k[:, 0]] = mirrored.double().cpu().numpy()
    return image


def _smooth(image: np.ndarray) -> np.ndarray:
    """Gaussian blur, by a transform: the image has empty space about it, and no library need be loaded for it."""
    k = np.fft.fftfreq(len(image))
    fall = np.exp(-2.0 * (np.pi * SMOOTHING * k) ** 2)
    blurred: np.ndarray = np.fft.ifft2(np.fft.fft2(image) * fall[:, None] * fall).real
    return blurred


def _cut(image: np.ndarray, plane: HalfPlane) -> np.ndarray:
    """The part that holds data, the rest NaN."""
    inside = _spread(torch.ones(len(plane)), plane, odd=False) > 0
    half, radius = plane.box_size // 2, int(plane.shell.max())
    part = slice(half - radius, half + radius + 1)
    return np.where(inside, image, np.nan)[part, part]
