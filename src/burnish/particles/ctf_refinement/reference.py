"""Central slices of a masked half map."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.fourier.sizes import fast_even_size
from burnish.particles.ctf_refinement.slicing_numba import slice_on_cpu

PADDING = 1.6  # length of the transform over the edge of the cube around the mask; slices then err by some per cent


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceTransform:
    """Fourier transform of a map about its centre, oversampled, in the half space x ≥ 0 of a cube.

    Attributes
    ----------
    values : coefficient of frequency (x, y, z) · step at [z + radius, y + radius, x]. complex64
    step : spacing of the grid, Å⁻¹.
    radius : largest index.
    """

    values: Tensor
    step: float
    radius: int


def transform_reference(density: Tensor, mask: Tensor, voxel_size: float, max_frequency: float) -> ReferenceTransform:
    """Transform a masked map for slicing.

    Parameters
    ----------
    density : map with its centre at index n // 2. (n, n, n)
    mask : between 0 and 1. (n, n, n)
    voxel_size : Å.
    max_frequency : of the slices wanted, Å⁻¹.

    Notes
    -----
    Only the cube around the mask is transformed. Linear interpolation between grid points multiplies the map by
    sinc²(x/L) along each axis, L the length of the transform; the map is divided by it before.
    """
    n = density.shape[0]
    reach = _reach(mask)
    centre = n // 2
    inside = slice(max(centre - reach, 0), min(centre + reach + 1, n))
    masked = (density * mask)[inside, inside, inside]
    origin = centre - inside.start
    length = fast_even_size(math.ceil(PADDING * masked.shape[0]))
    axis = (torch.arange(masked.shape[0], device=density.device, dtype=density.dtype) - origin) / length
    correction = torch.sinc(axis).square()
    masked = masked / (correction[:, None, None] * correction[:, None] * correction)
    radius = min(math.ceil(max_frequency * length * voxel_size) + 2, length // 2 - 1)
    wanted = torch.arange(-radius, radius + 1, device=density.device)
    turn = torch.exp(2j * torch.pi * origin / length * wanted).to(torch.complex64)
    # one axis after the other, keeping what is wanted: the full padded transform would be many times larger
    values = torch.fft.rfft(masked, n=length, dim=2)[:, :, : radius + 1].mul_(turn[radius:])
    values = torch.fft.fft(values, n=length, dim=1)[:, wanted % length].mul_(turn[:, None])
    values = torch.fft.fft(values, n=length, dim=0)[wanted % length].mul_(turn[:, None, None])
    return ReferenceTransform(values=values.contiguous(), step=1.0 / (length * voxel_size), radius=radius)


def slices(reference: ReferenceTransform, rotation: Tensor, frequency: Tensor) -> Tensor:
    """Projections of the map in Fourier space.

    Parameters
    ----------
    reference : of the map.
    rotation : matrices A with x_image = A · x_reference. (n, 3, 3)
    frequency : (x, y) in the particle's plane, Å⁻¹; what lies outside the transform gives 0. (p, 2)

    Returns
    -------
    Coefficients at Aᵀ·(x, y, 0), by trilinear interpolation. (n, p) complex
    """
    if reference.values.device.type == "cpu" and reference.values.dtype == torch.complex64:
        return slice_on_cpu(reference.values, reference.step, rotation, frequency)
    return slice_in_torch(reference, rotation, frequency)


def slice_in_torch(reference: ReferenceTransform, rotation: Tensor, frequency: Tensor) -> Tensor:
    """The same on any device: the reference implementation of `slice_on_cpu`."""
    values, radius = reference.values, reference.radius
    real = values.real.dtype
    k = torch.einsum("pa,nab->npb", frequency.to(real), rotation[:, :2].to(real)) / reference.step
    negative = k[..., 0] < 0
    k = torch.where(negative[..., None], -k, k)
    low = k.floor()
    inside = (k.abs() < radius - 1e-3).all(dim=-1)
    low = torch.where(inside[..., None], low, torch.zeros_like(low))
    fraction = torch.where(inside[..., None], k - low, torch.zeros_like(k))
    x, y, z = (low[..., i].long() + (0 if i == 0 else radius) for i in range(3))
    result = torch.zeros(k.shape[:-1], dtype=values.dtype, device=values.device)
    for dz in (0, 1):
        for dy in (0, 1):
            for dx in (0, 1):
                weight = torch.ones_like(fraction[..., 0])
                for i, d in enumerate((dx, dy, dz)):
                    weight = weight * (fraction[..., i] if d else 1.0 - fraction[..., i])
                result = result + weight * values[z + dz, y + dy, x + dx]
    result = torch.where(negative, result.conj(), result)
    return torch.where(inside, result, torch.zeros_like(result))


def _reach(mask: Tensor) -> int:
    """Largest distance of a voxel inside the mask from the centre along an axis, voxels."""
    n = mask.shape[0]
    distance = (torch.arange(n, device=mask.device) - n // 2).abs()
    reach = 0
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        present = mask.amax(dim=others) > 0
        if bool(present.any()):
            reach = max(reach, int(distance[present].max()))
    return max(reach, 1)
