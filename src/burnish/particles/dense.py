"""Expectation over a common grid of rotations and shifts as matrix products, with the whole posterior kept.

Scores of a block of images against all rotations are one product, the weighted sums that the map is made of another:

    log p(o, t | i) = 2 Re Σ conj(P_o) C X_t / σ² − Σ |P_o|² C² / σ² − |t|² / 2σ_t² + const     (sums over half the
    plane)

|X|² is left out, so that single precision suffices (Scheres 2012, J. Mol. Biol. 415, 406, eqs 3–6, with the terms
arranged as products).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from burnish.particles import kernels, twins
from burnish.particles.images import ImageBlock
from burnish.particles.lattice import Lattice

KEPT = 0.999  # share of each image's posterior that enters the map
_SPARSE = 0.25  # below this share of non-zero weights a row-by-row sum beats the matrix product
_SMALL = 0.01  # share of an image's posterior that its smallest entries may hold together to be left out
_NOTHING = 1e-12  # not 0: whether the smallest numbers are flushed differs between threads
_ROWS = 512  # of a bank at a time: products of whole banks would not fit the cache


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
class SliceTotals:
    """What the map is made of, by rotation of a grid: filled in block by block.

    Attributes
    ----------
    data : Σ w C X_t / σ², real then imaginary parts. (o, 2 k) float32
    weights : Σ w C² / σ². (o, k) float32
    """

    data: Tensor
    weights: Tensor


class BlockSums(ABC):
    """What a block of images adds to the totals."""

    @abstractmethod
    def add_to(self, totals: SliceTotals) -> None:
        """Add it, in place."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ProductSums(BlockSums):
    """Sums of a flat posterior, which a matrix product has made.

    Attributes
    ----------
    rotations : those that received any weight. (r,) int64
    data, weights : as in the totals. (r, 2 k), (r, k) float32
    """

    rotations: Tensor
    data: Tensor
    weights: Tensor

    def add_to(self, totals: SliceTotals) -> None:
        totals.data[self.rotations] += self.data
        totals.weights[self.rotations] += self.weights


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SparseSums(BlockSums):
    """Sums still to be made, of a posterior that is nearly empty: they go straight into the totals, whose rows are
    many times more than a block's images.

    Attributes
    ----------
    posterior : its entries, rotations by shifted images.
    marginal : the same summed over shifts, rotations by images.
    shifted : C X_t / σ² of every image and shift. (b t, 2 k) float32
    squared : C² / σ² of every image. (b, k) float32
    """

    posterior: SparseRows
    marginal: SparseRows
    shifted: Tensor
    squared: Tensor

    def add_to(self, totals: SliceTotals) -> None:
        for rows, data, total in (
            (self.posterior, self.shifted, totals.data),
            (self.marginal, self.squared, totals.weights),
        ):
            kernels.sum_rows(rows.start, rows.columns, rows.values, data.numpy(), total.numpy())


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseRows:
    """Entries of a matrix row by row: those of row r are start[r] … start[r + 1]."""

    start: np.ndarray
    columns: np.ndarray
    values: np.ndarray


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
    angle = (-2.0 * math.pi / lattice.size) * (shifts.to(pixels) @ pixels.T)
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
    weighted = torch.zeros(images, count, dtype=torch.complex64, device=block.masked.device)
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
    """The rotations of highest score of each image and the shift of each, as indices on the host. (b, top) each"""
    score, _ = _scores(bank, block, lattice, precision, shifts, log_prior)
    by_rotation, by_shift = score.max(2)
    _, rotations = by_rotation.topk(min(top, len(by_rotation)), dim=0)
    return rotations.T.cpu(), by_shift.gather(0, rotations).T.cpu()


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
) -> BlockSums:
    """Sums of the block's images over their posterior.

    Parameters
    ----------
    weights : posterior with its tails dropped. (o, b, t)
    count : lattice pixels wanted.
    """
    _, images, times = weights.shape
    flat = weights.reshape(len(weights), -1)
    weight = block.transfer[:, :count] * precision[:count]
    data = shifted(block.whole[:, :count] * weight, lattice, shifts, 0, count)
    squared = weight * block.transfer[:, :count]
    rows = sparse_rows(weights) if twins.compiled(flat) else None
    if rows is not None and len(rows.values) < _SPARSE * flat.numel():
        by_image = np.zeros((len(weights), images), np.float32)
        np.add.at(by_image, (np.repeat(np.arange(len(weights)), np.diff(rows.start)), rows.columns // times),
                  rows.values)  # fmt: skip
        marginal = sparse_rows(torch.from_numpy(by_image)[:, :, None])
        return SparseSums(posterior=rows, marginal=marginal, shifted=data, squared=squared)
    used = (flat.amax(1) > 0).nonzero()[:, 0]
    flat = flat if len(used) == len(flat) else flat[used]
    per_image = flat.view(len(used), images, times).sum(2)
    return ProductSums(rotations=used, data=torch.mm(flat, data), weights=torch.mm(per_image, squared))


def sparse_rows(weights: Tensor) -> SparseRows:
    """Entries of weights (o, b, t), as a matrix (o, b t), that are not so small that together they hold less than
    `_SMALL` of an image."""
    number = (weights > _NOTHING).sum((0, 2)).clamp(min=1)
    flat = torch.where(weights > (_SMALL / number)[:, None], weights, 0.0).reshape(len(weights), -1).numpy()
    rows, columns = flat.nonzero()
    start = np.searchsorted(rows, np.arange(len(flat) + 1))
    return SparseRows(start=start, columns=columns, values=flat[rows, columns])


def model_sums(
    bank: SliceBank, totals: SliceTotals, lattice: Lattice, precision: Tensor, shells: int
) -> tuple[Tensor, Tensor]:
    """Σ w Re(conj(CP) X) and Σ w |CP|² by shell, from the sums that the map is made of. (shells,) float64 each, on the
    host"""
    count, k = bank.count, totals.weights.shape[1]
    r = count - 1
    variance = 1.0 / precision[1:count]
    cross, power = torch.zeros(2, r, dtype=torch.float64, device=precision.device)
    for rows in torch.arange(len(totals.weights)).split(_ROWS):
        low, high = int(rows[0]), int(rows[-1]) + 1
        slices, data = bank.values[low:high], totals.data[low:high]
        cross += (slices[:, :r] * data[:, 1:count]).sum(0) + (slices[:, r:] * data[:, k + 1 : k + count]).sum(0)
        power += (bank.power[low:high] * totals.weights[low:high, 1:count]).sum(0)
    shell = lattice.shell[1:count]
    return (
        torch.bincount(shell, cross * variance, minlength=shells).cpu(),
        torch.bincount(shell, power * variance, minlength=shells).cpu(),
    )
