"""What `kernels` does with modes, as array operations on any device: the twins that a GPU runs, and the reference.

Lists of modes themselves stay on the host: they are small, and pruning them is a walk from one to the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.geometry.rotations import rotation_from_vector
from burnish.particles.images import ImageBlock
from burnish.particles.lattice import Lattice
from burnish.particles.projection import PADDING, FourierSums, FourierVolume, insert_rows
from burnish.particles.twins import runs

RETRIES = 2  # of a last step that was refused, with ten times the damping each


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """How modes are moved.

    Attributes
    ----------
    count : steps of each mode.
    turn_limit, slide_limit : of one step, rad and px.
    allowance : how far a mode's short steps may lower the posterior, times what they promised to raise it. (m,)
    near : a step of less is short, rad.
    prior_centre : of the shifts, px. (m, 2)
    prior_precision : 1/σ² of the shifts' prior, px⁻².
    """

    count: int
    turn_limit: float
    slide_limit: float
    allowance: Tensor
    near: float
    prior_centre: Tensor
    prior_precision: float


@dataclass(frozen=True, slots=True)
class _Sums:
    """Log-posterior, its gradient and the Gauss–Newton matrix of some modes. (m,), (m, 5), (m, 5, 5) float64"""

    score: Tensor
    gradient: Tensor
    hessian: Tensor


def climb(
    volume: FourierVolume,
    block: ImageBlock,
    lattice: Lattice,
    precision: Tensor,
    count: int,
    owner: Tensor,
    rotation: Tensor,
    shift: Tensor,
    steps: Steps,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Damped Gauss–Newton steps of every mode, as `kernels.climb` takes them.

    Parameters
    ----------
    count : lattice pixels taken, the origin among them but left out.
    owner, rotation, shift : of the modes, on the host; shifts in px. (m,), (m, 3, 3), (m, 2)

    Returns
    -------
    rotation, shift, log-posterior, information : of each mode where it ended, on the host.
    """
    m = len(owner)
    kept_rotation, kept_shift = rotation.clone(), shift.clone()
    trial_rotation, trial_shift = rotation.clone(), shift.clone()
    kept = torch.full((m,), -torch.inf, dtype=torch.float64)
    gradient, hessian = torch.zeros(m, 5, dtype=torch.float64), torch.zeros(m, 5, 5, dtype=torch.float64)
    damping, promised = torch.full((m,), 0.02, dtype=torch.float64), torch.zeros(m, dtype=torch.float64)
    going = torch.arange(m)
    for step in range(steps.count + RETRIES + 1):
        found = _sums(volume, block, lattice, precision, count, owner[going], trial_rotation[going], trial_shift[going])
        found = _with_prior(found, trial_shift[going], steps.prior_centre[going], steps.prior_precision)
        accepted = found.score >= kept[going] - promised[going]
        better = going[accepted]
        kept[better], gradient[better] = found.score[accepted], found.gradient[accepted]
        hessian[better] = found.hessian[accepted]
        kept_rotation[better], kept_shift[better] = trial_rotation[better], trial_shift[better]
        d = damping[going]
        damping[going] = torch.where(accepted, (d * 0.3).clamp(min=1e-3), (d * 10.0).clamp(min=0.5))
        if steps.count == 0:
            break
        going = going[~accepted] if step >= steps.count else going
        if step == steps.count + RETRIES or not len(going):
            break
        move = _step(hessian[going], gradient[going], damping[going])
        turn, slide = move[:, :3].norm(dim=1), move[:, 3:].norm(dim=1)
        shrink = torch.minimum(steps.turn_limit / turn.clamp(min=1e-12), steps.slide_limit / slide.clamp(min=1e-12))
        shrink = shrink.clamp(max=1.0)
        promise = steps.allowance[going] * 0.5 * shrink * (gradient[going] * move).sum(1)
        promised[going] = torch.where(shrink * turn < steps.near, promise, 0.0)
        move = move * shrink[:, None]
        trial_rotation[going] = rotation_from_vector(move[:, :3]) @ kept_rotation[going]
        trial_shift[going] = kept_shift[going] + move[:, 3:]
    return kept_rotation, kept_shift, kept, hessian


def _step(hessian: Tensor, gradient: Tensor, damping: Tensor) -> Tensor:
    diagonal = torch.diagonal(hessian, dim1=1, dim2=2)
    damped = hessian + torch.diag_embed(damping[:, None] * diagonal + 1e-9)
    return torch.linalg.solve(damped, gradient)


def _with_prior(found: _Sums, shift: Tensor, centre: Tensor, precision: float) -> _Sums:
    away = shift - centre
    gradient, hessian = found.gradient.clone(), found.hessian.clone()
    gradient[:, 3:] -= precision * away
    hessian[:, 3, 3] += precision
    hessian[:, 4, 4] += precision
    return _Sums(found.score - 0.5 * precision * away.square().sum(1), gradient, hessian)


def _sums(
    volume: FourierVolume,
    block: ImageBlock,
    lattice: Lattice,
    precision: Tensor,
    count: int,
    owner: Tensor,
    rotation: Tensor,
    shift: Tensor,
) -> _Sums:
    """Log-likelihood, gradient and Gauss–Newton matrix in (rotation about image x, y, z; shift x, y), on the host."""
    device, pixels = precision.device, slice(1, count)
    at = lattice.coordinates[pixels]
    u, v = at[:, 0], at[:, 1]
    weight = precision[pixels]
    turns = (2.0 * math.pi / lattice.size) * lattice.pixels[pixels].to(torch.float32)
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for low, high in runs(len(owner), count, precision):
        matrix = (rotation[low:high] * PADDING).to(device, torch.float32)
        i = owner[low:high].to(device)
        value, slope = value_and_slope(volume, matrix, at)
        seen = torch.einsum("mkj,mij->mki", slope, matrix.to(slope.dtype))  # in the image's frame, per Fourier pixel
        c = block.transfer[i, pixels]
        data = block.masked[i, pixels] * _phases(lattice, shift[low:high], pixels)
        model = c * value
        rest = data - model
        jacobian = torch.stack(
            [-v * c * seen[..., 2], u * c * seen[..., 2], c * (v * seen[..., 0] - u * seen[..., 1]),
             1j * turns[:, 0] * model, 1j * turns[:, 1] * model], 1,
        )  # fmt: skip
        flat = torch.view_as_real(jacobian).flatten(2)  # (m, 5, 2 k)
        weighted = flat * (2.0 * weight).repeat_interleave(2)
        gain = 2.0 * (model.real * data.real + model.imag * data.imag) - model.abs().square()
        parts.append(
            (
                (weight * gain).sum(1, dtype=torch.float64),
                torch.bmm(weighted, torch.view_as_real(rest).flatten(1)[:, :, None])[..., 0],
                torch.bmm(weighted, flat.transpose(1, 2)),
            )
        )
    score, gradient, hessian = (torch.cat([p[j] for p in parts]).to("cpu", torch.float64) for j in range(3))
    return _Sums(score, gradient, 0.5 * (hessian + hessian.transpose(1, 2)))


def value_and_slope(volume: FourierVolume, matrix: Tensor, coordinates: Tensor) -> tuple[Tensor, Tensor]:
    """Interpolated values of slices and their gradient along x, y, z, per padded pixel.

    Parameters
    ----------
    matrix : rotations times the padding. (m, 3, 3) float32
    coordinates : Fourier pixels (x, y) of the slices. (k, 2)

    Returns
    -------
    (m, k), (m, k, 3) complex64
    """
    position = torch.einsum("kc,mcj->mkj", coordinates, matrix[:, :2])
    flipped = position[..., 0] < 0
    position = torch.where(flipped[..., None], -position, position)
    position = position + position.new_tensor([0.0, volume.half, volume.half])
    base = position.floor()
    fx, fy, fz = (position - base).unbind(-1)
    x, y, z = base.long().unbind(-1)
    rows, columns = volume.values.shape[1:]
    at = (z * rows + y) * columns + x
    flat = volume.values.reshape(-1)
    # differences along x first, then y, then z
    ends = []
    for dz in (0, 1):
        lines = []
        for dy in (0, 1):
            here = at + (dz * rows + dy) * columns
            lower, upper = flat[here], flat[here + 1]
            lines.append((lower + fx * (upper - lower), upper - lower))
        (a, a_x), (b, b_x) = lines
        ends.append((a + fy * (b - a), a_x + fy * (b_x - a_x), b - a))
    (a, a_x, a_y), (b, b_x, b_y) = ends
    value = a + fz * (b - a)
    slope = torch.stack([a_x + fz * (b_x - a_x), a_y + fz * (b_y - a_y), b - a], -1)
    # F(−k) = conj F(k): mirrored, the value is conjugate, and the slope changes sign beside
    return torch.where(flipped, value.conj(), value), torch.where(flipped[..., None], -slope.conj(), slope)


def _phases(lattice: Lattice, shift: Tensor, pixels: slice, blur: Tensor | None = None) -> Tensor:
    """exp(−2πi k·t/n) of each mode's shift (px), damped by the variance of the shift that is left (px²). (m, k)"""
    k = lattice.pixels[pixels].to(torch.float32)
    angle = (-2.0 * math.pi / lattice.size) * (shift.to(k) @ k.T)
    size = torch.ones_like(angle)
    if blur is not None:
        size = torch.exp((-2.0 * math.pi**2 / lattice.size**2) * blur.to(k)[:, None] * k.square().sum(1))
    return torch.polar(size, angle)


def model_power(
    volume: FourierVolume,
    block: ImageBlock,
    lattice: Lattice,
    count: int,
    owner: Tensor,
    rotation: Tensor,
    shift: Tensor,
    weights: Tensor,
    shells: int,
) -> tuple[Tensor, Tensor]:
    """Σ w Re(conj(CP) X_t) and Σ w |CP|² of each whole image and shell, on the host. (b, shells) float64 each"""
    device = block.whole.device
    images, pixels = len(block.index), slice(0, count)
    totals = torch.zeros(2, images, shells, dtype=torch.float64, device=device)
    shell = lattice.shell[pixels]
    for low, high in runs(len(owner), count, block.whole):
        i = owner[low:high].to(device)
        matrix = (rotation[low:high] * PADDING).to(device, torch.float32)
        value, _ = value_and_slope(volume, matrix, lattice.coordinates[pixels])
        model = block.transfer[i, pixels] * value
        data = block.whole[i, pixels] * _phases(lattice, shift[low:high], pixels)
        w = weights[low:high].to(device, torch.float64)[:, None]
        both = (model.real * data.real + model.imag * data.imag, model.abs().square())
        for total, values in zip(totals, both, strict=True):
            by_shell = torch.zeros(high - low, shells, dtype=torch.float64, device=device)
            total.index_add_(0, i, w * by_shell.index_add_(1, shell, values.double()))
    cross, power = totals.cpu()
    return cross, power


def insert_images(
    sums: FourierSums,
    block: ImageBlock,
    lattice: Lattice,
    precision: Tensor,
    count: int,
    owner: Tensor,
    rotation: Tensor,
    shift: Tensor,
    weight: Tensor,
    blur: Tensor,
) -> None:
    """Add the block's whole images, each at the poses of its modes, to the sums."""
    device, pixels = block.whole.device, slice(0, count)
    for low, high in runs(len(owner), count, block.whole):
        i = owner[low:high].to(device)
        c = block.transfer[i, pixels]
        w = weight[low:high].to(device, torch.float32)[:, None] * c * precision[pixels]
        value = block.whole[i, pixels] * _phases(lattice, shift[low:high], pixels, blur[low:high])
        data = torch.cat([w * value.real, w * value.imag], 1)
        rows = (rotation[low:high, :2] * PADDING).to(device, torch.float32)
        insert_rows(sums, rows, lattice.coordinates[pixels], data, w * c)
