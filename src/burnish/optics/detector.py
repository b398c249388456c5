"""Modulation transfer function of a detector."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Mtf:
    """MTF by frequency.

    Attributes
    ----------
    frequency : in 1/pixel of the detector, rising. (n,) float64
    value : in (0, 1]. (n,) float64
    """

    frequency: Tensor
    value: Tensor


def mtf_at(mtf: Mtf, frequency: Tensor) -> Tensor:
    """MTF at frequencies in 1/pixel of the detector, linear between its points, constant beyond its ends.

    Examples
    --------
    >>> curve = Mtf(torch.tensor([0.0, 0.5]), torch.tensor([1.0, 0.4]))
    >>> mtf_at(curve, torch.tensor([0.25, 0.9])).tolist()
    [0.699999988079071, 0.4000000059604645]
    """
    x, y = mtf.frequency.to(frequency), mtf.value.to(frequency)
    right = torch.searchsorted(x, frequency.contiguous()).clamp(1, len(x) - 1)
    x0, x1, y0, y1 = x[right - 1], x[right], y[right - 1], y[right]
    return y0 + (y1 - y0) * ((frequency - x0) / (x1 - x0)).clamp(0.0, 1.0)
