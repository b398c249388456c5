"""Sharpening of a map: detector MTF, FSC weighting, Guinier plot and B factor, low-pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.fourier.filters import b_factor_weight, low_pass_weight
from burnish.fourier.shells import amplitudes, weight_radially_, weight_shells_
from burnish.optics.detector import Mtf, mtf_at

EMPTY = -99.0  # RELION's ln amplitude of a shell without any


@dataclass(frozen=True, slots=True, kw_only=True)
class SharpenSettings:
    """How to sharpen.

    Attributes
    ----------
    b_factor : Å², negative sharpens; None fits it.
    fit_from, fit_to : resolution range of the Guinier fit, Å; `fit_to` 0 means up to Nyquist.
    fsc_weighting : multiply by √(2 FSC / (1 + FSC)).
    low_pass : Å; None for none.
    mtf : of the detector, None for none.
    mtf_pixel_size : pixel of the micrographs that the MTF is given for, Å.
    """

    b_factor: float | None = None
    fit_from: float = 10.0
    fit_to: float = 0.0
    fsc_weighting: bool = True
    low_pass: float | None = None
    mtf: Mtf | None = None
    mtf_pixel_size: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Straight line through points, with their correlation."""

    slope: float
    intercept: float
    correlation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Guinier:
    """ln of the mean amplitude by shell, against s².

    Attributes
    ----------
    s2 : Å⁻². (shells,)
    original, without_mtf, weighted, sharpened : of the map at each step; -99 where a shell is empty. (shells,)
    fit : line through `weighted`, None where B was given.
    b_factor : applied, Å².
    fit_from : resolution from which on the line was fitted, Å.
    """

    s2: Tensor
    original: Tensor
    without_mtf: Tensor
    weighted: Tensor
    sharpened: Tensor
    fit: Line | None
    b_factor: float
    fit_from: float


def fsc_weights(curve: Tensor) -> Tensor:
    """Weight of each shell, √(2 FSC / (1 + FSC)), zero from the first shell on where the FSC vanishes.

    Notes
    -----
    Rosenthal & Henderson 2003, J. Mol. Biol. 333, 721, eq. A9: the correlation of the averaged map with the truth.
    """
    gone = torch.nonzero(curve < 1e-4)
    last = int(gone[0]) if len(gone) else len(curve)
    safe = curve.clamp_min(0.0)
    weights = (2.0 * safe / (1.0 + safe)).sqrt()
    return torch.where(torch.arange(len(curve), device=curve.device) < last, weights, 0.0)


def fit_line(x: Tensor, y: Tensor) -> Line:
    """Least-squares line.

    Examples
    --------
    >>> line = fit_line(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 3.0, 5.0]))
    >>> round(line.slope, 6), round(line.intercept, 6), round(line.correlation, 6)
    (2.0, 1.0, 1.0)
    """
    dx, dy = x - x.mean(), y - y.mean()
    sxx, sxy, syy = (float((a * b).sum()) for a, b in ((dx, dx), (dx, dy), (dy, dy)))
    slope = sxy / sxx if sxx > 0 else 0.0
    correlation = sxy / math.sqrt(sxx * syy) if sxx > 0 and syy > 0 else 0.0
    return Line(slope=slope, intercept=float(y.mean()) - slope * float(x.mean()), correlation=correlation)


def fit_guinier(s2: Tensor, ln_amplitude: Tensor, fit_from: float, fit_to: float = 0.0) -> Line | None:
    """Line through the Guinier plot between two resolutions; its slope is B/4. None with fewer than two shells."""
    chosen = (s2 >= 1.0 / fit_from**2 - 1e-12) & (ln_amplitude > EMPTY)
    if fit_to > 0:
        chosen &= s2 <= 1.0 / fit_to**2 + 1e-12
    if int(chosen.sum()) < 2:
        return None
    return fit_line(s2[chosen], ln_amplitude[chosen])


def sharpen_(f: Tensor, shape: torch.Size, pixel_size: float, curve: Tensor, settings: SharpenSettings) -> Guinier:
    """Sharpen a half transform in place; return the Guinier plot of each step.

    Parameters
    ----------
    f : half transform of the mean of the half maps; changed.
    shape : of the map.
    pixel_size : Å.
    curve : FSC between the halves, for the weights.
    settings : what to do.
    """
    box_length = max(shape) * pixel_size
    shells = len(curve)
    s2 = (torch.arange(shells, dtype=torch.float64, device=f.device) / box_length).square()
    scale = 1.0 / math.prod(shape)  # RELION's transform carries 1/N
    original = _ln_amplitudes(f, shape, scale)
    without_mtf = original
    if settings.mtf is not None:
        _divide_by_mtf_(f, shape, box_length, pixel_size, settings)
        without_mtf = _ln_amplitudes(f, shape, scale)
    weighted = without_mtf
    if settings.fsc_weighting:
        weights = fsc_weights(curve)
        weight_shells_(f, shape, weights)
        weighted = torch.where(weights > 0, without_mtf + weights.clamp_min(1e-30).log(), EMPTY)
    fit = None
    b_factor = settings.b_factor
    if b_factor is None:
        fit = fit_guinier(s2, weighted, settings.fit_from, settings.fit_to)
        b_factor = 4.0 * fit.slope if fit else 0.0
    nyquist = max(shape) / 2
    gain = b_factor_weight(b_factor, box_length)
    passes = low_pass_weight(settings.low_pass, box_length) if settings.low_pass else None

    def sharpen(radius: Tensor) -> Tensor:
        return gain(radius) * (radius <= nyquist)

    sharpened = torch.where(weighted > EMPTY, _ln_amplitudes(f, shape, scale, sharpen), EMPTY)
    weight_radially_(f, shape, lambda r: sharpen(r) * passes(r) if passes else sharpen(r))
    return Guinier(
        s2=s2,
        original=original,
        without_mtf=without_mtf,
        weighted=weighted,
        sharpened=sharpened,
        fit=fit,
        fit_from=settings.fit_from,
        b_factor=b_factor,
    )


def _ln_amplitudes(
    f: Tensor, shape: torch.Size, scale: float, weight: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    mean = amplitudes(f, shape, weight) * scale
    return torch.where(mean > 0, mean.clamp_min(1e-300).log(), EMPTY)


def _divide_by_mtf_(
    f: Tensor, shape: torch.Size, box_length: float, pixel_size: float, settings: SharpenSettings
) -> None:
    """Divide below Nyquist by the MTF at s · pixel of the micrograph."""
    mtf = settings.mtf
    if mtf is None:
        return
    per_shell = (settings.mtf_pixel_size or pixel_size) / box_length
    nyquist = max(shape) / 2
    weight_radially_(f, shape, lambda r: torch.where(r < nyquist, 1.0 / mtf_at(mtf, r * per_shell), 1.0))
