"""Density on a regular grid of any shape of cell, whole crystal or box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from burnish.data.density import DensityMap


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledMap:
    """Density on a regular grid with a way from Cartesian positions to the grid.

    The grid point of a position x is `to_grid` · x + `offset`, in steps along the three axes of `values`.

    Attributes
    ----------
    values : density. (n0, n1, n2) float32
    to_grid : steps per Å. (3, 3) float64
    offset : (3,) float64
    periodic : whether the grid repeats (a crystal's cell) or ends (a box; outside it the density is 0).
    sigma : unit of the density where it is not its rms over the grid, as in a masked map; None for that.
    """

    values: Tensor
    to_grid: Tensor
    offset: Tensor
    periodic: bool
    sigma: float | None = None

    @property
    def step(self) -> float:
        """Largest distance between neighbouring grid planes, Å."""
        return float(1.0 / self.to_grid.norm(dim=1).min())


def cell_map(values: Tensor, fractionalisation: np.ndarray) -> SampledMap:
    """A map over one crystal cell.

    Parameters
    ----------
    values : indexed along a, b, c. (nu, nv, nw)
    fractionalisation : matrix from Cartesian to fractional coordinates, Å⁻¹. (3, 3)
    """
    size = np.array(values.shape, dtype=np.float64)[:, None]
    return SampledMap(
        values=values,
        to_grid=torch.as_tensor(size * fractionalisation, dtype=torch.float64),
        offset=torch.zeros(3, dtype=torch.float64),
        periodic=True,
    )


def box_map(density: DensityMap) -> SampledMap:
    """A map in a box, as of cryo-EM; indexed [z, y, x] as it came."""
    vx, vy, vz = density.voxel_size
    ox, oy, oz = density.origin
    to_grid = torch.tensor([[0.0, 0.0, 1.0 / vz], [0.0, 1.0 / vy, 0.0], [1.0 / vx, 0.0, 0.0]], dtype=torch.float64)
    offset = torch.tensor([-oz / vz, -oy / vy, -ox / vx], dtype=torch.float64)
    return SampledMap(values=density.values, to_grid=to_grid, offset=offset, periodic=False)
