"""Half maps to FSC curves that tell signal from the mask's own correlation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.fourier.filters import randomise_phases
from burnish.fourier.shells import sum_shells

RANDOMISE_BELOW = 0.8  # phases go from the first shell whose unmasked FSC is below this (RELION)
FRACTION_OF_SPHERE = 0.476  # RELION's constant in f: share of the box taken to hold the unmasked particle


@dataclass(frozen=True, slots=True, kw_only=True)
class FscCurves:
    """FSC of two half maps by shell, float64, (shells,).

    Attributes
    ----------
    unmasked, masked : of the maps as they are, and multiplied by the mask.
    randomised : masked, after the phases from `randomise_from` on were made random.
    corrected : what is left of `masked` when the mask's part is taken out.
    part : of the unmasked curve, were the solvent not in it (cisTEM).
    randomise_from : first shell with random phases.
    solvent_factor : f of the part FSC.
    """

    unmasked: Tensor
    masked: Tensor
    randomised: Tensor
    corrected: Tensor
    part: Tensor
    randomise_from: int
    solvent_factor: float


def correct_fsc(masked: Tensor, randomised: Tensor, randomise_from: int) -> Tensor:
    """FSC without the correlation that the mask brings.

    Notes
    -----
    (FSC_t − FSC_n) / (1 − FSC_n) (Chen et al. 2013, Ultramicroscopy 135, 24, eq. 4), from two shells beyond
    `randomise_from` on, as RELION: nearer shells carry artefacts of the step in the phases. Below, the masked FSC.
    """
    room = (1.0 - randomised).clamp_min(1e-6)
    corrected = (masked - randomised) / room
    shells = torch.arange(len(masked), device=masked.device)
    return torch.where(shells >= randomise_from + 2, corrected, masked)


def part_fsc(unmasked: Tensor, solvent_factor: float) -> Tensor:
    """FSC of the particle's part of the box, f·FSC / (1 + (f − 1)·FSC).

    Notes
    -----
    Grant, Rohou & Grigorieff 2018, eLife 7, e35383.
    """
    return solvent_factor * unmasked / (1.0 + (solvent_factor - 1.0) * unmasked)


def solvent_factor(mask: Tensor) -> float:
    """f of `part_fsc` from a mask: 0.476 over the share of voxels above ½ (`rlnParticleBoxFractionSolventMask`)."""
    share = float((mask > 0.5).double().mean())
    return FRACTION_OF_SPHERE / share if share > 0 else 0.0


def first_shell_below(curve: Tensor, threshold: float) -> int | None:
    """First shell but 0 whose value is below the threshold; None where the curve never falls below it."""
    below = torch.nonzero(curve[1:] < threshold)
    return int(below[0]) + 1 if len(below) else None


def masked_fsc(
    half1: Tensor, half2: Tensor, f1: Tensor, f2: Tensor, mask: Tensor, generator: torch.Generator
) -> FscCurves:
    """Return all curves of two half maps and a mask.

    Parameters
    ----------
    half1, half2 : half maps [z, y, x].
    f1, f2 : their half transforms, which the caller has anyway.
    mask : values in [0, 1].
    generator : for the random phases.

    Notes
    -----
    Where the unmasked FSC never falls below 0.8, there is no shell to randomise from: the randomised curve is then
    zero and the masked FSC stands uncorrected.
    """
    shape = half1.shape
    unmasked = sum_shells(f1, f2, shape).correlation
    masked = sum_shells(torch.fft.rfftn(half1 * mask), torch.fft.rfftn(half2 * mask), shape).correlation
    start = first_shell_below(unmasked, RANDOMISE_BELOW)
    if start is None:
        start, randomised = len(unmasked), torch.zeros_like(masked)
    else:
        g1 = _masked_with_random_phases(f1, mask, start, generator)
        g2 = _masked_with_random_phases(f2, mask, start, generator)
        randomised = sum_shells(g1, g2, shape).correlation
    factor = solvent_factor(mask)
    # shell 0 is one coefficient: its sign says nothing (RELION sets it to 1 as well)
    masked[0] = masked[0] if masked[0] > 0 else 1.0
    randomised[0] = randomised[0] if randomised[0] > 0 else 1.0
    return FscCurves(
        unmasked=unmasked,
        masked=masked,
        randomised=randomised,
        corrected=correct_fsc(masked, randomised, start),
        part=part_fsc(unmasked, factor),
        randomise_from=start,
        solvent_factor=factor,
    )


def _masked_with_random_phases(f: Tensor, mask: Tensor, start: int, generator: torch.Generator) -> Tensor:
    random = randomise_phases(f, mask.shape, start, generator)
    values = torch.fft.irfftn(random, s=mask.shape)
    del random
    return torch.fft.rfftn(values.mul_(mask))
