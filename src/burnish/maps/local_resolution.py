"""Local resolution: FSC of two half maps in a soft sphere that moves over the box.

Cardone, Heymann & Steven 2013 (J. Struct. Biol. 184, 226) with RELION's masks and its correction by random phases. The
sphere is cut out and transformed in a box of its own size, many at a time, instead of in the whole box; the locally
filtered map is a sum over bands of the whole map's transform, each weighted in real space, which equals filtering the
whole map once for every sphere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.core.events import Listener, Progress, ignore
from burnish.fourier.filters import b_factor_weight, randomise_phases
from burnish.fourier.shells import radius_blocks, shell_count, shell_indices, weight_radially_
from burnish.fourier.sizes import fast_even_size
from burnish.maps.fsc_correction import correct_fsc
from burnish.maps.sharpening import fsc_weights

_CHUNK = 1 << 21  # voxels of small boxes at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalResolutionSettings:
    """How to measure; lengths in Å.

    Attributes
    ----------
    step : between sphere centres.
    radius, edge : of the sphere where the mask is 1, and width of the raised cosine around it.
    randomise_from : resolution from which phases are randomised for the correction.
    worst : no resolution coarser than this is reported.
    threshold : of the FSC.
    b_factor : sharpening of the locally filtered map, Å².
    """

    step: float = 15.0
    radius: float = 12.5
    edge: float = 25.0
    randomise_from: float = 25.0
    worst: float = 50.0
    threshold: float = 0.143
    b_factor: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalResolution:
    """Local resolution of a map.

    Attributes
    ----------
    resolution : of each voxel, Å; 0 where no sphere came. [z, y, x]
    filtered : mean map, weighted and low-passed by the local FSC, sharpened. [z, y, x]
    centres : voxel of each sphere (z, y, x). (spheres, 3)
    at_centres : resolution of each sphere, Å. (spheres,)
    curves : corrected FSC of each sphere, (spheres, shells).
    spacing : s of each shell of `curves`, Å⁻¹.
    """

    resolution: Tensor
    filtered: Tensor
    centres: Tensor
    at_centres: Tensor
    curves: Tensor
    spacing: Tensor


def soft_sphere(box: int, radius: float, edge: float) -> Tensor:
    """Ball of `radius` about the centre n//2 with a raised-cosine edge, lengths in voxels; [z, y, x]."""
    squared = (torch.arange(box, dtype=torch.float32) - box // 2) ** 2
    r = (squared[:, None, None] + squared[:, None] + squared).sqrt()
    if edge <= 0:
        return (r <= radius).float()
    return 0.5 + 0.5 * torch.cos(math.pi * ((r - radius) / edge).clamp(0.0, 1.0))


def sphere_centres(shape: torch.Size, step: int, margin: float, mask: Tensor | None) -> Tensor:
    """Centres (z, y, x) on a grid of `step` voxels through the box centre, within half a box less `margin` of it.

    With a mask, only those with a voxel of it (≥ ½) nearer than a step, so that every voxel inside is covered.
    """
    axes = []
    for n in shape:
        count = (n // 2) // step
        axes.append(torch.arange(-count, count + 1) * step)
    offsets = torch.cartesian_prod(*axes)
    offsets = offsets[offsets.double().norm(dim=1) < min(shape) / 2 - margin]
    centres = offsets + torch.tensor([n // 2 for n in shape])
    centres = centres[((centres >= 0) & (centres < torch.tensor(list(shape)))).all(1)]
    if mask is None:
        return centres
    near = (mask >= 0.5).float()[None, None]
    for axis in range(3):  # one axis at a time: torch's cubic window costs the cube of its width
        size, pad = ([2 * step + 1 if a == axis else 1 for a in range(3)], [step if a == axis else 0 for a in range(3)])
        near = torch.nn.functional.max_pool3d(near, size, 1, pad)
    z, y, x = centres.unbind(1)
    return centres[near[0, 0, z, y, x] > 0]


def local_resolution(
    half1: Tensor,
    half2: Tensor,
    pixel_size: float,
    settings: LocalResolutionSettings,
    generator: torch.Generator,
    *,
    mask: Tensor | None = None,
    listener: Listener = ignore,
) -> LocalResolution:
    """Measure the resolution around every voxel, and filter the mean map by it.

    Parameters
    ----------
    half1, half2 : unfiltered half maps [z, y, x], cubic.
    pixel_size : Å.
    settings : of the spheres.
    generator : for the random phases.
    mask : measure only where it is; None for the whole ball in the box.
    listener : told of progress.
    """
    n = half1.shape[0]
    step, radius = max(1, round(settings.step / pixel_size)), round(settings.radius / pixel_size)
    edge = round(settings.edge / pixel_size)
    centres = sphere_centres(half1.shape, step, radius, mask)
    box = min(fast_even_size(2 * (radius + edge) + 1), n)
    f1, f2 = torch.fft.rfftn(half1), torch.fft.rfftn(half2)
    start = int(n * pixel_size / settings.randomise_from)
    random1, random2 = (
        torch.fft.irfftn(randomise_phases(f, half1.shape, start, generator), s=half1.shape) for f in (f1, f2)
    )
    sphere = soft_sphere(box, radius, edge)
    start_here = (start + 2) * box / n  # in shells of the small box
    curves = _corrected_curves((half1, half2, random1, random2), centres, sphere, start_here, listener)
    del random1, random2
    at_centres = _crossings(curves, settings.threshold, box * pixel_size).clamp(2 * pixel_size, settings.worst)
    kernel = torch.fft.rfftn(torch.roll(_embed(sphere, n), [-(n // 2)] * 3, dims=(0, 1, 2)))
    weight = _spread(torch.ones(len(centres)), centres, kernel, n)
    covered = weight > 1e-3
    inverse = _spread(1.0 / at_centres, centres, kernel, n)
    resolution = torch.where(covered, weight / inverse.clamp_min(1e-12), 0.0)
    f1 += f2
    f1 *= 0.5
    del f2
    if settings.b_factor:
        weight_radially_(f1, half1.shape, b_factor_weight(settings.b_factor, n * pixel_size))
    bands = _band_weights(curves, at_centres, box, pixel_size)
    filtered = _filter_by_bands(f1, bands, centres, kernel, box / n, listener)
    return LocalResolution(
        resolution=resolution,
        filtered=torch.where(covered, filtered / weight.clamp_min(1e-3), 0.0),
        centres=centres,
        at_centres=at_centres,
        curves=curves,
        spacing=torch.arange(curves.shape[1], dtype=torch.float64) / (box * pixel_size),
    )


def quantiles(resolution: Tensor, inside: Tensor) -> dict[str, float]:
    """Median, best and worst tenth of the local resolution inside a mask, Å."""
    values = resolution[inside].double()
    if not len(values):
        return {"median": math.inf, "best_10_percent": math.inf, "worst_10_percent": math.inf}
    ordered = values.sort().values  # torch.quantile refuses more than 16 million values
    named = {"median": 0.5, "best_10_percent": 0.1, "worst_10_percent": 0.9}
    return {name: float(ordered[min(int(q * len(ordered)), len(ordered) - 1)]) for name, q in named.items()}


def _corrected_curves(
    maps: tuple[Tensor, ...], centres: Tensor, sphere: Tensor, randomised_from: float, listener: Listener
) -> Tensor:
    """Corrected FSC of every sphere, (spheres, shells) float32; `randomised_from` in shells of the small box."""
    shells = shell_count(sphere.shape)
    index = shell_indices(sphere.shape).flatten().clamp_max(shells)
    order = torch.argsort(index, stable=True)[: int((index < shells).sum())]
    counts = torch.bincount(index, minlength=shells + 1)[:shells]
    ends = counts.cumsum(0)
    begin = math.ceil(randomised_from) - 2  # `correct_fsc` begins two shells later, which are wide ones here
    curves = torch.empty(len(centres), shells)
    for at, boxes in _small_boxes(maps, centres, sphere):
        f = torch.fft.rfftn(boxes, dim=(-3, -2, -1)).reshape(4, boxes.shape[1], -1)
        masked, random = (_correlation(f[i], f[i + 1], order, ends) for i in (0, 2))
        corrected = torch.stack([correct_fsc(m, r, begin) for m, r in zip(masked, random, strict=True)])
        curves[at] = corrected.float()
        listener(Progress("local resolution", at.stop, len(centres)))
    return curves


def _correlation(a: Tensor, b: Tensor, order: Tensor, ends: Tensor) -> Tensor:
    """FSC of each pair of transforms (spheres, coefficients), coefficients sorted by shell with the end of each."""
    a, b = torch.view_as_real(a[:, order]), torch.view_as_real(b[:, order])

    def total(x: Tensor) -> Tensor:
        running = x.sum(-1).double().cumsum(1)[:, ends - 1]
        return torch.diff(running, dim=1, prepend=torch.zeros(len(x), 1, dtype=torch.float64))

    norm = (total(a * a) * total(b * b)).clamp_min(0).sqrt()
    return torch.where(norm > 0, total(a * b) / norm.clamp_min(1e-300), 0.0)


def _small_boxes(maps: tuple[Tensor, ...], centres: Tensor, sphere: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield the maps around some centres at a time, times the sphere, (4, spheres, box, box, box)."""
    box = len(sphere)
    before, after = box // 2, box - box // 2
    padded = [torch.nn.functional.pad(m, (before, after) * 3) for m in maps]
    together = max(1, _CHUNK // (4 * box**3))
    for start in range(0, len(centres), together):
        chosen = centres[start : start + together].tolist()
        boxes = torch.empty(len(maps), len(chosen), box, box, box)
        for m, volume in enumerate(padded):
            for i, (z, y, x) in enumerate(chosen):  # voxel c of the map is c + before of the padded one
                torch.mul(volume[z : z + box, y : y + box, x : x + box], sphere, out=boxes[m, i])
        yield slice(start, start + len(chosen)), boxes


def _crossings(curves: Tensor, threshold: float, box_length: float) -> Tensor:
    """Resolution where each curve first falls below the threshold, between shells, Å; (spheres,)."""
    shells = curves.shape[1]
    below = curves < threshold
    below[:, 0] = False
    first = torch.where(below.any(1), below.to(torch.uint8).argmax(1), shells)
    high = (first - 1).clamp(0, shells - 1)
    low = first.clamp_max(shells - 1)
    top, bottom = curves.gather(1, high[:, None])[:, 0], curves.gather(1, low[:, None])[:, 0]
    part = torch.where(first < shells, (top - threshold) / (top - bottom).clamp_min(1e-6), 0.0).clamp(0, 1)
    return (box_length / (high + part).clamp_min(1e-3)).double()


def _embed(sphere: Tensor, n: int) -> Tensor:
    whole = torch.zeros(n, n, n)
    begin = n // 2 - len(sphere) // 2
    whole[(slice(begin, begin + len(sphere)),) * 3] = sphere
    return whole


def _spread(values: Tensor, centres: Tensor, kernel: Tensor, n: int) -> Tensor:
    """Sum over spheres of value times sphere, at every voxel."""
    points = torch.zeros(n, n, n)
    z, y, x = centres.unbind(1)
    points[z, y, x] = values.float()
    return torch.fft.irfftn(torch.fft.rfftn(points) * kernel, s=(n, n, n))


def _band_weights(curves: Tensor, at_centres: Tensor, box: int, pixel_size: float) -> Tensor:
    """FSC weight times low-pass at the local resolution of every sphere and shell, (spheres, shells)."""
    weights = torch.stack([fsc_weights(curve) for curve in curves]) if len(curves) else curves
    limit = box * pixel_size / at_centres
    shells = torch.arange(curves.shape[1], dtype=torch.float64)
    passes = (limit[:, None] + 0.5 - shells).clamp(0.0, 1.0)
    return weights * passes.float()


def _filter_by_bands(
    f: Tensor, bands: Tensor, centres: Tensor, kernel: Tensor, per_shell: float, listener: Listener
) -> Tensor:
    """Σ over bands of (map in the band) × (weight of the band around each voxel)."""
    n = kernel.shape[0]
    total = torch.zeros(n, n, n)
    radius = torch.cat([r for _, r in radius_blocks((n, n, n))]) * per_shell
    used = int((bands.amax(0) > 1e-4).nonzero().max()) + 1 if bool((bands > 1e-4).any()) else 0
    for band in range(used):
        share = (1.0 - (radius - band).abs()).clamp_min_(0.0)  # linear between shells of the small box
        if band == 0:
            share = torch.where(radius < 0.5 * per_shell, 1.0, share)
        part = torch.fft.irfftn(f * share, s=(n, n, n))
        total += part * _spread(bands[:, band], centres, kernel, n)
        listener(Progress("local filter", band + 1, used))
    return total
