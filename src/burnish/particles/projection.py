"""Central slices of a padded Fourier volume and their adjoint: PyTorch on any device, compiled twins on the CPU.

Trilinear interpolation on a grid that is finer by the padding; what interpolation does to the map (a factor sinc² of
the
position) is divided out before cutting and after insertion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from burnish.particles import kernels, twins

PADDING = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FourierVolume:
    """Half of a padded Fourier transform, x ≥ 0.

    Attributes
    ----------
    values : indexed [z + half, y + half, x]. (2 half + 2, 2 half + 2, half + 2) complex64
    half : largest index along z and y, padded pixels.
    radius : largest radius that slices may have, Fourier pixels of the unpadded box.
    """

    values: Tensor
    half: int
    radius: int


@dataclass(slots=True, kw_only=True)
class FourierSums:
    """Sums of a back-projection on the same grid as `FourierVolume`.

    Attributes
    ----------
    values : Σ weight · CTF · X / σ², real and imaginary part, and Σ weight · CTF² / σ², beside each other since
        insertion
        touches them together. (z, y, x, 3) float32
    """

    values: Tensor
    half: int
    radius: int


def half_width(radius: int) -> int:
    """Largest index along z and y that slices of `radius` touch."""
    return PADDING * radius + 2


def empty_sums(radius: int, device: torch.device | str = "cpu") -> FourierSums:
    """Sums of nothing yet."""
    half = half_width(radius)
    shape = (2 * half + 2, 2 * half + 2, half + 2)
    return FourierSums(values=torch.zeros(*shape, 3, device=device), half=half, radius=radius)


def inner_volume(volume: FourierVolume, radius: int) -> FourierVolume:
    """The middle of a volume, for slices up to `radius`: small enough to stay in a cache where the whole one is not."""
    if radius >= volume.radius:
        return volume
    half = half_width(radius)
    inner = slice(volume.half - half, volume.half + half + 2)
    return FourierVolume(values=volume.values[inner, inner, : half + 2].contiguous(), half=half, radius=radius)


def padded_rows(rotations: Tensor) -> Tensor:
    """First two rows of rotations (o, 3, 3) times the padding, as the kernels want them. (o, 2, 3) float32"""
    return (rotations[:, :2, :] * PADDING).to(torch.float32).contiguous()


def cut_slices(volume: FourierVolume, rotations: Tensor, coordinates: Tensor) -> Tensor:
    """Central slices, real parts then imaginary parts.

    Parameters
    ----------
    volume : padded transform.
    rotations : x_image = A x_reference. (o, 3, 3)
    coordinates : Fourier pixels (x, y) of the slices, inside the volume's radius. (k, 2) float32

    Returns
    -------
    (o, 2 k) float32
    """
    rows = padded_rows(rotations)
    count = len(coordinates)
    if not twins.compiled(volume.values):
        rows = rows.to(volume.values.device)
        parts = twins.runs(len(rows), count, volume.values)
        return torch.cat([_cut_rows(volume, rows[low:high], coordinates) for low, high in parts])
    out = np.empty((len(rows), 2 * count), np.float32)
    kernels.cut_slices(flat_floats(volume), volume.half, rows.numpy(), coordinates.numpy(), count, out)
    return torch.from_numpy(out)


def insert_slices(
    sums: FourierSums,
    rotations: Tensor,
    coordinates: Tensor,
    data: Tensor,
    weights: Tensor,
    planes: tuple[int, int] | None = None,
) -> None:
    """Add slices to the sums, the adjoint of `cut_slices`.

    Parameters
    ----------
    data : real parts, then imaginary parts. (o, 2 k) float32
    weights : (o, k) float32
    planes : only the planes z_low ≤ z < z_high, so that threads can share the work without changing its order.
    """
    rows = padded_rows(rotations)
    if not twins.compiled(sums.values):
        insert_rows(sums, rows.to(sums.values.device), coordinates, data, weights)
        return
    low, high = planes or (0, sums.values.shape[0])
    kernels.insert_slices(
        sums.values.view(-1).numpy(), sums.half, low, high, rows.numpy(), coordinates.numpy(),
        data.contiguous().numpy(), weights.contiguous().numpy(),
    )  # fmt: skip


def flat_floats(volume: FourierVolume) -> np.ndarray:
    """Real and imaginary parts in turn, as the kernels read them."""
    return torch.view_as_real(volume.values).reshape(-1).numpy()


def _corners(rows: Tensor, coordinates: Tensor, half: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices (o, k, 8, 3) as z, y, x, weights (o, k, 8), and where Friedel's law was used (o, k)."""
    position = torch.einsum("kc,ocj->okj", coordinates, rows)  # x, y, z
    flipped = position[..., 0] < 0
    position = torch.where(flipped[..., None], -position, position)
    position = position + position.new_tensor([0.0, half, half])
    base = position.floor()
    fraction = position - base
    steps = torch.tensor([[dz, dy, dx] for dz in (0, 1) for dy in (0, 1) for dx in (0, 1)], device=rows.device)
    index = base.long().flip(-1)[..., None, :] + steps
    f = fraction.flip(-1)[..., None, :]
    weight = torch.where(steps.bool(), f, 1.0 - f).prod(-1)
    return index, weight, flipped


def _flat(index: Tensor, shape: torch.Size) -> Tensor:
    return (index[..., 0] * shape[1] + index[..., 1]) * shape[2] + index[..., 2]


def _cut_rows(volume: FourierVolume, rows: Tensor, coordinates: Tensor) -> Tensor:
    index, weight, flipped = _corners(rows, coordinates, volume.half)
    value = (volume.values.reshape(-1)[_flat(index, volume.values.shape)] * weight).sum(-1)
    value = torch.where(flipped, value.conj(), value)
    return torch.cat([value.real, value.imag], 1)


def insert_rows(sums: FourierSums, rows: Tensor, coordinates: Tensor, data: Tensor, weights: Tensor) -> None:
    """`insert_slices` as array operations, from the first two rows of each rotation times the padding. (o, 2, 3)"""
    count = len(coordinates)
    for low, high in twins.runs(len(rows), count, sums.values):
        index, weight, flipped = _corners(rows[low:high], coordinates, sums.half)
        flat = _flat(index, sums.values.shape)
        real, imaginary = data[low:high, :count], data[low:high, count:]
        values = torch.stack([real, torch.where(flipped, -imaginary, imaginary), weights[low:high]], -1)
        spread = values[:, :, None, :] * weight[..., None]
        sums.values.view(-1, 3).index_add_(0, flat.reshape(-1), spread.reshape(-1, 3))
