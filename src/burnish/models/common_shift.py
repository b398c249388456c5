"""Models that differ by one B in all atoms: their structure factors differ by a known factor."""

from __future__ import annotations

import torch
from torch import Tensor

from burnish.data.atoms import Atoms

SAME = 1e-9  # Å²; sums of B are rounded
LARGEST_EXPONENT = 0.5  # by more, errors of the grid would be raised or the model sampled as one that it is not


def common_shift(before: Atoms, after: Atoms) -> float | None:
    """By how much the B of every atom differs between two models, Å²; None where they differ in anything else.

    Models with anisotropic atoms count as different.
    """
    if len(before) != len(after) or len(before) == 0 or bool((before.is_aniso | after.is_aniso).any()):
        return None
    shift = after.b_iso - before.b_iso
    mean = float(shift.mean())
    if float((shift - mean).abs().max()) > SAME:
        return None
    same = _same(before.xyz, after.xyz) and _same(before.occ, after.occ) and _same(before.charges, after.charges)
    return mean if same and before.elements == after.elements else None


def _same(one: Tensor, other: Tensor) -> bool:
    return one is other or torch.equal(one, other)


def shifted_factors(f_calc: Tensor, s2: Tensor, shift: float) -> Tensor | None:
    """Structure factors after that shift, F exp(−shift·s²/4); None where it is so large that they are better made anew.

    Parameters
    ----------
    f_calc : of the model before. (n,) complex
    s2 : 1/d² of each, Å⁻². (n,)
    shift : Å².
    """
    if shift == 0.0:
        return f_calc
    if 0.25 * abs(shift) * float(s2.max()) > LARGEST_EXPONENT:
        return None
    return f_calc * torch.exp(-0.25 * shift * s2)
