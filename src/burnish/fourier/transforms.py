"""Real Fourier transforms with the phase origin at the image centre, index n//2.

Images and maps use exp(−2πi k·x) forward and 1/N backward; the last axis is halved, k = 0 … n//2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def centred_rfft(x: Tensor, dims: int) -> Tensor:
    """Transform over the last `dims` axes, phases counted from the centre n//2.

    Examples
    --------
    >>> x = torch.zeros(8, 8); x[4, 4] = 1.0
    >>> bool(torch.allclose(centred_rfft(x, 2), torch.ones(8, 5, dtype=torch.complex64)))
    True
    """
    axes = tuple(range(-dims, 0))
    return torch.fft.rfftn(torch.fft.ifftshift(x, dim=axes), dim=axes)


def wave_numbers(shape: Sequence[int], device: torch.device | str = "cpu") -> tuple[Tensor, ...]:
    """Integer k along each axis of the half transform of a real array of `shape`, shaped to broadcast; float64.

    k runs 0 … n/2, −n/2+1 … −1 on full axes: an even size counts its last frequency as positive, as RELION does.
    """
    numbers = []
    for axis, n in enumerate(shape):
        last = axis == len(shape) - 1
        k = torch.arange(n // 2 + 1 if last else n, device=device, dtype=torch.float64)
        if not last:
            k = torch.where(k > n // 2, k - n, k)
        numbers.append(k.reshape([-1 if a == axis else 1 for a in range(len(shape))]))
    return tuple(numbers)


def shift_phases(f: Tensor, shape: Sequence[int], shift: Sequence[float]) -> Tensor:
    """Return the transform of the map moved by `shift` pixels, (x, y[, z]): content at r comes to r + shift.

    On axes of even size the highest frequency takes only the real part of its phase, so that the map stays real.
    """
    moved = f
    for k, n, by in zip(wave_numbers(shape, f.device), shape, reversed(list(shift)), strict=True):
        if by == 0:
            continue
        phase = torch.exp(-2j * torch.pi * k * by / n)
        if n % 2 == 0:
            phase = torch.where(k == n // 2, phase.real + 0j, phase)
        moved = moved * phase.to(f.dtype)
    return moved
