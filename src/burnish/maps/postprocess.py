"""Post-processing of two half maps: FSC curves, resolution, sharpened map, and what to say about them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from burnish.fourier.filters import low_pass
from burnish.fourier.shells import crossing, last_shell_above, resolution_of_shell, sum_shells
from burnish.maps.fsc_correction import FscCurves, masked_fsc
from burnish.maps.mask import MaskShape, automatic_threshold, make_mask
from burnish.maps.sharpening import Guinier, SharpenSettings, sharpen_

THRESHOLD = 0.143  # FSC between half maps that equals 0.5 between the full map and the truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Where an FSC curve falls below a threshold.

    Attributes
    ----------
    shell : last shell before.
    at_shell : its d, Å: what RELION reports.
    between : d of the crossing itself, between shells, Å.
    """

    shell: int
    at_shell: float
    between: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PostprocessResult:
    """What post-processing found.

    Attributes
    ----------
    curves : FSC curves; None where there was no mask.
    final : the curve that gave resolution and weights. (shells,)
    mask_used : False where the mask made the resolution worse and was put aside, or where there was none.
    resolution : of `final` at 0.143.
    unmasked_resolution : of the unmasked curve at 0.143.
    half_resolution : of `final` at 0.5.
    guinier : plot, fit and B factor.
    low_pass : applied, Å, or None.
    sharpened : map [z, y, x].
    box_length : Å.
    """

    curves: FscCurves | None
    final: Tensor
    mask_used: bool
    resolution: Resolution
    unmasked_resolution: Resolution
    half_resolution: Resolution
    guinier: Guinier
    low_pass: float | None
    sharpened: Tensor
    box_length: float


def resolution_at(curve: Tensor, threshold: float, box_length: float) -> Resolution:
    """Resolution of a curve at a threshold."""
    shell = last_shell_above(curve, threshold)
    return Resolution(
        shell=shell,
        at_shell=resolution_of_shell(shell, box_length),
        between=resolution_of_shell(crossing(curve, threshold), box_length),
    )


def automatic_mask(half1: Tensor, half2: Tensor, pixel_size: float) -> Tensor:
    """Mask of the mean map: low-pass 15 Å (or 3 pixels), automatic threshold, 3 pixels more, an edge of 6 pixels."""
    values = low_pass((half1 + half2).mul_(0.5), max(15.0, 3.0 * pixel_size), pixel_size)
    array = values.cpu().numpy()
    mask = make_mask(array >= automatic_threshold(array), MaskShape(extend=3.0, soft_edge=6.0))
    return torch.from_numpy(mask).to(values.device)


def postprocess(
    half1: Tensor,
    half2: Tensor,
    mask: Tensor | None,
    pixel_size: float,
    settings: SharpenSettings,
    generator: torch.Generator,
    *,
    force_mask: bool = False,
) -> PostprocessResult:
    """Post-process two half maps.

    Parameters
    ----------
    half1, half2 : unfiltered half maps [z, y, x], cubic.
    mask : in [0, 1], or None.
    pixel_size : Å.
    settings : of the sharpening; with FSC weighting off and no low-pass given, the map is filtered at its resolution.
    generator : for the random phases.
    force_mask : use the mask even where it makes the resolution worse.
    """
    shape = half1.shape
    box_length = max(shape) * pixel_size
    f1, f2 = torch.fft.rfftn(half1), torch.fft.rfftn(half2)
    if mask is None:
        curves, final = None, sum_shells(f1, f2, shape).correlation
        unmasked = final
    else:
        curves = masked_fsc(half1, half2, f1, f2, mask, generator)
        final, unmasked = curves.corrected, curves.unmasked
    resolution, without = (resolution_at(c, THRESHOLD, box_length) for c in (final, unmasked))
    mask_used = mask is not None
    if without.shell > resolution.shell and not force_mask:
        final, resolution, mask_used = unmasked, without, False
    if not settings.fsc_weighting and settings.low_pass is None:
        settings = replace(settings, low_pass=resolution.at_shell)
    f1 += f2
    del f2
    f1 *= 0.5
    guinier = sharpen_(f1, shape, pixel_size, final, settings)
    return PostprocessResult(
        curves=curves,
        final=final,
        mask_used=mask_used,
        resolution=resolution,
        unmasked_resolution=without,
        half_resolution=resolution_at(final, 0.5, box_length),
        guinier=guinier,
        low_pass=settings.low_pass,
        sharpened=torch.fft.irfftn(f1, s=shape),
        box_length=box_length,
    )


def sharpen_like(values: Tensor, pixel_size: float, result: PostprocessResult, settings: SharpenSettings) -> Tensor:
    """Sharpen another map, such as one half, with the weights, B factor and low-pass of a result."""
    f = torch.fft.rfftn(values)
    same = replace(settings, b_factor=result.guinier.b_factor, low_pass=result.low_pass)
    sharpen_(f, values.shape, pixel_size, result.final, same)
    return torch.fft.irfftn(f, s=values.shape)


def findings(result: PostprocessResult, nyquist: float) -> list[str]:
    """What the curves say that the user should act on, as sentences; empty where all is well."""
    said = []
    curves = result.curves
    if curves is not None and not result.mask_used:
        said.append(
            f"the unmasked maps reach {result.unmasked_resolution.at_shell:.2f} Å, further than the corrected FSC with "
            "the mask: the mask does harm and was left out; make a softer, larger one"
        )
    if curves is not None:
        said += _of_random_phases(curves, result)
        if curves.randomise_from >= len(curves.unmasked):
            said.append("the unmasked FSC never falls below 0.8: no phases could be randomised, nothing was corrected")
    if result.resolution.shell == 0:
        said.append("the half maps do not agree at all beyond the first shell: are they of the same particle?")
    elif result.resolution.at_shell <= nyquist * 1.02:
        said.append(
            f"the FSC stays above {THRESHOLD} up to Nyquist ({nyquist:.2f} Å): the pixel size limits the resolution; "
            "extract particles with a smaller pixel"
        )
    if result.guinier.fit is not None and result.resolution.at_shell > result.guinier.fit_from / math.sqrt(2.0):
        said.append(
            f"B ({result.guinier.b_factor:.0f} Å²) was fitted between {result.guinier.fit_from:g} and "
            f"{result.resolution.at_shell:.1f} Å: too short a stretch, in which amplitudes follow the particle's "
            "shape; give a B factor instead, or 0 for none"
        )
    if result.guinier.fit is not None and result.guinier.b_factor > 0:
        said.append(f"the fitted B factor is positive ({result.guinier.b_factor:.0f} Å²): it dampens; give one instead")
    elif result.guinier.b_factor == 0:
        said.append("the map was not sharpened: too few shells for a fit of B beyond the low limit; give a B factor")
    return said


def _of_random_phases(curves: FscCurves, result: PostprocessResult) -> list[str]:
    """Judge the mask by the curve with random phases, which a good mask brings to zero soon."""
    first = curves.randomise_from + 5
    if first >= len(curves.randomised):
        return []
    at_end = float(curves.randomised[min(result.resolution.shell, len(curves.randomised) - 1)])
    level = float(curves.randomised[first:].clamp_min(0).mean())
    if at_end > 0.1 and result.resolution.shell > first:
        return [
            f"the phase-randomised FSC is still {at_end:.2f} at the final resolution: the mask is too sharp or too "
            f"tight; make it from the map low-passed to {_mask_low_pass(result):.0f} Å, with a wider soft edge"
        ]
    if level > 0.1:
        return [
            f"the phase-randomised FSC stays near {level:.2f} beyond {result.box_length / first:.1f} Å: the mask "
            f"follows the map too closely; make it from the map low-passed to {_mask_low_pass(result):.0f} Å"
        ]
    return []


def _mask_low_pass(result: PostprocessResult) -> float:
    """Low-pass for a new mask, Å: 15, more where the map itself is coarse."""
    return max(15.0, 3.0 * min(result.resolution.at_shell, 100.0))
