"""Compiled passes over back-projection sums: one read of a grid where array operations would make a dozen.

At the last iteration these grids are the largest arrays of a refinement, so a temporary costs as much as the result.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def shell_weights(sums, half, padding, total, number):
    """Add the weights of each shell (radius over the padding, rounded) to total, and count them in number."""
    ny, nx = 2 * half + 2, half + 2
    last = total.shape[0]
    for iz in range(2 * half + 1):
        for iy in range(2 * half + 1):
            r2 = float((iz - half) ** 2 + (iy - half) ** 2)
            base = (iz * ny + iy) * nx
            for ix in range(half + 1):
                shell = int(math.sqrt(r2 + ix * ix) / padding + 0.5)
                if shell < last:
                    total[shell] += sums[base + ix, 2]
                    number[shell] += 1


@njit(nogil=True, cache=True)
def divide(sums, half, padding, limit, penalty, transform):
    """Write numerator / (weight + penalty of the shell) within `limit` shells into an `rfftn`-ordered transform.

    The sign (−1)^(x+y+z) moves the origin of the map from its first voxel to its middle.
    """
    ny, nx = 2 * half + 2, half + 2
    edge = transform.shape[0]
    reach = min(half, edge // 2 - 1)
    furthest = (limit * padding) ** 2
    for iz in range(half - reach, half + reach + 1):
        z = iz - half
        for iy in range(half - reach, half + reach + 1):
            y = iy - half
            if z * z + y * y > furthest:
                continue
            base = (iz * ny + iy) * nx
            for x in range(reach + 1):
                r2 = z * z + y * y + x * x
                if r2 > furthest:
                    break
                shell = int(math.sqrt(r2) / padding + 0.5)
                weight = sums[base + x, 2] + penalty[shell]
                if weight > 0.0:
                    sign = 1.0 - 2.0 * ((x + y + z) & 1)
                    scale = np.float32(sign / weight)
                    transform[z % edge, y % edge, x] = np.complex64(
                        complex(sums[base + x, 0] * scale, sums[base + x, 1] * scale)
                    )


@njit(nogil=True, cache=True)
def centre_values(transform, half, values):
    """Copy an `rfftn`-ordered transform into [z + half, y + half, x], with the sign that centres it."""
    edge = transform.shape[0]
    columns = transform.shape[2]
    for iz in range(2 * half + 2):
        z = iz - half
        for iy in range(2 * half + 2):
            y = iy - half
            for x in range(half + 2):
                value = transform[z % edge, y % edge, min(x, columns - 1)]
                values[iz, iy, x] = -value if (x + y + z) & 1 else value
