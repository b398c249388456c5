"""Solvent masks: threshold, grow, soft edge; from a map or from a model.

Distances are exact Euclidean ones, but only as far as the mask needs them: three passes of a windowed minimum, one an
axis, over 16-bit integers (Felzenszwalb & Huttenlocher 2012 give the separation). A mask of 216³ costs a fraction of a
second; searching each voxel's neighbourhood costs minutes. Nothing here has a gradient or gains by a GPU, so it works
on NumPy arrays: `burnish mask` is done before PyTorch would have started.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_FAR = 16000  # squared distance that stands for "beyond reach": with a step² added it still fits int16


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskShape:
    """How a mask follows from its binary seed; lengths in voxels.

    Attributes
    ----------
    extend : grow by this distance; negative shrinks.
    soft_edge : width of the raised-cosine edge outside the grown seed.
    radius : nothing of the seed beyond this distance from the box centre; None for no limit.
    largest_only : keep only the largest connected part of the seed.
    helix_z_frac : keep this central fraction of the z axis, with the soft edge at its ends; None for all.
    """

    extend: float = 0.0
    soft_edge: float = 6.0
    radius: float | None = None
    largest_only: bool = False
    helix_z_frac: float | None = None


def squared_distances(inside: np.ndarray, reach: float) -> np.ndarray:
    """Squared distance in voxels from every voxel to the nearest `True`, int16; beyond `reach` at least reach².

    Parameters
    ----------
    inside : boolean map.
    reach : how far distances matter, voxels; at most 126.

    Examples
    --------
    >>> seed = np.zeros((1, 1, 5), bool); seed[0, 0, 0] = True
    >>> squared_distances(seed, 3)[0, 0].tolist()
    [0, 1, 4, 9, 16000]
    """
    steps = math.ceil(reach)
    if steps**2 >= _FAR:
        raise ValueError(f"a distance of {reach:g} voxels is too far; at most 126")
    squared = np.where(inside, np.int16(0), np.int16(_FAR))
    for axis in range(inside.ndim):
        nearest = squared.copy()
        length = inside.shape[axis]
        for step in range(1, min(steps, length - 1) + 1):
            head, tail = _along(axis, 0, length - step), _along(axis, step, length)
            away = np.int16(step**2)
            np.minimum(nearest[head], squared[tail] + away, out=nearest[head])
            np.minimum(nearest[tail], squared[head] + away, out=nearest[tail])
        squared = nearest
    return squared


def _along(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(start, stop),)


def make_mask(seed: np.ndarray, shape: MaskShape) -> np.ndarray:
    """Return the mask, float32 in [0, 1], of a boolean seed.

    Notes
    -----
    As RELION's: voxels nearer than `extend` to the seed join it (strictly nearer), voxels nearer than `soft_edge` to
    what results get ½ + ½ cos(π d / soft_edge).
    """
    if shape.radius is not None:
        seed = seed & (_squared_radii(seed.shape) <= shape.radius**2)
    if shape.largest_only:
        seed = largest_part(seed)
    mask = np.zeros(seed.shape, np.float32)
    if not seed.any():
        return mask
    block = _bounding_block(seed, math.ceil(max(shape.extend, 0.0) + shape.soft_edge) + 1)
    mask[block] = _soften(_grow(seed[block], shape.extend), shape.soft_edge)
    if shape.helix_z_frac is not None:
        mask *= _helix_profile(len(seed), shape.helix_z_frac, shape.soft_edge)[:, None, None]
    return mask


def _grow(seed: np.ndarray, extend: float) -> np.ndarray:
    if extend > 0:
        return squared_distances(seed, extend) < extend**2
    if extend < 0:
        return squared_distances(~seed, -extend) >= extend**2
    return seed


def _soften(inside: np.ndarray, width: float) -> np.ndarray:
    if width <= 0:
        return inside.astype(np.float32)
    squared = squared_distances(inside, width)
    distance = np.sqrt(np.arange(math.ceil(width**2) + 1))
    table = np.where(distance < width, 0.5 + 0.5 * np.cos(np.pi * distance / width), 0.0).astype(np.float32)
    return table[np.minimum(squared, len(table) - 1, out=squared)]


def _bounding_block(seed: np.ndarray, margin: int) -> tuple[slice, ...]:
    """Slices of the box about the seed with a margin: what lies outside stays zero."""
    block = []
    for axis, n in enumerate(seed.shape):
        others = tuple(a for a in range(seed.ndim) if a != axis)
        where = np.flatnonzero(seed.any(axis=others))
        block.append(slice(max(int(where[0]) - margin, 0), min(int(where[-1]) + margin + 1, n)))
    return tuple(block)


def _squared_radii(shape: tuple[int, ...]) -> np.ndarray:
    """Squared distance of each voxel from the box centre n//2, voxels²."""
    z, y, x = (np.arange(n, dtype=np.float32) - n // 2 for n in shape)
    return z[:, None, None] ** 2 + y[:, None] ** 2 + x**2


def _helix_profile(n: int, fraction: float, edge: float) -> np.ndarray:
    """1 in the central fraction of n voxels, raised cosine over `edge` voxels outside it."""
    beyond = np.abs(np.arange(n) - n // 2) - fraction * n / 2
    if edge <= 0:
        return (beyond <= 0).astype(np.float32)
    return (0.5 + 0.5 * np.cos(np.pi * np.clip(beyond / edge, 0, 1))).astype(np.float32)


def largest_part(seed: np.ndarray) -> np.ndarray:
    """Return the largest part of a boolean map that hangs together by faces."""
    from scipy import ndimage  # half a second to import, for those who ask for it

    labels, count = ndimage.label(seed)
    if count <= 1:
        return seed
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax()


def automatic_threshold(density: np.ndarray) -> float:
    """Density at which a low-passed map should be cut into particle and solvent.

    Notes
    -----
    0.8 of the level that best parts the values in two classes (Otsu 1979, IEEE Trans. SMC 9, 62): that level runs
    midway between particle and solvent, and a mask should rather hold too much. Never below three standard deviations
    of the solvent, whose spread is that of the values below the most frequent one, unless that is above Otsu's level.
    """
    every = 2 if density.size > 1 << 21 else 1  # a low-passed map hardly changes from voxel to voxel
    values = density[::every, ::every, ::every]
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return high
    bins = 4096
    width = (high - low) / bins
    bin_of = np.minimum(((values - np.float32(low)) * np.float32(1 / width)).astype(np.int32), bins - 1)
    counts = np.bincount(bin_of.ravel(), minlength=bins).astype(np.float64)
    level = low + (np.arange(bins) + 0.5) * width
    below, total = counts.cumsum(), counts.sum()
    first = (counts * level).cumsum()
    between = (first[-1] / total * below - first) ** 2 / np.maximum(below * (total - below), 1.0)
    otsu = float(level[between.argmax()])
    mode = float(level[counts.argmax()])
    lower = counts * (level < mode)
    spread = math.sqrt(float((lower * (level - mode) ** 2).sum()) / max(float(lower.sum()), 1.0))
    return max(0.8 * otsu, min(mode + 3.0 * spread, otsu))


def seed_from_atoms(
    xyz: np.ndarray, shape: tuple[int, ...], voxel_size: tuple[float, float, float], radius: float
) -> np.ndarray:
    """Boolean map of the voxels within `radius` (Å) of any atom.

    Parameters
    ----------
    xyz : positions relative to voxel [0, 0, 0], Å. (n, 3)
    shape : of the map. (z, y, x)
    voxel_size : (x, y, z), Å.
    radius : Å.
    """
    seed = np.zeros(shape, bool)
    flat = seed.reshape(-1)
    steps = [np.arange(-int(radius / size) - 1, int(radius / size) + 2) for size in voxel_size]
    strides = (1, shape[2], shape[2] * shape[1])
    block = max(1, 1_000_000 // math.prod(map(len, steps)))
    for start in range(0, len(xyz), block):
        squares, places = [], []
        for axis, (step, size) in enumerate(zip(steps, voxel_size, strict=True)):
            place = xyz[start : start + block, axis, None]
            voxel = np.rint(place / size).astype(np.int64) + step
            inside = (voxel >= 0) & (voxel < shape[2 - axis])
            squares.append(np.where(inside, (voxel * size - place) ** 2, np.inf))
            places.append(voxel * strides[axis])
        x, y, z = squares
        near = x[:, :, None, None] + y[:, None, :, None] + z[:, None, None, :] <= radius**2
        x, y, z = places
        flat[(x[:, :, None, None] + y[:, None, :, None] + z[:, None, None, :])[near]] = True
    return seed


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskFacts:
    """What a user should know of a mask.

    Attributes
    ----------
    fraction : of the box above ½.
    density_outside : share of the density above the automatic threshold that lies where the mask is below ½.
    touches_edge : whether the mask is above 0 on a face of the box.
    """

    fraction: float
    density_outside: float
    touches_edge: bool


def describe_mask(mask: np.ndarray, density: np.ndarray, threshold: float) -> MaskFacts:
    """Facts of a mask over the low-passed density that it is for; `threshold` from `automatic_threshold`."""
    inside = mask >= 0.5
    strong = np.where(density > threshold, density, np.float32(0))
    mass = float(strong.sum(dtype=np.float64))
    outside = mass - float(strong.sum(where=inside, dtype=np.float64))
    faces = (mask[0], mask[-1], mask[:, 0], mask[:, -1], mask[:, :, 0], mask[:, :, -1])
    return MaskFacts(
        fraction=float(np.count_nonzero(inside) / inside.size),
        density_outside=max(outside, 0.0) / mass if mass > 0 else 0.0,
        touches_edge=any(bool((face > 0).any()) for face in faces),
    )
