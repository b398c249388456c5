"""Local maxima of a map."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from burnish.data.sampled_map import SampledMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """Maxima of a map, the highest first.

    Attributes
    ----------
    xyz : Cartesian positions, Å; of a crystal inside the cell that the grid covers. (n, 3) float64
    height : density at the maximum, from a parabola through its neighbours, in the map's unit. (n,) float64
    """

    xyz: Tensor
    height: Tensor

    def __len__(self) -> int:
        return len(self.height)


def find_peaks(grid: SampledMap, threshold: float) -> Peaks:
    """Grid points above `threshold` that are higher than their 26 neighbours, moved to the top of a parabola.

    For holes, give the map with its sign changed.
    """
    values = grid.values
    index = torch.nonzero(values > threshold)  # few points are: only these are compared with their neighbours
    size = torch.tensor(values.shape, device=index.device)
    if not grid.periodic:
        index = index[((index > 0) & (index < size - 1)).all(dim=1)]
    for offset in product((-1, 0, 1), repeat=3):
        if any(offset):
            near = (index + torch.tensor(offset, device=index.device)) % size
            index = index[values[tuple(index.T)] >= values[tuple(near.T)]]
    shift, gain = [], torch.zeros(len(index), dtype=torch.float64)
    middle = values[tuple(index.T)].double()
    for axis in range(3):
        step = torch.zeros(3, dtype=torch.int64, device=index.device)
        step[axis] = 1
        low = values[tuple(((index - step) % size).T)].double()
        high = values[tuple(((index + step) % size).T)].double()
        bend = low - 2.0 * middle + high
        move = torch.where(bend < 0, (0.5 * (low - high) / bend.clamp(max=-1e-12)).clamp(-0.5, 0.5), 0.0)
        shift.append(move)
        gain = gain - 0.25 * (low - high) * move
    at = index.double() + torch.stack(shift, dim=1) if len(index) else index.double()
    xyz = (at - grid.offset) @ torch.linalg.inv(grid.to_grid).T
    height = middle + gain
    order = torch.argsort(height, descending=True)
    return Peaks(xyz=xyz[order], height=height[order])
