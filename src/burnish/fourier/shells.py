"""Shells of Fourier space: sums over them, Fourier shell correlation, resolution, radial weights.

A shell is the nearest integer of the radius in units of 1/(box · pixel); each stored coefficient of the half transform
counts once, as in RELION. Everything goes over blocks of planes, so that no index volume is ever held.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.fourier.transforms import wave_numbers

_BLOCK = 1 << 19  # coefficients at a time: index and weights of a block stay in cache


def shell_count(shape: Sequence[int]) -> int:
    """Number of shells up to Nyquist of the longest axis, shell 0 among them."""
    return max(shape) // 2 + 1


def radius_blocks(shape: Sequence[int], device: torch.device | str = "cpu") -> Iterator[tuple[slice, Tensor]]:
    """Yield (planes, radius) over the half transform of a real array of `shape`, 2D or 3D.

    The radius is in shells of the longest axis, float32; `planes` slices the first axis of the transform.
    """
    squares = _squares(shape, device)
    rest = sum(squares[1:], torch.zeros((), device=device))
    planes = max(1, _BLOCK // max(rest.numel(), 1))
    for start in range(0, shape[0], planes):
        chosen = slice(start, min(start + planes, shape[0]))
        yield chosen, (squares[0][chosen] + rest).sqrt_()


def _squares(shape: Sequence[int], device: torch.device | str) -> list[Tensor]:
    """Squared wave numbers in shells² along each axis, float32: whole numbers below 2²⁴ in a cube, thus exact."""
    longest = max(shape)
    return [((k * (longest / n)) ** 2).float() for k, n in zip(wave_numbers(shape, device), shape, strict=True)]


def shell_indices(shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """Shell of every coefficient of the half transform, int64; beyond Nyquist they go on counting."""
    return torch.cat([r.round().long() for _, r in radius_blocks(shape, device)])


@dataclass(frozen=True, slots=True)
class ShellSums:
    """Sums over the stored coefficients of each shell up to Nyquist, float64; each (shells,).

    Attributes
    ----------
    cross : Re F₁·conj(F₂).
    power1, power2 : |F₁|², |F₂|².
    count : number of coefficients.
    """

    cross: Tensor
    power1: Tensor
    power2: Tensor
    count: Tensor

    @property
    def correlation(self) -> Tensor:
        """cross / √(power1 · power2); 0 in a shell without power."""
        norm = (self.power1 * self.power2).sqrt()
        return torch.where(norm > 0, self.cross / norm.clamp_min(torch.finfo(norm.dtype).tiny), 0.0)


def sum_shells(f1: Tensor, f2: Tensor, shape: Sequence[int]) -> ShellSums:
    """Sum products of two half transforms of real arrays of `shape` over shells."""

    def products(part: slice) -> tuple[Tensor, ...]:
        a, b = f1[part], f2[part]
        ar, ai, br, bi = a.real, a.imag, b.real, b.imag
        return ar * br + ai * bi, ar * ar + ai * ai, br * br + bi * bi

    cross, power1, power2, count = _sum_by_shell(products, shape, f1.device)
    return ShellSums(cross=cross, power1=power1, power2=power2, count=count)


def _sum_by_shell(
    products: Callable[[slice], tuple[Tensor, ...]], shape: Sequence[int], device: torch.device
) -> list[Tensor]:
    """Sum real quantities of the coefficients over shells up to Nyquist; the count comes last. Each (shells,) float64.

    ±k of the second axis of a map share their shell: they are added first, which halves the counting.
    """
    shells = shell_count(shape)
    squares = _squares(shape, device)
    folds = len(shape) == 3
    half = shape[1] // 2 + 1
    rest = squares[1][:, :half] + squares[2] if folds else squares[1]
    mirrored = slice(1, half - 1 if shape[1] % 2 == 0 else half)
    planes = max(1, _BLOCK // rest.numel())
    sums: list[Tensor] = []
    for start in range(0, shape[0], planes):
        part = slice(start, min(start + planes, shape[0]))
        index = (squares[0][part] + rest).sqrt_().round_().clamp_max_(shells).long()
        values = list(products(part))
        values.append(torch.ones_like(values[0]))
        if folds:
            for i, value in enumerate(values):
                values[i] = value[:, :half].contiguous()
                values[i][:, mirrored] += value[:, half:].flip(1)
        found = [
            torch.bincount(index.reshape(-1), v.reshape(-1).double(), minlength=shells + 1)[:shells] for v in values
        ]
        sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
    return sums


def fsc(map1: Tensor, map2: Tensor) -> Tensor:
    """Fourier shell (ring) correlation of two real maps (images), (shells,) float64.

    Parameters
    ----------
    map1, map2 : of one shape, 3D or 2D.

    Notes
    -----
    FSC(s) = Re Σ F₁ F₂* / √(Σ|F₁|² Σ|F₂|²) (Harauz & van Heel 1986).

    Examples
    --------
    >>> x = torch.rand(8, 8, 8, generator=torch.Generator().manual_seed(1))
    >>> [round(float(v), 6) for v in fsc(x, -2 * x)]
    [-1.0, -1.0, -1.0, -1.0, -1.0]
    """
    return sum_shells(torch.fft.rfftn(map1), torch.fft.rfftn(map2), map1.shape).correlation


def amplitudes(f: Tensor, shape: Sequence[int], weight: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Mean of |F|, times `weight(radius)` where one is given, of each shell up to Nyquist, (shells,) float64."""
    squares = _squares(shape, f.device)
    rest = sum(squares[1:], torch.zeros((), device=f.device))

    def sizes(part: slice) -> tuple[Tensor]:
        size = f[part].abs()
        return (size,) if weight is None else (size * weight((squares[0][part] + rest).sqrt_()),)

    total, count = _sum_by_shell(sizes, shape, f.device)
    return total / count.clamp_min(1)


def weight_shells_(f: Tensor, shape: Sequence[int], weights: Tensor) -> Tensor:
    """Multiply each coefficient, in place, by the weight of its shell; beyond the last shell by zero."""
    table = torch.cat([weights.to(f.device, f.real.dtype), torch.zeros(1, device=f.device, dtype=f.real.dtype)])
    for planes, radius in radius_blocks(shape, f.device):
        f[planes] *= table[radius.round_().clamp_max_(len(weights)).long()]
    return f


def weight_radially_(f: Tensor, shape: Sequence[int], weight: Callable[[Tensor], Tensor]) -> Tensor:
    """Multiply each coefficient, in place, by `weight(radius)`, the radius in shells of the longest axis."""
    for planes, radius in radius_blocks(shape, f.device):
        f[planes] *= weight(radius)
    return f


def last_shell_above(curve: Tensor, threshold: float) -> int:
    """Last shell before the curve first falls below the threshold; 0 where it starts below."""
    below = torch.nonzero(curve < threshold)
    return max(int(below[0]) - 1, 0) if len(below) else len(curve) - 1


def resolution_of_shell(shell: float, box_length: float) -> float:
    """d of a shell of a box of that length (pixels · pixel size), Å; infinite for shell 0."""
    return box_length / shell if shell > 0 else math.inf


def crossing(curve: Tensor, threshold: float) -> float:
    """Shell, between shells by linear interpolation, where the curve first falls below the threshold."""
    shell = last_shell_above(curve, threshold)
    if shell + 1 >= len(curve) or curve[shell] < threshold:
        return float(shell)
    above, below = float(curve[shell]), float(curve[shell + 1])
    return shell + (above - threshold) / (above - below)
