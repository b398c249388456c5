"""From a map to what slices are cut from, and back from sums to a map."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from burnish.fourier.sizes import fast_even_size
from burnish.particles import kernels, twins, volume_kernels
from burnish.particles.projection import PADDING, FourierSums, FourierVolume, half_width

# Without a prior, voxels that hardly any slice touched would be noise blown up: at .1 of the shell's mean weight the
# map from true poses
# follows the truth to 4.12 Å on a simulated set, at .001 to 4.33 Å, at 1 to 4.10 Å.
_FLOOR = 0.1


def work_size(radius: int, size: int) -> int:
    """Edge of the smallest box with fast transforms that holds `radius` Fourier pixels, at most `size`."""
    return min(fast_even_size(2 * (radius + 2)), size)


def crop_transform(transform: Tensor, size: int) -> Tensor:
    """`rfftn` of the same map on another even box: central Fourier pixels kept, or zeros added; Nyquist planes are
    zero."""
    n = transform.shape[0]
    smaller = min(n, size)
    h = smaller // 2
    out = transform.new_zeros(size, size, size // 2 + 1)
    for z_out, z_in in ((slice(0, h), slice(0, h)), (slice(size - h + 1, size), slice(n - h + 1, n))):
        for y_out, y_in in ((slice(0, h), slice(0, h)), (slice(size - h + 1, size), slice(n - h + 1, n))):
            out[z_out, y_out, :h] = transform[z_in, y_in, :h]
    return out * (size / n) ** 3


def radial_distance(size: int, device: torch.device | str = "cpu") -> Tensor:
    """Distance of each voxel from the voxel size//2, in voxels. (size, size, size)"""
    line = torch.arange(size, dtype=torch.float32, device=device) - size // 2
    return (line[:, None, None] ** 2 + line[None, :, None] ** 2 + line**2).sqrt()


def interpolation_damping(size: int, device: torch.device | str = "cpu") -> Tensor:
    """What trilinear interpolation at the padding does to a map: sinc² of the distance over the padded edge.
    (size,)*3"""
    argument = radial_distance(size, device) / (PADDING * size)
    return torch.sinc(argument).square()


def shells_of_transform(size: int, device: torch.device | str = "cpu") -> Tensor:
    """Rounded radius of each element of `rfftn` of a cube. (size, size, size // 2 + 1) int64"""
    full = torch.fft.fftfreq(size, 1.0 / size, device=device)
    part = torch.fft.rfftfreq(size, 1.0 / size, device=device)
    return (full[:, None, None] ** 2 + full[None, :, None] ** 2 + part**2).sqrt().round().long()


def padded_transform(density: Tensor, radius: int) -> FourierVolume:
    """What slices up to `radius` are cut from.

    Parameters
    ----------
    density : map. (n, n, n) float32
    radius : Fourier pixels.
    """
    size = work_size(radius, density.shape[0])
    small = density if size == density.shape[0] else torch.fft.irfftn(
        crop_transform(torch.fft.rfftn(density), size), s=(size,) * 3
    )  # fmt: skip
    # a transform at the reduced box scales with the number of voxels: bring it back to that of the full box
    small = small * ((density.shape[0] / size) ** 3 / interpolation_damping(size, density.device))
    padded = PADDING * size
    big = small.new_zeros(padded, padded, padded)
    start = padded // 2 - size // 2
    big[start : start + size, start : start + size, start : start + size] = small
    half = half_width(radius)
    transform = torch.fft.rfftn(big)
    values = torch.empty(2 * half + 2, 2 * half + 2, half + 2, dtype=torch.complex64, device=density.device)
    if twins.compiled(density):
        volume_kernels.centre_values(transform.numpy(), half, values.numpy())
    else:
        line = torch.arange(-half, half + 2, device=density.device)
        columns = torch.arange(half + 2, device=density.device)
        sign = 1.0 - 2.0 * ((line[:, None, None] + line[None, :, None] + columns) % 2)
        values = transform[line % padded][:, line % padded][:, :, columns.clamp(max=padded // 2)] * sign
    return FourierVolume(values=values.contiguous(), half=half, radius=radius)


def fold_origin_plane(sums: FourierSums) -> FourierSums:
    """Give the plane x = 0 what was put on its Friedel mates, since inserting writes only one of the two; in place,
    once."""
    n = 2 * sums.half + 1  # the last row is a margin without a mate
    plane = sums.values[:n, :n, 0].clone()
    sums.values[:n, :n, 0] = plane + plane.flip(0, 1) * plane.new_tensor([1.0, -1.0, 1.0])
    return sums


def padded_radius(sums: FourierSums) -> Tensor:
    """Distance of each element of the sums from the origin, padded Fourier pixels. (z, y, x)"""
    device = sums.values.device
    line = torch.arange(-sums.half, sums.half + 2, dtype=torch.float32, device=device)
    part = torch.arange(sums.half + 2, dtype=torch.float32, device=device)
    return (line[:, None, None] ** 2 + line[None, :, None] ** 2 + part**2).sqrt()


def symmetrise(sums: FourierSums, operators: Tensor) -> FourierSums:
    """Add the sums at all symmetry-equivalent positions; `fold_origin_plane` comes first."""
    if len(operators) == 1:
        return sums
    if twins.compiled(sums.values):
        out = torch.zeros_like(sums.values)
        kernels.symmetry_sums(
            sums.values.view(-1, 3).numpy(), sums.half, PADDING * sums.radius + 1.0, operators.double().numpy(),
            0, sums.values.shape[0], out.view(-1, 3).numpy(),
        )  # fmt: skip
        return FourierSums(values=out, half=sums.half, radius=sums.radius)
    inside = padded_radius(sums) <= PADDING * sums.radius + 1.0
    position = inside.nonzero()
    xyz = position.flip(1).to(torch.float32) - torch.tensor(
        [0.0, sums.half, sums.half], device=position.device
    )  # fmt: skip
    total = sums.values[inside]
    for operator in operators[1:]:
        total += _interpolate(sums, xyz @ operator.to(xyz).T)
    values = torch.zeros_like(sums.values)
    values[inside] = total
    return FourierSums(values=values, half=sums.half, radius=sums.radius)


def _interpolate(sums: FourierSums, xyz: Tensor) -> Tensor:
    """Real part, imaginary part and weight at positions (n, 3), padded pixels; exact on the grid."""
    stacked, shape, half = sums.values.reshape(-1, 3), sums.values.shape, sums.half
    flip = xyz[:, 0] < -1e-4
    p = torch.where(flip[:, None], -xyz, xyz)
    nearest = p.round()
    p = torch.where((p - nearest).abs() < 1e-4, nearest, p)
    p = p.clamp(min=-half, max=half) + p.new_tensor([0.0, half, half])
    p[:, 0].clamp_(min=0.0)
    base = p.floor()
    f = p - base
    base = base.long()
    total = torch.zeros(len(p), 3, device=p.device)
    for dz in (0, 1):
        for dy in (0, 1):
            for dx in (0, 1):
                w = (
                    (f[:, 0] if dx else 1 - f[:, 0])
                    * (f[:, 1] if dy else 1 - f[:, 1])
                    * (f[:, 2] if dz else 1 - f[:, 2])
                )
                at = ((base[:, 2] + dz) * shape[1] + base[:, 1] + dy) * shape[2] + base[:, 0] + dx
                total += w[:, None] * stacked[at]
    total[:, 1] = torch.where(flip, -total[:, 1], total[:, 1])
    return total


def shell_mean(values: Tensor, shells: Tensor, count: int) -> Tensor:
    """Mean of values over each shell 0 … count − 1. float64"""
    keep = shells < count
    total = torch.bincount(shells[keep], values[keep].double(), minlength=count)
    return total / torch.bincount(shells[keep], minlength=count).clamp(min=1)


def solve_map(sums: FourierSums, size: int, ssnr: Tensor | None) -> Tensor:
    """Map that the sums ask for.

    Parameters
    ----------
    sums : folded and symmetrised.
    size : edge of the map, voxels.
    ssnr : signal over noise of each shell (of an average weight of that shell); None divides without a prior.

    Returns
    -------
    (size, size, size) float32, zero beyond `sums.radius` in Fourier space and outside the sphere of radius size/2.

    Notes
    -----
    V = num / (den + ⟨den⟩/SSNR): the maximum a posteriori of Scheres 2012 (J. Mol. Biol. 415, 406, eq. 8) with τ² =
    SSNR/⟨den⟩.
    """
    radius = sums.radius
    mean = mean_weights(sums)
    penalty = _FLOOR * mean
    if ssnr is not None:
        penalty = torch.maximum(mean / ssnr_to(radius + 2, ssnr).to(mean).clamp(min=1e-6), 1e-3 * mean)
    small = work_size(radius, size)
    padded = PADDING * small
    transform = torch.zeros(padded, padded, padded // 2 + 1, dtype=torch.complex64, device=sums.values.device)
    if twins.compiled(sums.values):
        volume_kernels.divide(
            sums.values.view(-1, 3).numpy(), sums.half, PADDING, radius + 0.5, penalty.numpy(), transform.numpy()
        )
    else:
        _divide_torch(sums, radius, penalty, transform)
    _fill_centre(transform)
    return _to_density(transform, small, size)


def mean_weights(sums: FourierSums) -> Tensor:
    """Mean of Σ CTF²/σ² over each shell, not quite zero anywhere. (radius + 2,) float64"""
    count = sums.radius + 2
    if not twins.compiled(sums.values):
        distance = padded_radius(sums) / PADDING
        return shell_mean(sums.values[..., 2], (distance + 0.5).floor().long(), count).clamp(min=1e-30)
    total, number = np.zeros(count), np.zeros(count, np.int64)
    volume_kernels.shell_weights(sums.values.view(-1, 3).numpy(), sums.half, PADDING, total, number)
    return torch.from_numpy(total / np.maximum(number, 1)).clamp(min=1e-30)


def _divide_torch(sums: FourierSums, radius: int, penalty: Tensor, transform: Tensor) -> None:
    """What `volume_kernels.divide` does, on any device."""
    distance = padded_radius(sums) / PADDING
    shells = (distance + 0.5).floor().long().clamp(max=radius + 1)
    denominator = sums.values[..., 2] + penalty.to(sums.values)[shells]
    ratio = torch.where(
        ((distance <= radius + 0.5) & (denominator > 0))[..., None], sums.values[..., :2] / denominator[..., None], 0.0
    )
    reach = min(sums.half, transform.shape[0] // 2 - 1)
    line = torch.arange(-reach, reach + 1, device=transform.device)
    columns = torch.arange(reach + 1, device=transform.device)
    sign = 1.0 - 2.0 * ((line[:, None, None] + line[None, :, None] + columns) % 2)
    inner = slice(sums.half - reach, sums.half + reach + 1)
    values = torch.view_as_complex(ratio[inner, inner, : reach + 1].contiguous()) * sign
    rows = line % transform.shape[0]
    transform[rows[:, None], rows[None, :], : reach + 1] = values


def ssnr_to(count: int, ssnr: Tensor) -> Tensor:
    """The shells' values, the last one repeated."""
    if len(ssnr) >= count:
        return ssnr[:count]
    return torch.cat([ssnr, ssnr[-1:].expand(count - len(ssnr))])


def _fill_centre(transform: Tensor) -> None:
    """Slices reach no padded pixel between the origin and the first ring: give those the mean of both, real; in
    place."""
    n = transform.shape[0]
    line = torch.arange(-2, 3, device=transform.device)
    columns = torch.arange(3, device=transform.device)
    r2 = line[:, None, None] ** 2 + line[None, :, None] ** 2 + columns**2
    sign = 1.0 - 2.0 * ((line[:, None, None] + line[None, :, None] + columns) % 2)
    rows = line % n
    patch = transform[rows[:, None], rows[None, :], :3]
    ring = patch.real * sign
    mean = 0.5 * (ring[2, 2, 0] + ring[r2 == 4].mean())
    patch = torch.where((r2 > 0) & (r2 < 4), (mean * sign).to(patch.dtype), patch)
    transform[rows[:, None], rows[None, :], :3] = patch


def _to_density(transform: Tensor, small: int, size: int) -> Tensor:
    """Map of `size` voxels from the padded transform of a box of `small`, whose origin is in its middle."""
    padded = transform.shape[0]
    big = torch.fft.irfftn(transform, s=(padded,) * 3)
    start = padded // 2 - small // 2
    density = big[start : start + small, start : start + small, start : start + small]
    sphere = radial_distance(small, transform.device) < small / 2
    density = torch.where(sphere, density / interpolation_damping(small, transform.device), 0.0)
    # slices carry the transform of the full box's voxels: values per voxel of the reduced box are smaller by the ratio
    density = density * (small / size) ** 3
    return density if small == size else torch.fft.irfftn(
        crop_transform(torch.fft.rfftn(density), size), s=(size,) * 3
    )  # fmt: skip


def shell_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Fourier shell correlation of two maps, shells 0 … n/2. (n // 2 + 1,) float64"""
    n = a.shape[0]
    f, g = torch.fft.rfftn(a), torch.fft.rfftn(b)
    shells = shells_of_transform(n, a.device)
    weight = torch.full((n // 2 + 1,), 2.0, dtype=torch.float64, device=a.device)
    weight[0] = weight[-1] = 1.0
    flat = shells.reshape(-1)

    def total(x: Tensor) -> Tensor:
        return torch.bincount(flat, (x.double() * weight).reshape(-1))[: n // 2 + 1]

    cross = total((f * g.conj()).real)
    return cross / (total(f.abs().square()) * total(g.abs().square())).sqrt().clamp(min=1e-30)


def crossing(curve: Tensor, threshold: float) -> float:
    """Shell, between shells, at which a correlation first falls below a threshold, from shell 2 on; the last one if
    it never does."""
    for shell in range(2, len(curve)):
        here, before = float(curve[shell]), float(curve[shell - 1])
        if here < threshold:
            return shell - 1 + (before - threshold) / max(before - here, 1e-12) if before > threshold else shell - 1.0
    return float(len(curve) - 1)


def low_pass(density: Tensor, radius: float, width: float = 2.0) -> Tensor:
    """Map without what lies beyond `radius` Fourier pixels, with a raised-cosine edge of `width` pixels."""
    n = density.shape[0]
    full = torch.fft.fftfreq(n, 1.0 / n, device=density.device)
    part = torch.fft.rfftfreq(n, 1.0 / n, device=density.device)
    r = (full[:, None, None] ** 2 + full[None, :, None] ** 2 + part**2).sqrt()
    edge = 0.5 + 0.5 * torch.cos(math.pi * ((r - radius) / width + 0.5).clamp(0.0, 1.0))
    return torch.fft.irfftn(torch.fft.rfftn(density) * edge, s=(n,) * 3)


def soft_sphere(size: int, radius: float, edge: float) -> Tensor:
    """Round mask of `radius` voxels with a raised-cosine edge. (size, size, size) float32"""
    r = radial_distance(size)
    return 0.5 + 0.5 * torch.cos(math.pi * ((r - radius) / edge).clamp(0.0, 1.0))
