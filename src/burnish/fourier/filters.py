"""Radial filters of maps and images, and random phases."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from burnish.fourier.shells import radius_blocks, weight_radially_


def raised_cosine(centre: float, half_width: float) -> Callable[[Tensor], Tensor]:
    """Weight that falls from 1 at centre − half_width to 0 at centre + half_width, of a radius in the same unit."""
    low, width = max(centre - half_width, 0.0), centre + half_width - max(centre - half_width, 0.0)

    def weight(radius: Tensor) -> Tensor:
        if width <= 0:
            return (radius <= centre).to(radius.dtype)
        return 0.5 + 0.5 * torch.cos(math.pi * ((radius - low) / width).clamp_(0.0, 1.0))

    return weight


def low_pass_weight(resolution: float, box_length: float, edge_shells: float = 2.0) -> Callable[[Tensor], Tensor]:
    """RELION's low-pass: a raised cosine about the shell nearest to `resolution`, `edge_shells` wide."""
    return raised_cosine(float(round(box_length / resolution)), edge_shells / 2)


def low_pass(x: Tensor, resolution: float, pixel_size: float, edge_shells: float = 2.0, *, dims: int = 3) -> Tensor:
    """Remove what is finer than `resolution` (Å) from a map, or from each image of a stack (dims=2)."""
    weight = low_pass_weight(resolution, max(x.shape[-dims:]) * pixel_size, edge_shells)
    return filter_radially(x, weight, dims=dims)


def high_pass(x: Tensor, resolution: float, pixel_size: float, edge_shells: float = 2.0, *, dims: int = 3) -> Tensor:
    """Remove what is coarser than `resolution` (Å), the mean among it."""
    kept = low_pass_weight(resolution, max(x.shape[-dims:]) * pixel_size, edge_shells)
    return filter_radially(x, lambda radius: 1.0 - kept(radius), dims=dims)


def b_factor_weight(b_factor: float, box_length: float) -> Callable[[Tensor], Tensor]:
    """exp(−B s²/4) up to Nyquist is what this gives below it; negative B sharpens."""
    scale = -b_factor / (4.0 * box_length**2)
    return lambda radius: torch.exp(scale * radius.square())


def filter_radially(x: Tensor, weight: Callable[[Tensor], Tensor], *, dims: int = 3) -> Tensor:
    """Filter a map or each image of a stack by a weight of the radius in shells of the longest axis."""
    shape = x.shape[-dims:]
    axes = tuple(range(-dims, 0))
    f = torch.fft.rfftn(x, dim=axes)
    if x.dim() == dims:
        return torch.fft.irfftn(weight_radially_(f, shape, weight), s=shape, dim=axes)
    table = torch.cat([weight(radius) for _, radius in radius_blocks(shape, x.device)]).to(f.real.dtype)
    return torch.fft.irfftn(f * table, s=shape, dim=axes)


def randomise_phases(f: Tensor, shape: Sequence[int], from_shell: int, generator: torch.Generator) -> Tensor:
    """Return the half transform with random phases at radius ≥ `from_shell`, amplitudes kept; the map stays real.

    Parameters
    ----------
    f : half transform of a real map of `shape`.
    from_shell : first radius, in shells of the longest axis, whose phases go.
    generator : of `f`'s device.
    """
    out = torch.empty_like(f)
    for planes, radius in radius_blocks(shape, f.device):
        turn = torch.rand(radius.shape, generator=generator, device=f.device, dtype=f.real.dtype)
        random = torch.polar(f[planes].abs(), turn.mul_(2 * math.pi))
        out[planes] = torch.where(radius >= from_shell, random, f[planes])
    edges = [0] if shape[-1] % 2 else [0, shape[-1] // 2]
    for column in edges:  # these columns hold k and −k: they must stay conjugates of each other
        plane, original = out[..., column], f[..., column]
        opposite = plane
        for axis in range(plane.dim()):
            opposite = torch.roll(opposite.flip(axis), 1, dims=axis)
        phase = plane.angle() - opposite.angle()  # of two uniform phases: uniform, and odd in k
        own = torch.arange(plane.numel(), device=f.device).reshape(plane.shape)
        mirror = own
        for axis in range(plane.dim()):
            mirror = torch.roll(mirror.flip(axis), 1, dims=axis)
        radius_plane = torch.cat([r[..., column] for _, r in radius_blocks(shape, f.device)])
        keep = (radius_plane < from_shell) | (own == mirror)
        out[..., column] = torch.where(keep, original, torch.polar(original.abs(), phase))
    return out
