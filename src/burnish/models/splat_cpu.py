"""Spread Gaussian atoms on a periodic grid and gather the adjoint: the numba twin of `splat_reference`.

The points of an atom's sphere are first listed, row by row along c, with their displacements from the atom. All
exponentials then run over that list, hundreds of points long, without branches or calls, and are vectorised; rows of
the grid by themselves are too short for it. Single precision on the grid, double for what is summed over an atom.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from burnish.models.gaussian_atoms import GaussianAtoms

HALF_LOG2_E = 0.5 * 1.4426950408889634


@numba.njit(inline="always", fastmath=True)
def _exp2(t):
    """2**t for t ≤ 0 to 4e-7, written so that the compiler can vectorise it (its own exp is a call)."""
    t = max(t, np.float32(-126.0))
    whole = np.int32(t - np.float32(0.5))
    f = t - np.float32(whole)
    p = np.float32(1.5403530e-4)
    p = p * f + np.float32(1.3333558e-3)
    p = p * f + np.float32(9.6181291e-3)
    p = p * f + np.float32(5.5504109e-2)
    p = p * f + np.float32(2.4022651e-1)
    p = p * f + np.float32(6.9314718e-1)
    p = p * f + np.float32(1.0)
    return p * np.int32((whole + np.int32(127)) << np.int32(23)).view(np.float32)


@numba.njit(inline="always")
def _wrapped(place, size):
    """place modulo size; nearly every place lies inside, and a division takes long."""
    return place if 0 <= place < size else place % size


@numba.njit(cache=True, fastmath=True)
def _list_points(shape, centre, radius, frac, step, points, rows):
    """List the grid points within the radius of an atom.

    points : displacement x, y, z from the atom and its square, as rows of an array. (4, capacity)
    rows : u, v and first w of each row of the grid, wrapped into it, and its number of points. (capacity, 4) uint64

    Notes
    -----
    Places are unsigned wherever points are counted: numba tests every index that may be negative, and such loops are
    not vectorised.
    """
    nu, nv, nw = shape
    width_u = math.sqrt(frac[0, 0] ** 2 + frac[0, 1] ** 2 + frac[0, 2] ** 2) * nu
    width_v = math.sqrt(frac[1, 0] ** 2 + frac[1, 1] ** 2 + frac[1, 2] ** 2) * nv
    fu = (frac[0, 0] * centre[0] + frac[0, 1] * centre[1] + frac[0, 2] * centre[2]) * nu
    fv = (frac[1, 0] * centre[0] + frac[1, 1] * centre[1] + frac[1, 2] * centre[2]) * nv
    fw = (frac[2, 0] * centre[0] + frac[2, 1] * centre[1] + frac[2, 2] * centre[2]) * nw
    cx, cy, cz = step[0, 2], step[1, 2], step[2, 2]
    length2 = cx * cx + cy * cy + cz * cz
    n_points, n_rows = 0, 0
    for u in range(math.ceil(fu - radius * width_u), math.floor(fu + radius * width_u) + 1):
        for v in range(math.ceil(fv - radius * width_v), math.floor(fv + radius * width_v) + 1):
            du, dv = u - fu, v - fv
            x = du * step[0, 0] + dv * step[0, 1]
            y = du * step[1, 0] + dv * step[1, 1]
            z = du * step[2, 0] + dv * step[2, 1]
            along = x * cx + y * cy + z * cz
            under = along * along - length2 * (x * x + y * y + z * z - radius * radius)
            if under < 0.0:
                continue
            root = math.sqrt(under)
            first = math.ceil(fw + (-along - root) / length2)
            count = math.floor(fw + (-along + root) / length2) - first + 1
            if count <= 0:
                continue
            dw = first - fw
            x0, y0, z0 = np.float32(x + dw * cx), np.float32(y + dw * cy), np.float32(z + dw * cz)
            sx, sy, sz = np.float32(cx), np.float32(cy), np.float32(cz)
            start = np.uint64(n_points)
            for k in range(np.uint64(count)):
                t = np.float32(np.int32(k))
                px, py, pz = x0 + t * sx, y0 + t * sy, z0 + t * sz
                points[0, start + k] = px
                points[1, start + k] = py
                points[2, start + k] = pz
                points[3, start + k] = px * px + py * py + pz * pz
            rows[n_rows, 0], rows[n_rows, 1] = _wrapped(u, nu), _wrapped(v, nv)
            rows[n_rows, 2], rows[n_rows, 3] = _wrapped(first, nw), count
            n_points += count
            n_rows += 1
    return n_points, n_rows


@numba.njit(inline="always", fastmath=True)
def _exponent(q, points, p):
    """−½ log2(e) dᵀ Q d of one point."""
    x, y, z = points[0, p], points[1, p], points[2, p]
    return x * (q[0] * x + q[3] * y + q[4] * z) + y * (q[1] * y + q[5] * z) + q[2] * z * z


@numba.njit(inline="always")
def _packed_exponent(precision, q):
    """The six numbers that `_exponent` takes, off-diagonal ones doubled."""
    for k in range(6):
        q[k] = np.float32(-HALF_LOG2_E * precision[k] * (1.0 if k < 3 else 2.0))


@numba.njit(cache=True, fastmath=True)
def _spread(grid, xyz, precision, height, isotropic, occ, radius, frac, step, capacity):
    nw = np.uint64(grid.shape[2])
    points, rows = np.empty((4, capacity), np.float32), np.empty((capacity, 4), np.uint64)
    density, q = np.empty(capacity, np.float32), np.empty(6, np.float32)
    for n in range(len(xyz)):
        if occ[n] == 0.0:
            continue
        n_points, n_rows = _list_points(grid.shape, xyz[n], radius[n], frac, step, points, rows)
        density[:n_points] = 0.0
        for g in range(height.shape[1]):
            scale = np.float32(occ[n] * height[n, g])
            if scale == 0.0:
                continue
            if isotropic[n]:
                factor = np.float32(-HALF_LOG2_E * precision[n, g, 0])
                for p in range(n_points):
                    density[p] += scale * _exp2(factor * points[3, p])
            else:
                _packed_exponent(precision[n, g], q)
                for p in range(n_points):
                    density[p] += scale * _exp2(_exponent(q, points, p))
        start = np.uint64(0)
        for r in range(n_rows):
            row = grid[rows[r, 0], rows[r, 1]]
            place, left = rows[r, 2], rows[r, 3]
            while left > 0:
                part = min(left, nw - place)
                for k in range(part):
                    row[place + k] += density[start + k]
                start += part
                left -= part
                place = np.uint64(0)


@numba.njit(inline="always")
def _copy_rows(grid, rows, n_rows, values):
    """Values of the grid at the listed points."""
    nw = np.uint64(grid.shape[2])
    start = np.uint64(0)
    for r in range(n_rows):
        row = grid[rows[r, 0], rows[r, 1]]
        place, left = rows[r, 2], rows[r, 3]
        while left > 0:
            part = min(left, nw - place)
            for k in range(part):
                values[start + k] = row[place + k]
            start += part
            left -= part
            place = np.uint64(0)


@numba.njit(cache=True, fastmath=True)
def _gather(grid, xyz, precision, height, isotropic, occ, radius, frac, step, capacity, wrt_xyz, wrt_u, wrt_occ):
    points, rows = np.empty((4, capacity), np.float32), np.empty((capacity, 4), np.uint64)
    values, q = np.empty(capacity, np.float32), np.empty(6, np.float32)
    sums = np.empty((3, capacity), np.float32)
    moment = np.zeros((height.shape[1], 10))
    for n in range(len(xyz)):
        n_points, n_rows = _list_points(grid.shape, xyz[n], radius[n], frac, step, points, rows)
        _copy_rows(grid, rows, n_rows, values)
        if isotropic[n]:
            sums[:, :n_points] = 0.0
            for g in range(height.shape[1]):
                scale, beta = np.float32(height[n, g]), np.float32(precision[n, g, 0])
                if scale == 0.0:
                    continue
                factor = np.float32(-HALF_LOG2_E) * beta
                for p in range(n_points):
                    e = scale * _exp2(factor * points[3, p])
                    sums[0, p] += e
                    e *= beta
                    sums[1, p] += e
                    sums[2, p] += beta * e
            s, tx, ty, tz = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            t, w = np.float32(0), np.float32(0)
            for p in range(n_points):
                s += values[p] * sums[0, p]
                slope = values[p] * sums[1, p]
                tx += slope * points[0, p]
                ty += slope * points[1, p]
                tz += slope * points[2, p]
                t += slope
                w += values[p] * sums[2, p] * points[3, p]
            wrt_occ[n] = s
            wrt_xyz[n, 0], wrt_xyz[n, 1], wrt_xyz[n, 2] = occ[n] * tx, occ[n] * ty, occ[n] * tz
            trace = 0.5 * occ[n] * (w - 3.0 * t)
            wrt_u[n, 0], wrt_u[n, 1], wrt_u[n, 2] = trace / 3.0, trace / 3.0, trace / 3.0
        else:
            for g in range(height.shape[1]):
                if height[n, g] != 0.0:
                    _packed_exponent(precision[n, g], q)
                    _moments(points, values, n_points, q, moment[g])
            _atom_derivatives(n, moment, precision[n], height[n], occ[n], wrt_xyz, wrt_u, wrt_occ)


@numba.njit(inline="always", fastmath=True)
def _moments(points, values, n_points, q, moment):
    """Σ M e, Σ M e d and Σ M e d dᵀ of one term."""
    zero = np.float32(0)
    s, sx, sy, sz, xx, yy, zz, xy, xz, yz = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
    for p in range(n_points):
        e = values[p] * _exp2(_exponent(q, points, p))
        x, y, z = points[0, p], points[1, p], points[2, p]
        ex, ey, ez = e * x, e * y, e * z
        s += e
        sx += ex
        sy += ey
        sz += ez
        xx += ex * x
        yy += ey * y
        zz += ez * z
        xy += ex * y
        xz += ex * z
        yz += ey * z
    moment[0], moment[1], moment[2], moment[3], moment[4] = s, sx, sy, sz, xx
    moment[5], moment[6], moment[7], moment[8], moment[9] = yy, zz, xy, xz, yz


@numba.njit(inline="always")
def _atom_derivatives(n, moment, precision, height, occ, wrt_xyz, wrt_u, wrt_occ):
    """Chain rule from the moments Σ M e, Σ M e d, Σ M e d dᵀ of each term to the parameters of the atom."""
    q, m, qm = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    for g in range(len(height)):
        if height[g] == 0.0:
            continue
        p, s = precision[g], moment[g]
        q[0, 0], q[1, 1], q[2, 2] = p[0], p[1], p[2]
        q[0, 1], q[1, 0], q[0, 2], q[2, 0], q[1, 2], q[2, 1] = p[3], p[3], p[4], p[4], p[5], p[5]
        m[0, 0], m[1, 1], m[2, 2] = s[4], s[5], s[6]
        m[0, 1], m[1, 0], m[0, 2], m[2, 0], m[1, 2], m[2, 1] = s[7], s[7], s[8], s[8], s[9], s[9]
        wrt_occ[n] += height[g] * s[0]
        scale = occ * height[g]
        for i in range(3):
            wrt_xyz[n, i] += scale * (q[i, 0] * s[1] + q[i, 1] * s[2] + q[i, 2] * s[3])
            for j in range(3):
                qm[i, j] = q[i, 0] * m[0, j] + q[i, 1] * m[1, j] + q[i, 2] * m[2, j]
        for i in range(3):
            for j in range(i, 3):
                value = 0.5 * scale * (qm[i, 0] * q[0, j] + qm[i, 1] * q[1, j] + qm[i, 2] * q[2, j] - q[i, j] * s[0])
                if i == j:
                    wrt_u[n, i] += value
                else:
                    wrt_u[n, 2 + i + j] += 2.0 * value


def _capacity(shape: tuple[int, ...], atoms: GaussianAtoms, frac: np.ndarray) -> int:
    """Most points that one atom can cover."""
    reach = float(atoms.radius.max(initial=0.0)) * np.linalg.norm(frac, axis=1) * np.array(shape)
    return int(np.prod(2.0 * reach + 2.0))


def spread(grid: np.ndarray, atoms: GaussianAtoms, frac: np.ndarray, orth: np.ndarray) -> None:
    """Add the density of the atoms to a grid that covers the cell periodically.

    Parameters
    ----------
    grid : indexed along a, b, c; changed in place. (nu, nv, nw) float32
    frac, orth : matrices from Cartesian to fractional coordinates and back. (3, 3)
    """
    step, capacity = orth / np.array(grid.shape), _capacity(grid.shape, atoms, frac)
    a = atoms
    _spread(grid, a.xyz, a.precision, a.height, a.isotropic, a.occ, a.radius, frac, step, capacity)


def gather(
    grid: np.ndarray, atoms: GaussianAtoms, frac: np.ndarray, orth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Derivatives of Σ grid · density with respect to positions, U and occupancies. (n, 3), (n, 6), (n,) float64

    Of the derivative by U, isotropic atoms get the trace only, in three equal parts.
    """
    n = len(atoms.xyz)
    wrt_xyz, wrt_u, wrt_occ = np.zeros((n, 3)), np.zeros((n, 6)), np.zeros(n)
    step, capacity = orth / np.array(grid.shape), _capacity(grid.shape, atoms, frac)
    a = atoms
    out = (wrt_xyz, wrt_u, wrt_occ)
    _gather(grid, a.xyz, a.precision, a.height, a.isotropic, a.occ, a.radius, frac, step, capacity, *out)
    return out
