"""Trilinear density between the voxels of a map."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from burnish.data.density import DensityMap


def sample_linear(density: DensityMap, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Density at points, and which of them lie in the map.

    Parameters
    ----------
    points : Å. (..., 3)

    Returns
    -------
    Values (...) float64, those of the nearest face outside; and a mask (...).
    """
    values = density.values.detach().cpu().numpy()
    voxel = (np.asarray(points) - np.array(density.origin)) / np.array(density.voxel_size)
    limit = np.array(values.shape[::-1]) - 1
    inside = ((voxel >= 0) & (voxel <= limit)).all(axis=-1)
    found = map_coordinates(values, voxel[..., ::-1].reshape(-1, 3).T, order=1, mode="nearest")
    return found.reshape(points.shape[:-1]).astype(np.float64), inside
