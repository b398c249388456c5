"""Correlation of a map with the density of its model, and how many atoms lie inside the map's contour.

The correlations are those of the field (Afonine, Klaholz, Moriarty, Poon, Sobolev, Terwilliger, Adams & Urzhumtsev
2018, Acta Cryst. D74, 814), over four sets of grid points: near the model (mask), the highest of the model's density
(volume), the highest of either (peaks), and all (box). "Near" is inside van der Waals radii plus 1.1 Å, shrunk by
0.9 Å; the number of highest points is the number of points near the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from burnish.data.density import DensityMap

PROBE, SHRINK = 1.1, 0.9  # Å


@dataclass(frozen=True, slots=True, kw_only=True)
class MapCorrelations:
    """Pearson correlations of observed and calculated density over four sets of points."""

    mask: float
    volume: float
    peaks: float
    box: float


def model_region(density: DensityMap, xyz: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Grid points near a model: inside radii plus probe, shrunk again. Boolean, [z, y, x]

    Parameters
    ----------
    xyz : positions, Å. (n, 3)
    radii : van der Waals radius of each atom, Å. (n,)
    """
    voxel, shape = np.array(density.voxel_size), np.array(density.values.shape[::-1])
    near = np.zeros(tuple(density.values.shape), dtype=bool)
    local = (xyz - np.array(density.origin)) / voxel
    for radius in np.unique(radii.round(2)):
        reach = np.ceil((radius + PROBE) / voxel).astype(int)
        steps = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), -1).reshape(-1, 3)
        for atoms in np.array_split(local[radii.round(2) == radius], max(1, int((radii == radius).sum()) // 2000)):
            at = np.rint(atoms).astype(int)[:, None] + steps
            inside = (((at - atoms[:, None]) * voxel) ** 2).sum(-1) < (radius + PROBE) ** 2
            inside &= ((at >= 0) & (at < shape)).all(-1)
            x, y, z = at[inside].T
            near[z, y, x] = True
    if near.all() or not near.any():
        return near
    depth = np.asarray(distance_transform_edt(near, sampling=voxel[::-1]))
    return near & (depth > SHRINK)


def map_correlations(observed: np.ndarray, calculated: np.ndarray, near: np.ndarray) -> MapCorrelations:
    """Correlations over the four sets of points.

    Parameters
    ----------
    observed, calculated : density on one grid.
    near : points near the model.
    """
    count = int(near.sum())
    high_calculated, high_observed = _highest(calculated, count), _highest(observed, count)
    everywhere = np.ones_like(near)
    return MapCorrelations(
        mask=_correlation(observed, calculated, near),
        volume=_correlation(observed, calculated, high_calculated),
        peaks=_correlation(observed, calculated, high_calculated | high_observed),
        box=_correlation(observed, calculated, everywhere),
    )


def _highest(values: np.ndarray, count: int) -> np.ndarray:
    """The `count` highest points."""
    if count <= 0:
        return np.zeros(values.shape, dtype=bool)
    level = np.partition(values.reshape(-1), values.size - min(count, values.size))[
        values.size - min(count, values.size)
    ]
    return np.asarray(values >= level)


def _correlation(a: np.ndarray, b: np.ndarray, chosen: np.ndarray) -> float:
    x, y = a[chosen].astype(np.float64), b[chosen].astype(np.float64)
    if len(x) < 2:
        return math.nan
    x, y = x - x.mean(), y - y.mean()
    size = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / size if size > 0 else math.nan


def contour_of_volume(density: DensityMap, near: np.ndarray) -> float:
    """Level above which the map holds as much volume as its model fills."""
    values = density.values.detach().cpu().numpy().reshape(-1)
    count = min(max(int(near.sum()), 1), values.size)
    return float(np.partition(values, values.size - count)[values.size - count])
