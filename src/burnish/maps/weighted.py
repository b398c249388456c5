"""Two half maps as one map to look at: averaged, sharpened, each shell weighted by what it is worth."""

from __future__ import annotations

import torch

from burnish.data.density import DensityMap
from burnish.fourier.transforms import wave_numbers

LEAST_POWER = 1e-12  # of the strongest shell


def weighted_map(half1: DensityMap, half2: DensityMap, resolution: float) -> DensityMap:
    """√FSC_full · F / σ(F) by shell to a resolution, in σ of the whole map.

    Parameters
    ----------
    half1, half2 : on the same grid.
    resolution : limit, Å.

    Notes
    -----
    The weights of Yamashita, Palmer, Burnley & Murshudov 2021, eq. 21, with FSC_full = 2 FSC/(1 + FSC) of the whole
    maps; nothing beyond the first shell whose FSC vanishes.
    """
    shape, voxel = half1.values.shape, half1.voxel_size
    width = 1.0 / max(n * v for n, v in zip(reversed(shape), voxel, strict=True))
    squares = [(q / (n * v)) ** 2 for q, n, v in zip(wave_numbers(shape), shape, reversed(voxel), strict=True)]
    s = (squares[0] + squares[1] + squares[2]).sqrt()
    shell = (s / width).round().long()
    one, two = (torch.fft.rfftn(half.values.float()) for half in (half1, half2))
    mean = 0.5 * (one + two)
    count = int(shell.max()) + 1

    def summed(values: torch.Tensor) -> torch.Tensor:
        return torch.zeros(count, dtype=torch.float64).index_add_(0, shell.reshape(-1), values.double().reshape(-1))

    power = (summed(one.abs().square()) * summed(two.abs().square())).sqrt()
    fsc = summed((one * two.conj()).real) / power.clamp_min(1e-300)
    number, strength = summed(torch.ones_like(s)), summed(mean.abs().square())
    gone = torch.nonzero(fsc[1:] <= 0.0).flatten() + 1
    last = int(gone[0]) if len(gone) else count
    worth = torch.where(torch.arange(count) < last, (2.0 * fsc / (1.0 + fsc)).clamp_min(0.0).sqrt(), 0.0)
    rms = (strength / number.clamp_min(1)).sqrt()
    weight = (worth / rms.clamp_min(float(rms.max()) * LEAST_POWER)).float()
    weight[0] = 0.0
    shaped = mean * torch.where(s <= 1.0 / resolution, weight[shell], 0.0)
    values = torch.fft.irfftn(shaped, s=shape)
    spread = float(values.std())
    return DensityMap(values=values / spread if spread > 0 else values, voxel_size=voxel, origin=half1.origin)
