"""Solvent masks: threshold, grow, soft edge; from a map or from a model.

Distances are exact Euclidean ones, but only as far as the mask needs them: three passes of a windowed minimum, one an
axis, over 16-bit integers (Felzenszwalb & Huttenlocher 2012 give the separation). A mask of 216³ costs a fraction of a
second; searching each voxel's neighbourhood costs minutes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

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


def squared_distances(inside: Tensor, reach: float) -> Tensor:
    """Squared distance in voxels from every voxel to the nearest `True`, int16; beyond `reach` at least reach².

    Parameters
    ----------
    inside : boolean map.
    reach : how far distances matter, voxels; at most 126.

    Examples
    --------
    >>> seed = torch.zeros(1, 1, 5, dtype=torch.bool); seed[0, 0, 0] = True
    >>> squared_distances(seed, 3)[0, 0].tolist()
    [0, 1, 4, 9, 16000]
    """
    steps = math.ceil(reach)
    if steps**2 >= _FAR:
        raise ValueError(f"a distance of {reach:g} voxels is too far; at most 126")
    squared = torch.where(inside, 0, _FAR).to(torch.int16)
    for axis in range(inside.dim()):
        nearest = squared.clone()
        for step in range(1, min(steps, inside.shape[axis] - 1) + 1):
            length = inside.shape[axis] - step
            ahead = squared.narrow(axis, step, length) + step**2
            behind = squared.narrow(axis, 0, length) + step**2
            low, high = nearest.narrow(axis, 0, length), nearest.narrow(axis, step, length)
            torch.minimum(low, ahead, out=low)
            torch.minimum(high, behind, out=high)
        squared = nearest
    return squared


def make_mask(seed: Tensor, shape: MaskShape) -> Tensor:
    """Return the mask, float32 in [0, 1], of a boolean seed.

    Notes
    -----
    As RELION's: voxels nearer than `extend` to the seed join it (strictly nearer), voxels nearer than `soft_edge` to
    what results get ½ + ½ cos(π d / soft_edge).
    """
    if shape.radius is not None:
        seed = seed & (_radii(seed) <= shape.radius)
    if shape.largest_only:
        seed = largest_part(seed)
    if not bool(seed.any()):
        return torch.zeros(seed.shape, device=seed.device)
    block = _bounding_block(seed, math.ceil(max(shape.extend, 0.0) + shape.soft_edge) + 1)
    mask = torch.zeros(seed.shape, device=seed.device)
    grown = _grow(seed[block], shape.extend)
    mask[block] = _soften(grown, shape.soft_edge)
    if shape.helix_z_frac is not None:
        mask *= _helix_profile(len(seed), shape.helix_z_frac, shape.soft_edge).to(mask)[:, None, None]
    return mask


def _grow(seed: Tensor, extend: float) -> Tensor:
    if extend > 0:
        return squared_distances(seed, extend) < extend**2
    if extend < 0:
        return squared_distances(~seed, -extend) >= extend**2
    return seed


def _soften(inside: Tensor, width: float) -> Tensor:
    if width <= 0:
        return inside.float()
    squared = squared_distances(inside, width)
    table = torch.zeros(math.ceil(width**2) + 1, device=inside.device)
    near = torch.arange(len(table), device=inside.device) < width**2
    distance = torch.arange(len(table), device=inside.device, dtype=torch.float64).sqrt()
    table[near] = (0.5 + 0.5 * torch.cos(math.pi * distance / width)).float()[near]
    return table[squared.clamp_(max=len(table) - 1).int()]


def _bounding_block(seed: Tensor, margin: int) -> tuple[slice, ...]:
    """Slices of the box about the seed with a margin: what lies outside stays zero."""
    block = []
    for axis in range(seed.dim()):
        others = [a for a in range(seed.dim()) if a != axis]
        filled = torch.nonzero(seed.any(dim=others[1]).any(dim=others[0]))
        block.append(slice(max(int(filled[0]) - margin, 0), min(int(filled[-1]) + margin + 1, seed.shape[axis])))
    return tuple(block)


def _radii(like: Tensor) -> Tensor:
    """Distance of each voxel from the box centre n//2, voxels."""
    z, y, x = (torch.arange(n, device=like.device, dtype=torch.float32) - n // 2 for n in like.shape)
    return (z[:, None, None] ** 2 + y[:, None] ** 2 + x**2).sqrt()


def _helix_profile(n: int, fraction: float, edge: float) -> Tensor:
    """1 in the central fraction of n voxels, raised cosine over `edge` voxels outside it."""
    half = fraction * n / 2
    beyond = (torch.arange(n, dtype=torch.float64) - n // 2).abs() - half
    if edge <= 0:
        return (beyond <= 0).float()
    return (0.5 + 0.5 * torch.cos(math.pi * (beyond / edge).clamp(0, 1))).float()


def largest_part(seed: Tensor) -> Tensor:
    """Return the largest part of a boolean map that hangs together by faces."""
    from scipy import ndimage  # no labelling in torch; half a second to import, for those who ask for it

    labels, count = ndimage.label(seed.cpu().numpy())
    if count <= 1:
        return seed
    found = torch.from_numpy(labels)
    sizes = torch.bincount(found.flatten())
    sizes[0] = 0
    return (found == int(sizes.argmax())).to(seed.device)


def automatic_threshold(density: Tensor) -> float:
    """Density at which a low-passed map should be cut into particle and solvent.

    Notes
    -----
    0.8 of the level that best parts the values in two classes (Otsu 1979, IEEE Trans. SMC 9, 62): that level runs
    midway between particle and solvent, and a mask should rather hold too much. Never below three standard deviations
    of the solvent, whose spread is that of the values below the most frequent one, unless that is above Otsu's level.
    """
    every = 2 if density.numel() > 1 << 21 else 1  # a low-passed map hardly changes from voxel to voxel
    values = density[::every, ::every, ::every].float()
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return high
    bins = 4096
    counts = torch.histc(values, bins, low, high).double()
    width = (high - low) / bins
    level = low + (torch.arange(bins, device=values.device, dtype=torch.float64) + 0.5) * width
    below, total = counts.cumsum(0), counts.sum()
    first = (counts * level).cumsum(0)
    between = (first[-1] / total * below - first).square() / (below * (total - below)).clamp_min(1.0)
    otsu = float(level[int(between.argmax())])
    mode = float(level[int(counts.argmax())])
    lower = counts * (level < mode)
    spread = float(((lower * (level - mode).square()).sum() / lower.sum().clamp_min(1.0)).sqrt())
    return max(0.8 * otsu, min(mode + 3.0 * spread, otsu))


def seed_from_atoms(xyz: Tensor, like: Tensor, voxel_size: tuple[float, float, float], radius: float) -> Tensor:
    """Boolean map of the voxels within `radius` (Å) of any atom.

    Parameters
    ----------
    xyz : positions relative to voxel [0, 0, 0], Å. (n, 3)
    like : map whose shape and device it takes.
    voxel_size : (x, y, z), Å.
    radius : Å.
    """
    size = torch.tensor(voxel_size, dtype=torch.float64, device=like.device)
    seed = torch.zeros(like.shape, dtype=torch.bool, device=like.device)
    reach = [int(radius / s) + 1 for s in voxel_size]
    steps = torch.cartesian_prod(*(torch.arange(-r, r + 1, device=like.device) for r in reach))
    limit = torch.tensor(like.shape[::-1], device=like.device)
    for atoms in xyz.to(like.device, torch.float64).split(max(1, 4_000_000 // len(steps))):
        voxel = (atoms / size).round().long()[:, None] + steps
        near = (voxel * size - atoms[:, None]).square().sum(-1) <= radius**2
        near &= ((voxel >= 0) & (voxel < limit)).all(-1)
        x, y, z = voxel[near].unbind(-1)
        seed[z, y, x] = True
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


def describe_mask(mask: Tensor, density: Tensor, threshold: float) -> MaskFacts:
    """Facts of a mask over the low-passed density that it is for; `threshold` from `automatic_threshold`."""
    inside = mask >= 0.5
    strong = torch.where(density > threshold, density, 0.0)
    mass = float(strong.sum(dtype=torch.float64))
    outside = mass - float(strong.mul_(inside).sum(dtype=torch.float64))
    faces = (mask[0], mask[-1], mask[:, 0], mask[:, -1], mask[:, :, 0], mask[:, :, -1])
    return MaskFacts(
        fraction=float(inside.double().mean()),
        density_outside=max(outside, 0.0) / mass if mass > 0 else 0.0,
        touches_edge=any(bool((face > 0).any()) for face in faces),
    )
