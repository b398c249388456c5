"""Maps of single particles boxed about a model: Fourier coefficients of what the model explains.

Signal and noise per shell are those of the masked density near the model, not of the whole particle. Since maps come
with any sharpening or none, they are made flat in each shell before the mask cuts and get their falloff back after it
(Yamashita et al. 2021): otherwise the mask would spread the strong low shells over the weak high ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.data.density import DensityMap
from burnish.data.reflections import Crystal
from burnish.fourier.shells import radius_blocks
from burnish.fourier.transforms import wave_numbers
from burnish.maps.mask import MaskShape, make_mask, seed_from_atoms
from burnish.models.structure_factors import fft_size

LEAST_IN_SHELL = 100  # coefficients; fewer would not hold an estimate of signal and noise


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxedMaps:
    """Coefficients of one map, or of two half maps, about a model.

    Attributes
    ----------
    crystal : the box as a cell of space group P1.
    origin : position of the box's corner, (x, y, z) Å.
    shape : of the box's grid along x, y, z.
    hkl : one of each Friedel pair to the resolution limit. (n, 3) int64
    s2 : 1/d², Å⁻². (n,) float64
    shell : of each coefficient, low to high resolution. (n,) int64
    halves : exp(+2πi h·x) transforms of the maps. (maps, n) complex64
    mask : of the density about the model, indexed [x, y, z].
    """

    crystal: Crystal
    origin: tuple[float, float, float]
    shape: tuple[int, int, int]
    hkl: Tensor
    s2: Tensor
    shell: Tensor
    halves: Tensor
    mask: Tensor

    @property
    def f_obs(self) -> Tensor:
        """Mean of the half maps. (n,) complex64"""
        return self.halves.mean(dim=0)

    @property
    def shells(self) -> int:
        return int(self.shell.max()) + 1

    def shell_mean(self, values: Tensor) -> Tensor:
        """Mean of a real quantity over each shell, float64. (shells,)"""
        total = torch.zeros(self.shells, dtype=torch.float64).index_add_(0, self.shell, values.double())
        return total / self.count

    @property
    def count(self) -> Tensor:
        """Coefficients in each shell. (shells,)"""
        return torch.bincount(self.shell, minlength=self.shells).double()


def box_maps(
    maps: Sequence[DensityMap], xyz: Tensor, resolution: float, *, mask_radius: float = 3.0, padding: float = 6.0
) -> BoxedMaps:
    """Mask maps about a model, cut them to a box about it and transform them.

    Parameters
    ----------
    maps : one map, or two half maps on the same grid.
    xyz : positions of the model's atoms in the frame of the maps, Å. (n, 3)
    resolution : limit of the coefficients, Å; not beyond Nyquist.
    mask_radius : of the mask about every atom, Å.
    padding : between the mask and the faces of the box, Å.
    """
    like = maps[0]
    voxel = like.voxel_size
    start, size = _box(like, xyz, mask_radius + padding)
    local = xyz - torch.tensor(like.origin, dtype=xyz.dtype)
    seed = seed_from_atoms(local.detach().cpu().numpy(), tuple(like.values.shape), voxel, mask_radius)
    shape = MaskShape(extend=0.0, soft_edge=max(2.0, 2.0 / min(voxel)))
    mask = torch.from_numpy(make_mask(seed, shape)).to(like.values.device)
    boxed_mask = _cut(mask, start, size)
    cell = tuple(n * v for n, v in zip(size, voxel, strict=True))
    crystal = Crystal(cell=(cell[0], cell[1], cell[2], 90.0, 90.0, 90.0), space_group="P 1")
    hkl = _hemisphere(size, cell, resolution)
    s2 = (hkl.double() / torch.tensor(cell, dtype=torch.float64)).square().sum(1)
    falloff = _falloff(maps)
    halves = torch.stack([_coefficients(m, mask, falloff, start, size, hkl, s2) for m in maps])
    return BoxedMaps(
        crystal=crystal,
        origin=tuple(o + a * v for o, a, v in zip(like.origin, start, voxel, strict=True)),  # type: ignore[arg-type]
        shape=size,
        hkl=hkl,
        s2=s2,
        shell=_shells(s2, min(cell)),
        halves=halves,
        mask=boxed_mask.permute(2, 1, 0),
    )


def _box(like: DensityMap, xyz: Tensor, margin: float) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """First voxel and size of the box along x, y, z; it may stick out of the map, where density is zero."""
    start, size = [], []
    for axis in range(3):
        low = float(xyz[:, axis].min()) - margin - like.origin[axis]
        high = float(xyz[:, axis].max()) + margin - like.origin[axis]
        first = math.floor(low / like.voxel_size[axis])
        start.append(first)
        size.append(fft_size(math.ceil(high / like.voxel_size[axis]) - first + 1))
    return (start[0], start[1], start[2]), (size[0], size[1], size[2])


def _cut(values: Tensor, start: tuple[int, int, int], size: tuple[int, int, int]) -> Tensor:
    """Part of [z, y, x] values, zero where the box lies outside. [z, y, x]"""
    out = torch.zeros(size[::-1], dtype=values.dtype, device=values.device)
    take, put = [], []
    for first, n, whole in zip(start[::-1], size[::-1], values.shape, strict=True):
        low, high = max(first, 0), min(first + n, whole)
        take.append(slice(low, max(high, low)))
        put.append(slice(low - first, max(high, low) - first))
    out[tuple(put)] = values[tuple(take)]
    return out


def _hemisphere(size: tuple[int, int, int], cell: Sequence[float], resolution: float) -> Tensor:
    """One of each Friedel pair within the resolution and Nyquist, without the origin. (n, 3) int64"""
    limits = [min(int(a / resolution), (n - 1) // 2) for a, n in zip(cell, size, strict=True)]
    hkl = torch.cartesian_prod(*(torch.arange(-m, m + 1) for m in limits))
    h, k, l = hkl.unbind(1)
    unique = (l > 0) | ((l == 0) & ((k > 0) | ((k == 0) & (h > 0))))
    inside = (hkl.double() / torch.tensor(list(cell), dtype=torch.float64)).square().sum(1) <= resolution**-2
    return hkl[unique & inside]


def _shells(s2: Tensor, longest_spacing: float) -> Tensor:
    """Shells of equal width in s, widened until each holds enough coefficients. (n,) int64"""
    s = s2.sqrt()
    width = 1.0 / longest_spacing
    while True:
        shell = (s / width - 0.5).clamp_min(0).long()
        count = torch.bincount(shell)
        if len(count) <= 2 or int(count.min()) >= LEAST_IN_SHELL or width > float(s.max()):
            break
        poor = torch.nonzero(count < LEAST_IN_SHELL).flatten()
        if len(poor) <= 2 and bool(((poor <= 0) | (poor == len(count) - 1)).all()):
            # only the ends are thin: join them to their neighbours
            shell = shell.clamp(min=1 if int(count[0]) < LEAST_IN_SHELL else 0)
            if int(count[-1]) < LEAST_IN_SHELL:
                shell = shell.clamp(max=len(count) - 2)
            break
        width *= 1.15
    return shell - shell.min()


def _falloff(maps: Sequence[DensityMap]) -> tuple[Tensor, float]:
    """Rms amplitude of the mean of the maps by shell, and the width of a shell in Å⁻¹."""
    mean = sum((m.values for m in maps[1:]), maps[0].values) / len(maps)
    lengths = [n * v for n, v in zip(mean.shape[::-1], maps[0].voxel_size, strict=True)]
    transform = torch.fft.rfftn(mean.float())
    total = torch.zeros(max(mean.shape) + 2, dtype=torch.float64)
    count = torch.zeros_like(total)
    width = 1.0 / max(lengths)
    for planes, radius in _frequencies(mean.shape, maps[0].voxel_size):
        shell = (radius / width).round().long().clamp_(max=len(total) - 1)
        power = transform[planes].abs().square().double().reshape(-1)
        total.index_add_(0, shell.reshape(-1), power)
        count.index_add_(0, shell.reshape(-1), torch.ones_like(power))
    rms = (total / count.clamp_min(1)).sqrt()
    known = count > 0
    rms[~known] = rms[known][-1]
    return rms.clamp_min(float(rms.max()) * 1e-6), width


def _frequencies(shape: Sequence[int], voxel: tuple[float, float, float]) -> list[tuple[slice, Tensor]]:
    """(planes, s in Å⁻¹) over the half transform of [z, y, x] values."""
    if len(set(shape)) == 1 and max(voxel) - min(voxel) < 1e-6:
        length = shape[0] * voxel[0]
        return [(planes, radius / length) for planes, radius in radius_blocks(shape)]
    k = wave_numbers(shape)
    squares = [(q / (n * v)) ** 2 for q, n, v in zip(k, shape, voxel[::-1], strict=True)]
    return [(slice(0, shape[0]), (squares[0] + squares[1] + squares[2]).sqrt().float())]


def _coefficients(
    density: DensityMap,
    mask: Tensor,
    falloff: tuple[Tensor, float],
    start: tuple[int, int, int],
    size: tuple[int, int, int],
    hkl: Tensor,
    s2: Tensor,
) -> Tensor:
    """Transform of the flattened, masked, boxed map with its falloff given back. (n,) complex64"""
    rms, width = falloff
    transform = torch.fft.rfftn(density.values.float())
    for planes, radius in _frequencies(density.values.shape, density.voxel_size):
        shell = (radius / width).round().long().clamp_(max=len(rms) - 1)
        transform[planes] /= rms[shell].float()
    flat = torch.fft.irfftn(transform, s=density.values.shape)
    boxed = _cut(flat * mask, start, size).permute(2, 1, 0)
    half = torch.fft.rfftn(boxed).conj()  # exp(+2πi h·x)
    h, k, l = hkl.unbind(1)
    values = half[h % size[0], k % size[1], l]
    position = s2.sqrt() / width
    left = position.floor().long().clamp(max=len(rms) - 2)
    share = (position - left).clamp(0, 1)
    back = rms[left] * (1 - share) + rms[left + 1] * share
    volume = math.prod(density.voxel_size)
    return (values * (back * volume)).to(torch.complex64)
