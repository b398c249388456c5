"""Operations on maps and image stacks: filters, other pixels and boxes, contrast, shift, hand, symmetry, statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from burnish.fourier.filters import b_factor_weight, filter_radially, high_pass, low_pass
from burnish.fourier.resize import resample, window
from burnish.fourier.transforms import shift_phases


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOperations:
    """What to do, in this order; None and False leave a step out.

    Attributes
    ----------
    invert : multiply by −1.
    mirror : reverse the hand, by reversing z of a map or x of images, about the centre.
    rotations : point group to average over, matrices (n, 3, 3); maps only.
    low_pass, high_pass : Å.
    b_factor : multiply by exp(−B s²/4), Å².
    shift : (x, y[, z]) pixels by which the content moves.
    pixel_size : new pixel size, Å.
    box : new box, pixels.
    """

    invert: bool = False
    mirror: bool = False
    rotations: Tensor | None = None
    low_pass: float | None = None
    high_pass: float | None = None
    b_factor: float | None = None
    shift: tuple[float, ...] | None = None
    pixel_size: float | None = None
    box: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStatistics:
    """Numbers of a map or stack."""

    count: int
    mean: float
    sd: float
    minimum: float
    maximum: float


def transform_image(values: Tensor, pixel_size: float, operations: ImageOperations, *, dims: int) -> Tensor:
    """Return a map (dims=3) or a stack of images (dims=2) after the operations.

    Parameters
    ----------
    values : [z, y, x] or [n, y, x].
    pixel_size : before, Å.
    """
    o = operations
    if o.invert:
        values = -values
    if o.mirror:
        values = mirror(values, -3 if dims == 3 else -1)
    if o.rotations is not None:
        values = symmetrise(values, o.rotations)
    if o.low_pass:
        values = low_pass(values, o.low_pass, pixel_size, dims=dims)
    if o.high_pass:
        values = high_pass(values, o.high_pass, pixel_size, dims=dims)
    if o.b_factor:
        weight = b_factor_weight(o.b_factor, max(values.shape[-dims:]) * pixel_size)
        values = filter_radially(values, weight, dims=dims)
    if o.shift and any(o.shift):
        values = _shift(values, o.shift, dims)
    if o.pixel_size and abs(o.pixel_size - pixel_size) > 1e-7 * pixel_size:
        ratio = o.pixel_size / pixel_size
        shape = [o.box or _even(n / ratio) for n in values.shape[-dims:]]
        return resample(values, (ratio,) * dims, shape)
    if o.box:
        values = window(values, (o.box,) * dims)
    return values


def mirror(values: Tensor, axis: int) -> Tensor:
    """Reverse an axis so that the centre n//2 stays where it is; an even box wraps its first plane around.

    Examples
    --------
    >>> mirror(torch.tensor([0, 1, 2, 3]), 0).tolist()
    [0, 3, 2, 1]
    """
    flipped = values.flip(axis)
    return torch.roll(flipped, 1, dims=axis) if values.shape[axis] % 2 == 0 else flipped


def symmetrise(values: Tensor, rotations: Tensor) -> Tensor:
    """Average a map over rotations about its centre n//2, cubic splines between voxels.

    Parameters
    ----------
    values : [z, y, x].
    rotations : matrices that act on (x, y, z), the identity among them. (n, 3, 3)
    """
    from scipy import ndimage  # cubic splines in 3D, which torch has not: trilinear would blur the average

    array = values.cpu().numpy()
    coefficients = ndimage.spline_filter(array, order=3, output=np.float32)
    centre = torch.tensor([n // 2 for n in values.shape], dtype=torch.float64)
    total = torch.zeros_like(values, device="cpu")
    for rotation in rotations.to("cpu", torch.float64):
        matrix = rotation.flip(0, 1)  # (x, y, z) to the array's order
        if torch.allclose(matrix, torch.eye(3, dtype=torch.float64), atol=1e-9):
            total += values.cpu()
            continue
        offset = centre - matrix @ centre
        moved = ndimage.affine_transform(coefficients, matrix.numpy(), offset.numpy(), order=3, prefilter=False)
        total += torch.from_numpy(moved).to(total.dtype)
    return (total / len(rotations)).to(values.device)


def statistics(values: Tensor) -> ImageStatistics:
    """Mean, standard deviation and range."""
    wide = values.double()
    return ImageStatistics(
        count=values.numel(),
        mean=float(wide.mean()),
        sd=float(wide.std(correction=0)),
        minimum=float(values.min()),
        maximum=float(values.max()),
    )


def pooled(parts: Sequence[ImageStatistics]) -> ImageStatistics:
    """Statistics of all values from those of parts of them."""
    count = sum(p.count for p in parts)
    mean = sum(p.mean * p.count for p in parts) / count
    square = sum((p.sd**2 + (p.mean - mean) ** 2) * p.count for p in parts) / count
    return ImageStatistics(
        count=count,
        mean=mean,
        sd=math.sqrt(square),
        minimum=min(p.minimum for p in parts),
        maximum=max(p.maximum for p in parts),
    )


def origin_after(
    origin: tuple[float, ...], old: tuple[int, ...], old_pixel: float, new: tuple[int, ...], new_pixel: float
) -> tuple[float, float, float]:
    """Position of voxel 0 (x, y, z) after a change of box or pixel about the centre; sizes are (x, y, z)."""
    x, y, z = (o + (a // 2) * old_pixel - (b // 2) * new_pixel for o, a, b in zip(origin, old, new, strict=True))
    return x, y, z


def _shift(values: Tensor, shift: tuple[float, ...], dims: int) -> Tensor:
    if all(float(s).is_integer() for s in shift[:dims]):
        axes = tuple(range(-dims, 0))
        return torch.roll(values, [int(s) for s in reversed(shift[:dims])], dims=axes)
    shape = values.shape[-dims:]
    axes = tuple(range(-dims, 0))
    moved = shift_phases(torch.fft.rfftn(values, dim=axes), shape, shift[:dims])
    return torch.fft.irfftn(moved, s=shape, dim=axes)


def _even(size: float) -> int:
    """Nearest even whole number, as every program of the field likes its boxes."""
    return 2 * max(1, round(size / 2))
