"""Other boxes and other pixels: real-space windows, Fourier crop and pad, band-limited resampling at any pixel size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def window(x: Tensor, shape: Sequence[int], fill: float = 0.0) -> Tensor:
    """Crop or pad the last axes to `shape`, the centre n//2 staying the centre.

    Examples
    --------
    >>> window(torch.arange(4.0), (6,)).tolist()
    [0.0, 0.0, 1.0, 2.0, 3.0, 0.0]
    """
    out = x.new_full((*x.shape[: x.dim() - len(shape)], *shape), fill)
    source = [slice(None)] * (x.dim() - len(shape))
    target = list(source)
    for old, new in zip(x.shape[-len(shape) :], shape, strict=True):
        first = new // 2 - old // 2  # where voxel 0 of the old box comes to lie
        target.append(slice(max(first, 0), min(first + old, new)))
        source.append(slice(max(-first, 0), max(-first, 0) + target[-1].stop - target[-1].start))
    out[tuple(target)] = x[tuple(source)]
    return out


def fourier_resize(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Sample the same box with other numbers of voxels by cropping or padding its transform; values keep their scale.

    Parameters
    ----------
    x : real; the last len(shape) axes are resized.
    shape : new sizes.

    Notes
    -----
    Voxel n//2 stays at n//2. The highest frequency of an even size stands for ±n/2: it is split when padding and
    summed when cropping, so that padding and cropping back returns the map.
    """
    for axis, new in zip(range(-len(shape), 0), shape, strict=True):
        if x.shape[axis] != new:
            x = _resize_axis(x, axis, new)
    return x


def _resize_axis(x: Tensor, axis: int, new: int) -> Tensor:
    old = x.shape[axis]
    f = torch.fft.rfft(torch.roll(x, -(old // 2), dims=axis), dim=axis).movedim(axis, -1)
    keep = min(old, new) // 2 + 1
    f = torch.nn.functional.pad(f[..., :keep], (0, new // 2 + 1 - keep)) if keep <= new // 2 else f[..., :keep].clone()
    # the real half transform counts its last frequency of an even size once, every other one twice
    if new > old and old % 2 == 0:
        f[..., old // 2] *= 0.5
    elif new < old and new % 2 == 0:
        f[..., new // 2] = 2.0 * f[..., new // 2].real
    return torch.roll(torch.fft.irfft(f.movedim(-1, axis), n=new, dim=axis) * (new / old), new // 2, dims=axis)


def resample(x: Tensor, ratio: Sequence[float], shape: Sequence[int]) -> Tensor:
    """Band-limited samples of the last axes at any pixel size, the centre n//2 staying the centre.

    Parameters
    ----------
    x : real map or stack.
    ratio : new over old pixel size for each of the last axes.
    shape : new sizes; what lies beyond the old box is zero.

    Notes
    -----
    Exact trigonometric interpolation with all frequencies that both grids hold, as a product with one matrix an axis
    (Dirichlet kernel): what Fourier cropping does, without its restriction to pixel sizes that fit whole boxes.
    """
    for axis, (r, new) in enumerate(zip(ratio, shape, strict=True), start=x.dim() - len(shape)):
        old = x.shape[axis]
        if new == round(old / r) and abs(new * r - old) < 1e-6 * old:
            x = fourier_resize(x, [new if a == axis else x.shape[a] for a in range(axis, x.dim())])
            continue
        kernel = _dirichlet(old, new, r, x)
        x = torch.tensordot(x, kernel, dims=([axis], [1])).movedim(-1, axis)
    return x.contiguous()


def _dirichlet(old: int, new: int, ratio: float, like: Tensor) -> Tensor:
    """Matrix (new, old) of the trigonometric interpolation at (j − new//2)·ratio from the centre."""
    position = (torch.arange(new, dtype=torch.float64) - new // 2) * ratio
    u = (position[:, None] - (torch.arange(old, dtype=torch.float64) - old // 2)) / old
    limit = old / 2 * min(1.0, 1.0 / ratio)  # highest frequency of both grids, in 1/(old box)
    highest = math.ceil(limit - 1e-9) - 1  # frequencies strictly below it in full
    sine = torch.sin(math.pi * u)
    on_grid = sine.abs() < 1e-12
    full = torch.sin(math.pi * (2 * highest + 1) * u) / torch.where(on_grid, 1.0, sine)
    kernel = torch.where(on_grid, float(2 * highest + 1), full)
    if abs(limit - round(limit)) < 1e-9:  # ± the frequency on the limit, half each
        kernel = kernel + torch.cos(2 * math.pi * round(limit) * u)
    outside = (position < -(old // 2) - 0.5) | (position > old - old // 2 - 0.5)
    kernel[outside] = 0.0
    return (kernel / old).to(like)
