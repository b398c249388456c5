"""A picture of a density surface, seen along one axis: enough to see what a mask encloses."""

from __future__ import annotations

import numpy as np


def shade_surface(density: np.ndarray, threshold: float, *, axis: int = 0) -> np.ndarray:
    """Brightness of the surface at `threshold` seen from the far end of `axis`, NaN where nothing is seen; 2D.

    Parameters
    ----------
    density : map [z, y, x].
    threshold : density of the surface.
    axis : of the array along which one looks: 0 is z, and the picture is then [y, x].

    Notes
    -----
    The first voxel above the threshold on each line of sight, placed between voxels by linear interpolation; Lambert
    shading by the slope of that surface, darker with depth.
    """
    lines = np.moveaxis(density, axis, 0)[::-1]
    above = lines > threshold
    seen = above.any(axis=0)
    first = above.argmax(axis=0)
    high = np.take_along_axis(lines, first[None], axis=0)[0]
    low = np.take_along_axis(lines, np.maximum(first - 1, 0)[None], axis=0)[0]
    step = np.where(first > 0, (high - threshold) / np.maximum(high - low, 1e-20), 0.0)
    depth = first - np.clip(step, 0.0, 1.0)
    slope_y, slope_x = np.gradient(_smooth(np.where(seen, depth, depth[seen].max() if seen.any() else 0.0)))
    light = np.array([-0.45, -0.55, 0.7])
    light /= np.linalg.norm(light)
    facing = slope_x * light[0] + slope_y * light[1] + light[2]
    shade = np.maximum(facing, 0.0) / np.sqrt(slope_x**2 + slope_y**2 + 1.0)
    if seen.any():
        nearest, farthest = depth[seen].min(), depth[seen].max()
        shade = shade * (1.0 - 0.35 * (depth - nearest) / max(farthest - nearest, 1.0))
    return np.where(seen, 0.4 + 0.6 * shade, np.nan)


def _smooth(picture: np.ndarray) -> np.ndarray:
    """Mean of each pixel and its neighbours, those beyond the edge left out."""
    for axis in (0, 1):
        total, count = picture.copy(), np.ones_like(picture)
        one = np.ones_like(picture)
        for to, of in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
            into, source = (to, of) if axis == 0 else ((slice(None), to), (slice(None), of))
            total[into] += picture[source]
            count[into] += one[source]
        picture = total / count
    return picture
