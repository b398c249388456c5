"""Posterior of each particle as a few Gaussian modes in rotation and shift, moved by Gauss–Newton steps.

Once a posterior is narrow, a grid wastes its samples: a step on the five parameters costs about two slices and lands
on the mode.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from burnish.geometry.rotations import rotation_from_vector
from burnish.particles import kernels, mode_arrays, twins
from burnish.particles.images import ImageBlock
from burnish.particles.lattice import Lattice
from burnish.particles.projection import PADDING, FourierSums, FourierVolume, flat_floats

TURN_LIMIT = math.radians(8.0)  # of one step
SLIDE_LIMIT = 2.0  # of one step, px
_OWN_NOISE = 4.0  # 1/FSC − 1 at the FSC down to which an image's own noise in the reference is allowed for


@dataclass(frozen=True, slots=True, kw_only=True)
class Modes:
    """Modes of many particles, those of one particle beside each other.

    Attributes
    ----------
    owner : which image of its block (or particle of the set) a mode belongs to. (m,) int64
    rotation : (m, 3, 3) float64
    shift : (x, y) from the whole-pixel centre, px. (m, 2) float64
    log_weight : log-posterior at the mode. (m,) float64
    information : Gauss–Newton matrix in (rotation about image x, y, z; shift x, y). (m, 5, 5) float64
    """

    owner: Tensor
    rotation: Tensor
    shift: Tensor
    log_weight: Tensor
    information: Tensor

    def __len__(self) -> int:
        return len(self.owner)

    def select(self, keep: Tensor) -> Modes:
        """The modes of a mask or of indices."""
        return Modes(
            owner=self.owner[keep],
            rotation=self.rotation[keep],
            shift=self.shift[keep],
            log_weight=self.log_weight[keep],
            information=self.information[keep],
        )


def new_modes(owner: Tensor, rotation: Tensor, shift: Tensor) -> Modes:
    """Modes that nothing is known of yet."""
    m = len(owner)
    return Modes(
        owner=owner,
        rotation=rotation.double().contiguous(),
        shift=shift.double().contiguous(),
        log_weight=torch.zeros(m, dtype=torch.float64),
        information=torch.zeros(m, 5, 5, dtype=torch.float64),
    )


def join_modes(parts: list[Modes]) -> Modes:
    """Modes of several blocks, sorted by owner, order kept otherwise."""
    owner = torch.cat([p.owner for p in parts])
    order = torch.sort(owner, stable=True).indices
    return Modes(
        owner=owner[order],
        rotation=torch.cat([p.rotation for p in parts])[order],
        shift=torch.cat([p.shift for p in parts])[order],
        log_weight=torch.cat([p.log_weight for p in parts])[order],
        information=torch.cat([p.information for p in parts])[order],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Climber:
    """What modes of one block are moved against.

    Attributes
    ----------
    volumes : reference, by the radius that slices of it may have. At least that of the steps.
    block, lattice, precision : images, their pixels, and 1/σ² of each pixel. (k,)
    centres : whole-pixel centre of each image; the shift prior is on its sum with a mode's shift. (b, 2) px
    sigma_shift : of the shift prior, px.
    operators : of the point group. (m, 3, 3)
    """

    volumes: Mapping[int, FourierVolume]
    block: ImageBlock
    lattice: Lattice
    precision: Tensor
    centres: Tensor
    sigma_shift: float
    operators: Tensor


def climb(modes: Modes, climber: Climber, radius: int, steps: int, *, allowance: Tensor | None = None) -> Modes:
    """Take damped Gauss–Newton steps with every mode, at pixels up to `radius`; owners count within the block.

    Parameters
    ----------
    allowance : a step of less than a Fourier pixel may lower the posterior by so many times what it promised to raise
        it. (m,)
    """
    volume, block, lattice = climber.volumes[radius], climber.block, climber.lattice
    how = mode_arrays.Steps(
        count=steps, turn_limit=TURN_LIMIT, slide_limit=SLIDE_LIMIT, near=4.0 * same_angle(radius),
        allowance=torch.zeros(len(modes), dtype=torch.float64) if allowance is None else allowance,
        prior_centre=-climber.centres[modes.owner].double(), prior_precision=1.0 / climber.sigma_shift**2,
    )  # fmt: skip
    if not twins.compiled(volume.values):
        moved = mode_arrays.climb(
            volume,
            block,
            lattice,
            climber.precision,
            lattice.count(radius),
            modes.owner,
            modes.rotation,
            modes.shift,
            how,
        )
        return replace(modes, rotation=moved[0], shift=moved[1], log_weight=moved[2], information=moved[3])
    rotation, shift = modes.rotation.numpy().copy(), modes.shift.numpy().copy()
    log_weight, information = np.zeros(len(modes)), np.zeros((len(modes), 5, 5))
    kernels.climb(
        flat_floats(volume), volume.half, float(PADDING), lattice.coordinates.numpy(), lattice.pixels.numpy(),
        lattice.reach,
        float(lattice.size), block.masked.numpy(), block.transfer.numpy(), climber.precision.numpy(), 1,
        lattice.count(radius), modes.owner.numpy(), rotation, shift, how.prior_centre.numpy(), how.prior_precision,
        steps, how.turn_limit, how.slide_limit, how.allowance.numpy(), how.near, log_weight, information,
    )  # fmt: skip
    return replace(
        modes,
        rotation=torch.from_numpy(rotation),
        shift=torch.from_numpy(shift),
        log_weight=torch.from_numpy(log_weight),
        information=torch.from_numpy(information),
    )


def step_carried(modes: Modes, climber: Climber, radius: int, steps: int) -> Modes:
    """Steps of modes at whose poses the images stand in the reference already.

    Notes
    -----
    The noise of an image is part of the reference, at the pose it was inserted with: about that pose, as far as a
    Fourier pixel, the posterior has a spike that has nothing to do with the particle. Its slope there is zero and its
    curvature is missing in the Gauss–Newton matrix, so that the whole step goes where the posterior without the
    image's own share has its maximum, while the score, spike and all, may fall: for a mode of weight w the curvature
    with the spike is 1 + w (1/FSC − 1) times as large, and the score changes by 1 − w (1/FSC − 1) times what the step
    promised. This is allowed down to an FSC of .2.
    """
    share = mode_weights(modes, len(climber.block.index))
    return climb(modes, climber, radius, steps, allowance=(_OWN_NOISE * share - 1.0).clamp(min=0.0))


def merge(carried: Modes, found: Modes, count: int, *, same_angle: float, operators: Tensor) -> Modes:
    """Carried modes and those of the modes found anew that are none of them: these climb back into an image's own
    noise."""
    joined = join_modes([carried, found])
    order = torch.sort(torch.cat([carried.owner, found.owner]), stable=True).indices
    evidence = log_evidence(joined) + torch.where(order < len(carried), 1e9, 0.0)
    keep = np.zeros(len(joined), bool)
    kernels.prune(
        joined.owner.numpy(), joined.rotation.numpy(), evidence.numpy(), operators.double().numpy(), count,
        1e18, len(joined), 1.0 + 2.0 * math.cos(same_angle), keep,
    )  # fmt: skip
    return joined.select(torch.from_numpy(keep) | (order < len(carried)))


def march(modes: Modes, climber: Climber, radii: list[int], *, limit: int, window: float) -> Modes:
    """Climb at growing radius, dropping modes that fall behind.

    Parameters
    ----------
    radii : from `march_radii`.
    limit : how many modes a particle keeps of those found; half as many again after the first climb.
    """
    for stage, radius in enumerate(radii):
        last = stage == len(radii) - 1
        steps = 3 if stage == 0 else 2 if last else 1
        modes = climb(modes, climber, radius, steps)
        modes = prune(
            modes,
            len(climber.block.index),
            window=window,
            limit=limit if stage > 0 or last else limit + limit // 2,
            same_angle=same_angle(radius),
            operators=climber.operators,
        )
    return modes


def march_radii(first: int, last: int) -> list[int]:
    """Radii from where modes were found to the current one, each at most 1.6 times the one before."""
    radii = [min(first, last)]
    while radii[-1] < last:
        radii.append(min(last, math.ceil(1.6 * radii[-1])))
    return radii


def same_angle(radius: int) -> float:
    """Modes nearer to each other than this, rad, cannot be told apart at a radius in Fourier pixels."""
    return 0.25 / radius


def deviations(information: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviation of rotation (rad, root mean square over axes) and shift (px, per axis) of each mode. (m,)
    each"""
    variance = torch.diagonal(_covariance(information), dim1=1, dim2=2)
    return variance[:, :3].mean(1).sqrt(), variance[:, 3:].mean(1).sqrt()


def log_evidence(modes: Modes) -> Tensor:
    """Logarithm of the posterior's volume under each mode: log-posterior − ½ log det H (Laplace). (m,)"""
    ridge = 1e-6 * torch.diagonal(modes.information, dim1=1, dim2=2).mean(1).clamp(min=1e-12)
    matrix = modes.information + ridge[:, None, None] * torch.eye(5, dtype=torch.float64)
    return modes.log_weight - 0.5 * torch.linalg.slogdet(matrix).logabsdet


def mode_weights(modes: Modes, count: int) -> Tensor:
    """Share of each mode in its particle's posterior. (m,)"""
    evidence = log_evidence(modes)
    peak = torch.full((count,), -torch.inf, dtype=torch.float64).scatter_reduce(0, modes.owner, evidence, "amax")
    weight = torch.exp(evidence - peak[modes.owner])
    total = torch.zeros(count, dtype=torch.float64).index_add(0, modes.owner, weight)
    return weight / total[modes.owner]


def prune(modes: Modes, count: int, *, window: float, limit: int, same_angle: float, operators: Tensor) -> Modes:
    """Keep of each particle the best modes within `window` of the best in log-evidence, at most `limit`, no two alike.

    Parameters
    ----------
    same_angle : modes closer than this, rad, up to symmetry, are one.
    """
    evidence = log_evidence(modes).numpy()
    keep = np.zeros(len(modes), bool)
    kernels.prune(
        modes.owner.numpy(), modes.rotation.numpy(), evidence, operators.double().numpy(), count,
        window, limit, 1.0 + 2.0 * math.cos(same_angle), keep,
    )  # fmt: skip
    return modes.select(torch.from_numpy(keep))


@dataclass(frozen=True, slots=True, kw_only=True)
class Placements:
    """Where and with what weight images enter the map.

    Attributes
    ----------
    owner : image of the block. (p,) int64
    rotation : (p, 3, 3) float64
    shift : px. (p, 2) float64
    weight : (p,) float64
    blur : variance of the shift that is left, px². (p,)
    """

    owner: Tensor
    rotation: Tensor
    shift: Tensor
    weight: Tensor
    blur: Tensor


# Corners of a regular tetrahedron: four points of equal weight with the mean and covariance of a Gaussian
_CORNERS = ((1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0))


def placements(modes: Modes, weights: Tensor, radius: int, least: float = 3e-3, wide: float = 0.4) -> Placements:
    """Points at which modes are inserted: the mode itself, or four sigma points where it is wide.

    Parameters
    ----------
    weights : share of each mode. (m,)
    radius : of the map, Fourier pixels.
    least : share below which a mode is left out.
    wide : standard deviation of the rotation times `radius` above which sigma points are used, Fourier pixels.

    Notes
    -----
    Points at the corners of a tetrahedron along the principal axes of the rotation posterior, √3 σ from its middle,
    have its covariance; every other mode takes the tetrahedron's mirror image, so that what is odd in them cancels.
    The shift follows by its regression on the rotation.
    """
    used = weights > least
    modes, weights = modes.select(used), weights[used]
    covariance = _covariance(modes.information)
    turn = covariance[:, :3, :3]
    slope = torch.linalg.solve(turn + 1e-12 * torch.eye(3, dtype=torch.float64), covariance[:, :3, 3:])  # (m, 3, 2)
    rest = covariance[:, 3:, 3:] - covariance[:, 3:, :3] @ slope
    blur = 0.5 * torch.diagonal(rest, dim1=1, dim2=2).sum(1).clamp(min=0.0, max=8.0)
    values, axes = torch.linalg.eigh(turn)
    width = values.clamp(min=0.0, max=math.radians(12.0) ** 2).sqrt()
    is_wide = width[:, 2] * radius > wide
    narrow = ~is_wide
    parts = [(modes.owner[narrow], modes.rotation[narrow], modes.shift[narrow], weights[narrow], blur[narrow])]
    spread = torch.einsum("mij,mj->mij", axes, width)[is_wide]  # columns: principal axes times their widths
    mirror = 1.0 - 2.0 * (torch.arange(len(modes)) % 2).to(torch.float64)[is_wide]
    for corner in _CORNERS:
        vector = (spread @ torch.tensor(corner, dtype=torch.float64)) * mirror[:, None]
        rotation = rotation_from_vector(vector) @ modes.rotation[is_wide]
        move = torch.einsum("mi,mij->mj", vector, slope[is_wide])
        parts.append(
            (modes.owner[is_wide], rotation, modes.shift[is_wide] + move, weights[is_wide] / 4.0, blur[is_wide])
        )
    owner, rotation, shift, weight, damping = (torch.cat(column) for column in zip(*parts, strict=True))
    order = torch.sort(owner, stable=True).indices
    return Placements(
        owner=owner[order], rotation=rotation[order], shift=shift[order], weight=weight[order], blur=damping[order]
    )


def _covariance(information: Tensor) -> Tensor:
    """Inverse with a ridge that keeps hardly determined directions finite."""
    scale = torch.diagonal(information, dim1=1, dim2=2).clamp(min=1e-9)
    ridge = torch.diag_embed(1e-4 * scale + 1e-9)
    return torch.linalg.inv(information + ridge)


def insert_placements(
    sums: FourierSums,
    placed: Placements,
    block: ImageBlock,
    lattice: Lattice,
    precision: Tensor,
    planes: tuple[int, int],
) -> None:
    """Add the block's whole images to the planes z_low ≤ z < z_high of the sums."""
    if not twins.compiled(sums.values):
        mode_arrays.insert_images(
            sums, block, lattice, precision, lattice.count(sums.radius), placed.owner, placed.rotation, placed.shift,
            placed.weight, placed.blur,
        )  # fmt: skip
        return
    rows = (placed.rotation[:, :2, :] * PADDING).float().contiguous()
    kernels.insert_images(
        sums.values.view(-1).numpy(), sums.half, planes[0], planes[1], rows.numpy(), lattice.coordinates.numpy(),
        lattice.pixels.numpy(), lattice.reach, float(lattice.size), block.whole.numpy(), block.transfer.numpy(),
        precision.numpy(), placed.owner.numpy(), placed.shift.numpy(), placed.weight.numpy(), placed.blur.numpy(),
        np.array([0, *(lattice.count(r) for r in range(1, sums.radius)), lattice.count(sums.radius)]),
    )  # fmt: skip


def model_power(
    volume: FourierVolume, modes: Modes, weights: Tensor, block: ImageBlock, lattice: Lattice, radius: int, shells: int
) -> tuple[Tensor, Tensor]:
    """Σ w Re(conj(CP) X) and Σ w |CP|² of each whole image and shell, over half the plane. (b, shells) float64 each"""
    if not twins.compiled(volume.values):
        return mode_arrays.model_power(
            volume, block, lattice, lattice.count(radius), modes.owner, modes.rotation, modes.shift, weights, shells
        )
    cross, power = np.zeros((len(block.index), shells)), np.zeros((len(block.index), shells))
    rows = (modes.rotation[:, :2, :] * PADDING).float().contiguous()
    kernels.model_power(
        flat_floats(volume), volume.half, rows.numpy(), lattice.coordinates.numpy(), lattice.pixels.numpy(),
        lattice.reach,
        float(lattice.size), block.whole.numpy(), block.transfer.numpy(), lattice.shell.numpy(), modes.owner.numpy(),
        modes.shift.numpy(), weights.numpy(), lattice.count(radius), cross, power,
    )  # fmt: skip
    return torch.from_numpy(cross), torch.from_numpy(power)
