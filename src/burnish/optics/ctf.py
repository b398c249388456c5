"""Contrast transfer function of each particle."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from burnish.core.constants import electron_wavelength
from burnish.data.optics import Defocus, OpticsGroup
from burnish.optics.aberrations import even_phase
from burnish.optics.frequency import magnified


def phase_delay(frequency: Tensor, defocus: Defocus, optics: OpticsGroup) -> Tensor:
    """Phase χ whose sine is the contrast transfer function, for each particle.

    Parameters
    ----------
    frequency : (x, y) of each Fourier pixel in the image as recorded, Å⁻¹. (..., 2)
    defocus : defocus and phase shift of n particles of one optics group.
    optics : settings of that group.

    Returns
    -------
    χ, rad, dtype of `frequency`. (n, ...)

    Notes
    -----
    χ = πλ [½(u+v) s² + ½(u−v) s² cos 2(θ−α)] − ½πC_sλ³s⁴ + phase shift + asin Q0 − E(k), underfocus positive, with
    E the even Zernike terms (Zivanov, Nakane & Scheres, IUCrJ 7 (2020) 253: RELION adds them to −χ). The bracket is
    linear in (mean, ½(u−v) cos 2α, ½(u−v) sin 2α), so that all particles and pixels are one matrix product.
    """
    k = magnified(frequency, optics.magnification)
    lam = electron_wavelength(optics.voltage)
    terms = defocus_terms(k) * (math.pi * lam)
    shape = k.shape[:-1]
    coefficients = defocus_coefficients(defocus).to(k)
    s2 = k.square().sum(dim=-1)
    common = math.asin(optics.amplitude_contrast) - 0.5 * math.pi * optics.spherical_aberration * lam**3 * s2.square()
    if optics.even_zernike is not None:
        common = common - even_phase(k, optics.even_zernike)
    chi = torch.addmm(common.reshape(1, -1), coefficients, terms.reshape(-1, 3).T)
    chi = chi + defocus.phase_shift.to(k)[:, None]
    return chi.reshape(-1, *shape)


def ctf(frequency: Tensor, defocus: Defocus, optics: OpticsGroup) -> Tensor:
    """Contrast transfer function of each particle, with its envelope and scale.

    Parameters
    ----------
    frequency : (x, y) of each Fourier pixel in the image as recorded, Å⁻¹. (..., 2)
    defocus : of n particles of one optics group.
    optics : settings of that group.

    Returns
    -------
    scale · exp(−B s²/4) · sin χ, +amplitude contrast at s = 0 for scale 1 and no phase shift. (n, ...)

    Notes
    -----
    For white particles RELION's image is + CTF · projection. The antisymmetric phases of beam tilt and odd Zernike
    terms are a complex factor beside it: `aberrations.odd_factor`.

    Examples
    --------
    >>> from burnish.optics.frequency import image_frequencies
    >>> one = torch.ones(1)
    >>> d = Defocus(u=15e3 * one, v=14e3 * one, angle=0 * one, phase_shift=0 * one, b_factor=0 * one, scale=one)
    >>> group = OpticsGroup(
    ...     name="a", voltage=300e3, spherical_aberration=2.7e7, amplitude_contrast=0.1, pixel_size=1.2, box_size=8
    ... )
    >>> round(ctf(image_frequencies(8, 1.2), d, group)[0, 0, 0].item(), 4)
    0.1
    """
    value = torch.sin(phase_delay(frequency, defocus, optics))
    ones = [1] * (frequency.ndim - 1)
    if bool((defocus.b_factor != 0).any()):
        s2 = magnified(frequency, optics.magnification).square().sum(dim=-1)
        value = value * torch.exp(-0.25 * defocus.b_factor.to(frequency).reshape(-1, *ones) * s2)
    return value * defocus.scale.to(frequency).reshape(-1, *ones)


def defocus_terms(k: Tensor) -> Tensor:
    """Functions of frequency that multiply `defocus_coefficients`: x²+y², x²−y², 2xy, Å⁻². (..., 3)"""
    x, y = k[..., 0], k[..., 1]
    return torch.stack([x * x + y * y, x * x - y * y, 2.0 * x * y], dim=-1)


def defocus_coefficients(defocus: Defocus) -> Tensor:
    """Mean defocus and the two Cartesian components of astigmatism, Å. (n, 3)"""
    half = 0.5 * (defocus.u - defocus.v)
    return torch.stack(
        [0.5 * (defocus.u + defocus.v), half * torch.cos(2.0 * defocus.angle), half * torch.sin(2.0 * defocus.angle)],
        dim=-1,
    )


def defocus_axes(coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Turn mean defocus and Cartesian astigmatism back into u ≥ v and the angle of u.

    Parameters
    ----------
    coefficients : as `defocus_coefficients` gives them, Å. (..., 3)

    Returns
    -------
    u, v : Å. (...)
    angle : rad, in (−π/2, π/2]; 0 without astigmatism. (...)
    """
    mean, a, b = coefficients.unbind(dim=-1)
    half = torch.hypot(a, b)
    return mean + half, mean - half, 0.5 * torch.atan2(b, a)
