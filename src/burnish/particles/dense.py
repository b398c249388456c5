"""Expectation over a common grid of rotations and shifts as matrix products, with the whole posterior kept.

Scores of a block of images against all rotations are one product, the weighted sums that the map is made of another:

    log p(o, t | i) = 2 Re Σ conj(P_o) C X_t / σ² − Σ |P_o|² C² / σ² − |t|² / 2σ_t² + const     (sums over half the
    plane)

|X|² is left out, so that single precision suffices (Scheres 2012, J. Mol. Biol. 415, 406, eqs 3–6, with the terms
arranged as products).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from burnish.particles import kernels
from burnish.particles.images import ImageBlock
from burnish.particles.lattice import Lattice

KEPT = 0.999  # share of each image's posterior that enters the map
_SPARSE = 0.03  # below this share of non-zero weights a row-by-row sum beats the matrix product


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceBank:
    """Slices of one reference at all rotations of a grid, on one lattice.

    Attributes
    ----------
    values : real parts, then imaginary parts, without the origin. (o, 2 k) float32
    power : |P|². (o, k) float32
    count : k + 1, the number of lattice pixels that they cover.
    """

    values: Tensor
    power: Tensor
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """What a block of images says about the poses of a grid.

    Attributes
    ----------
    weights : (o, b, t) float32, sum 1 for each image.
    marginal : the same summed over shifts. (o, b)
    shift_weights : the same summed over rotations. (b, t)
    max_weight : of each image. (b,)
    best_rotation, best_shift : indices into the grids. (b,) int64
    cross, power : Σ w Re(conj(P) C X)/σ² and Σ w C²|P|²/σ², whose ratio is a scale. (b,) float64
    """

    weights: Tensor
    marginal: Tensor
    shift_weights: Tensor
    max_weight: Tensor
    best_rotation: Tensor
    best_shift: Tensor
    cross: Tensor
    power: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceSums:
    """What a block adds to the map.

    Attributes
    ----------
    rotations : the rotations that received any weight. (r,) int64
    data : Σ w C X_t / σ², real then imaginary parts. (r, 2 k) float32
    weights : Σ w C² / σ². (r, k) float32
    """

    rotations: Tensor
    data: Tensor
    weights: Tensor


def make_bank(slices: Tensor, count: int) -> SliceBank:
    """Bank from slices (o, 2 count) with the origin first."""
    values = torch.cat([slices[:, 1:count], slices[:, count + 1 :]], 1)
    k = count - 1
    return SliceBank(values=values, power=values[:, :k].square() + values[:, k:].square(), count=count)


def shifted(images: Tensor, lattice: Lattice, shifts: Tensor, first: int, count: int) -> Tensor:
    """Images at every shift, real then imaginary parts. (b · t, 2 (count − first)) float32

    Parameters
    ----------
    images : (b, k) complex64
    shifts : (x, y) in px of the images; moves the image by +shift. (t, 2)
    """
    pixels = lattice.pixels[first:count].to(torch.float32)
    angle = (-2.0 * math.pi / lattice.size) * (shifts.to(torch.float32) @ pixels.T)
    phase = torch.polar(torch.ones_like(angle), angle)
    moved = (images[:, None, first:count] * phase).reshape(-1, count - first)
    return torch.cat([moved.real, moved.imag], 1)


def posterior(
    bank: SliceBank,
    block: ImageBlock,
    lattice: Lattice,
    precision: Tensor,
    shifts: Tensor,
    log_prior: Tensor,
) -> Posterior:
    """Posterior of every rotation of the bank and every shift, for each image of a block.

    Parameters
    ----------
    precision : 1/σ² of each pixel of the lattice. (≥ count,) float32
    shifts : (x, y), px. (t, 2)
    log_prior : of each image's shifts. (b, t)
    """
    images = len(block.index)
    score, norm = _scores(bank, block, lattice, precision, shifts, log_prior)
    by_rotation, by_shift = score.max(2)  # (o, b)
    peak, best = by_rotation.max(0)
    weights = score.sub_(peak[:, None]).exp_()
    shift_weights = weights.sum(0)  # (b, t)
    total = shift_weights.sum(1)
    weights.div_(total[:, None])
    shift_weights /= total[:, None]
    marginal = weights.sum(2)
    # the scale is judged at the best shift of each rotation: a pass over all scores would cost as much as making them
    power = (marginal * norm).double().sum(0)
    best_prior = log_prior.T.gather(0, by_shift.reshape(-1, images)).reshape(by_shift.shape)
    cross = (marginal * (0.5 * (by_rotation - best_prior + norm))).double().sum(0)
    return Posterior(
        weights=weights,
        marginal=marginal,
        shift_weights=shift_weights,
        max_weight=1.0 / total,
        best_rotation=best,
        best_shift=by_shift.gather(0, best[None])[0],
        cross=cross,
        power=power,
    )


def _scores(
    bank: SliceBank, block: ImageBlock, lattice: Lattice, precision: Tensor, shifts: Tensor, log_prior: Tensor
) -> tuple[Tensor, Tensor]:
    """Log-posterior without its constant (o, b, t), and Σ |P|² C² / σ² (o, b)."""
    count, images = bank.count, len(block.index)
    weight = precision[1:count]
    transfer = block.transfer[:, 1:count]
    weighted = torch.zeros(images, count, dtype=torch.complex64)
    weighted[:, 1:] = block.masked[:, 1:count] * (transfer * (2.0 * weight))
    data = shifted(weighted, lattice, shifts, 1, count)
    norm = torch.mm(bank.power, (transfer.square() * weight).T)
    score = torch.mm(bank.values, data.T).view(-1, images, len(shifts))
    return score.add_(log_prior - norm[:, :, None]), norm


def best_rotations(
    bank: SliceBank,
    block: ImageBlock,
    lattice: Lattice,
    precision: Tensor,
    shifts: Tensor,
    log_prior: Tensor,
    top: int,
) -> tuple[Tensor, Tensor]:
    """The rotations of highest score of each image and the shift of each, as indices. (b, top) each"""
    score, _ = _scores(bank, block, lattice, precision, shifts, log_prior)
    by_rotation, by_shift = score.max(2)
    _, rotations = by_rotation.topk(min(top, len(by_rotation)), dim=0)
    return rotations.T, by_shift.gather(0, rotations).T


def drop_tails(found: Posterior, kept: float = KEPT) -> Tensor:
    """Weights (o, b, t) of the fewest rotations that hold a share `kept` of each image's posterior, the others zero.

    The threshold is bisected in its logarithm: sorting would cost more than the scores did. The posterior's own
    weights are
    changed, since a copy would not fit the cache.
    """
    marginal = found.marginal
    peak = marginal.amax(0)
    low, high = peak * 1e-7, peak.clone()
    for _ in range(10):
        middle = (low * high).sqrt()
        enough = torch.where(marginal >= middle, marginal, 0.0).sum(0) >= kept
        low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
    keep = marginal >= low
    share = torch.where(keep, marginal, 0.0).sum(0)
    return found.weights.mul_((keep / share)[:, :, None])


def weighted_sums(
    weights: Tensor, block: ImageBlock, lattice: Lattice, precision: Tensor, shifts: Tensor, count: int
) -> SliceSums:
    """Sums of the block's images over their posterior, for the rotations that have any weight.

    Parameters
    ----------
    weights : posterior with its tails dropped. (o, b, t)
    count : lattice pixels wanted.
    """
    _, images, times = weights.shape
    flat = weights.reshape(len(weights), -1)
    used = (flat.amax(1) > 0).nonzero()[:, 0]
    flat = flat if len(used) == len(flat) else flat[used]
    weight = block.transfer[:, :count] * precision[:count]
    data = shifted(block.whole[:, :count] * weight, lattice, shifts, 0, count)
    if flat.is_cpu and int((flat > 1e-7).sum()) < _SPARSE * flat.numel():
        sparse = flat.numpy()
        rows, columns = (sparse > 1e-7).nonzero()
        start = np.searchsorted(rows, np.arange(len(used) + 1))
        out = np.zeros((len(used), 2 * count), np.float32)
        kernels.sum_rows(start, columns, sparse[rows, columns], data.numpy(), out)
        summed = torch.from_numpy(out)
    else:
        summed = torch.mm(flat, data)
    per_image = flat.view(len(used), images, times).sum(2)
    return SliceSums(rotations=used, data=summed, weights=torch.mm(per_image, weight * block.transfer[:, :count]))


def model_sums(
    bank: SliceBank, sums: SliceSums, lattice: Lattice, precision: Tensor, shells: int
) -> tuple[Tensor, Tensor]:
    """Σ w Re(conj(CP) X) and Σ w |CP|² by shell, from the sums that the map is made of. (shells,) float64 each"""
    count, k = bank.count, sums.weights.shape[1]
    slices, r = bank.values[sums.rotations], bank.count - 1
    variance = 1.0 / precision[1:count]
    real = (slices[:, :r] * sums.data[:, 1:count]).sum(0)
    cross = (real + (slices[:, r:] * sums.data[:, k + 1 : k + count]).sum(0)) * variance
    power = (bank.power[sums.rotations] * sums.weights[:, 1:count]).sum(0) * variance
    shell = lattice.shell[1:count]
    return (
        torch.bincount(shell, cross.double(), minlength=shells),
        torch.bincount(shell, power.double(), minlength=shells),
    )
