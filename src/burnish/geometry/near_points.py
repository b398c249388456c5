"""Pairs of points near each other, without the third of a second in which scipy's trees are imported."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

MOST_CELLS = 64  # along an axis


def near_pairs(xyz: NDArray[np.float64], reach: float) -> NDArray[np.int64]:
    """Pairs i < j of points not farther apart than `reach`, in no particular order. (p, 2)

    Parameters
    ----------
    xyz : (n, 3), finite.
    reach : in the unit of the positions.

    Notes
    -----
    Points are sorted into cells at least as wide as the reach; each looks into its own and the neighbouring cells.

    Examples
    --------
    >>> near_pairs(np.array([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), 1.5).tolist()
    [[0, 2]]
    """
    if len(xyz) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    if not np.isfinite(xyz).all():
        raise ValueError("positions that are not finite have no neighbours")
    low = xyz.min(axis=0)
    edge = np.maximum((xyz.max(axis=0) - low) / MOST_CELLS, reach) * (1.0 + 1e-9)
    cell = ((xyz - low) / edge).astype(np.int64)
    shape = cell.max(axis=0) + 1
    code = (cell[:, 0] * shape[1] + cell[:, 1]) * shape[2] + cell[:, 2]
    order = np.argsort(code, kind="stable")
    first = np.concatenate([[0], np.cumsum(np.bincount(code, minlength=int(shape.prod())))])
    sorted_xyz, sorted_cell = np.ascontiguousarray(xyz[order], dtype=np.float64), cell[order]
    count = _list_pairs(sorted_xyz, sorted_cell, shape, first, reach**2, np.zeros((0, 2), dtype=np.int64))
    pairs = np.empty((count, 2), dtype=np.int64)
    _list_pairs(sorted_xyz, sorted_cell, shape, first, reach**2, pairs)
    pairs = order[pairs]
    return np.sort(pairs, axis=1)


@numba.njit(cache=True)
def _list_pairs(xyz, cell, shape, first, reach2, pairs):
    """Number of pairs of sorted points; they are written down as far as there is room."""
    count, room = 0, len(pairs)
    for p in range(len(xyz)):
        x, y, z = xyz[p, 0], xyz[p, 1], xyz[p, 2]
        u, v, w = cell[p, 0], cell[p, 1], cell[p, 2]
        for du in range(2):
            for dv in range(-1 if du == 1 else 0, 2):
                if u + du >= shape[0] or v + dv < 0 or v + dv >= shape[1]:
                    continue
                row = ((u + du) * shape[1] + v + dv) * shape[2]
                last = first[row + min(w + 1, shape[2] - 1) + 1]
                start = p + 1 if du == 0 and dv == 0 else first[row + max(w - 1, 0)]
                for q in range(start, last):
                    dx, dy, dz = xyz[q, 0] - x, xyz[q, 1] - y, xyz[q, 2] - z
                    if dx * dx + dy * dy + dz * dz <= reach2:
                        if count < room:
                            pairs[count, 0], pairs[count, 1] = p, q
                        count += 1
    return count
