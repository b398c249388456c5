"""Maps of single particles boxed about a model: Fourier coefficients of what the model explains.

Signal and noise per shell are those of the masked density near the model, not of the whole particle. Half maps are
sharpened by the B that they are blurred with before the mask cuts, and blurred again after it (Yamashita et al. 2021):
blurred atoms reach out of the mask, and a mask spreads strong low shells over weak high ones. That B is measured
(`map_blur`). How much of a single map is signal is not known, and its maker has most often sharpened it already: it is
masked as it is. The mask is that of the field, a constant radius about the atoms with a hard edge, so that correlations
compare with those of other programs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from burnish.data.density import DensityMap
from burnish.data.reflections import Crystal
from burnish.fourier.shells import radius_blocks
from burnish.fourier.transforms import wave_numbers
from burnish.maps.mask import seed_from_atoms
from burnish.models.map_blur import blur_of
from burnish.models.structure_factors import fft_size

OPEN = 0.01  # of a mask: where it is higher, density counts
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
    noise : ⟨|noise|²⟩ of their mean, from two half maps even where one stands alone; None from one map. (shells,)
    mask : of the density about the model, indexed [x, y, z].
    """

    crystal: Crystal
    origin: tuple[float, float, float]
    shape: tuple[int, int, int]
    hkl: Tensor
    s2: Tensor
    shell: Tensor
    halves: Tensor
    noise: Tensor | None
    mask: Tensor

    @property
    def without_halves(self) -> bool:
        """One map of which no halves are known."""
        return self.noise is None

    @property
    def filled(self) -> float:
        """Share of the box that the mask leaves: of so many of the coefficients the others are sums."""
        return float(self.mask.double().mean())

    @property
    def f_obs(self) -> Tensor:
        """Mean of the half maps. (n,) complex64"""
        return self.halves.mean(dim=0)

    @property
    def shells(self) -> int:
        return int(self.shell.max()) + 1

    def shell_mean(self, values: Tensor) -> Tensor:
        """Mean of a real quantity over each shell, float64. (shells,)"""
        return _shell_mean(values, self.shell)

    @property
    def count(self) -> Tensor:
        """Coefficients in each shell. (shells,)"""
        return torch.bincount(self.shell, minlength=self.shells).double()


def box_maps(
    maps: Sequence[DensityMap],
    xyz: Tensor,
    resolution: float,
    *,
    mask_radius: float = 3.0,
    padding: float = 6.0,
    first_alone: bool = False,
    mask: DensityMap | None = None,
    signal_to: float | None = None,
) -> BoxedMaps:
    """Mask maps about a model, cut them to a box about it and transform them.

    Parameters
    ----------
    maps : one map, or two half maps on the same grid.
    xyz : positions of the model's heavy atoms in the frame of the maps, Å. (n, 3)
    resolution : limit of the coefficients, Å; not beyond Nyquist.
    mask_radius : of the mask about every position, Å.
    padding : between the mask and the faces of the box, Å.
    first_alone : take the first of two half maps alone; the second says only how the signal falls off, and by shell how
        strong the noise is.
    signal_to : resolution to which half maps show the model, Å, when that is not the limit: what lies beyond is noise,
        and is sharpened no more than what lies there.
    mask : on the grid of the maps, 0 to 1, in place of one about every position; the box then holds all of it.
    """
    like = maps[0]
    voxel = like.voxel_size
    if mask is None:
        start, size = _box(like, xyz, mask_radius + padding)
        local = xyz - torch.tensor(like.origin, dtype=xyz.dtype)
        seed = seed_from_atoms(local.detach().cpu().numpy(), tuple(like.values.shape), voxel, mask_radius)
        inside = torch.from_numpy(seed).to(like.values)
    else:
        inside = mask.values.to(like.values).clamp(0.0, 1.0)
        start, size = _box(like, torch.cat([xyz, _corners(like, inside).to(xyz)]), padding)
    boxed_mask = _cut(inside, start, size)
    cell = tuple(n * v for n, v in zip(size, voxel, strict=True))
    crystal = Crystal(cell=(cell[0], cell[1], cell[2], 90.0, 90.0, 90.0), space_group="P 1")
    hkl = _hemisphere(size, cell, resolution)
    s2 = (hkl.double() / torch.tensor(cell, dtype=torch.float64)).square().sum(1)
    shell = _shells(s2, min(cell))
    placed = xyz - torch.tensor([o + a * v for o, a, v in zip(like.origin, start, voxel, strict=True)], dtype=xyz.dtype)
    falloff = None
    if len(maps) == 2:
        mean = replace(like, values=0.5 * (maps[0].values + maps[1].values))
        blurred = _coefficients(mean, inside, None, start, size, hkl)
        width = 1.0 / max(n * v for n, v in zip(like.values.shape[::-1], voxel, strict=True))  # of a shell of the map
        limit = max(resolution, signal_to or 0.0)
        known = s2 <= limit**-2 * (1.0 + 1e-9)
        found = blur_of(blurred[known], placed, crystal, hkl[known], s2[known], shell[known])
        falloff = Falloff(b=found, signal=1.0 / limit, largest=1.0 / resolution + 0.5 * width)
    halves = torch.stack([_coefficients(m, inside, falloff, start, size, hkl) for m in maps])
    noise = None
    if len(maps) == 2:
        used = 1 if first_alone else 2
        noise = _shell_mean((halves[0] - halves[1]).abs().square(), shell) / (2.0 * used)
        halves = halves[:used]
    return BoxedMaps(
        crystal=crystal,
        origin=tuple(o + a * v for o, a, v in zip(like.origin, start, voxel, strict=True)),  # type: ignore[arg-type]
        shape=size,
        hkl=hkl,
        s2=s2,
        shell=shell,
        halves=halves,
        noise=noise,
        mask=boxed_mask.permute(2, 1, 0),
    )


def _shell_mean(values: Tensor, shell: Tensor) -> Tensor:
    """Mean of a real quantity over each shell, float64. (shells,)"""
    index = shell.numpy()
    total = np.bincount(index, weights=values.double().numpy())  # a fifth of the time that torch takes
    return torch.from_numpy(total / np.bincount(index))


def _corners(like: DensityMap, inside: Tensor) -> Tensor:
    """Lowest and highest position that a mask lets through, (x, y, z) Å. (2, 3)"""
    found = torch.nonzero(inside > OPEN)
    if len(found) == 0:
        raise ValueError("the mask is closed everywhere")
    ends = torch.stack([found.amin(dim=0), found.amax(dim=0)]).flip(1).double()
    return ends * torch.tensor(like.voxel_size).double() + torch.tensor(like.origin).double()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Falloff:
    """By how much half maps are sharpened while a mask cuts them.

    Attributes
    ----------
    b : Å²; amplitudes are divided by exp(−b s²/4).
    signal : s beyond which they are divided by no less than there, Å⁻¹.
    largest : s beyond which nothing is let through the mask, Å⁻¹.
    """

    b: float
    signal: float
    largest: float

    def amplitude(self, s: Tensor) -> Tensor:
        """What amplitudes at s (Å⁻¹) are divided by; infinite beyond the resolution."""
        values = torch.exp(-0.25 * self.b * s.clamp_max(self.signal).square())
        return torch.where(s <= self.largest, values, math.inf)


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
    falloff: Falloff | None,
    start: tuple[int, int, int],
    size: tuple[int, int, int],
    hkl: Tensor,
) -> Tensor:
    """Transform of the masked, boxed map, sharpened before the mask and blurred again after it. (n,) complex64"""
    values = density.values.float()
    if falloff is not None:
        transform = torch.fft.rfftn(values)
        for planes, radius in _frequencies(values.shape, density.voxel_size):
            transform[planes] /= falloff.amplitude(radius)
        values = torch.fft.irfftn(transform, s=values.shape)
    boxed = _cut(values * mask, start, size).permute(2, 1, 0)
    half = torch.fft.rfftn(boxed).conj()  # exp(+2πi h·x)
    h, k, l = hkl.unbind(1)
    found = half[h % size[0], k % size[1], l] * math.prod(density.voxel_size)
    if falloff is not None:
        cell = torch.tensor([n * v for n, v in zip(size, density.voxel_size, strict=True)], dtype=torch.float64)
        found = found * falloff.amplitude((hkl.double() / cell).square().sum(1).sqrt().clamp_max(falloff.largest))
    return found.to(torch.complex64)
