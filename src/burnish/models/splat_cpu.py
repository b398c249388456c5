"""Spread Gaussian atoms on a periodic grid and gather the adjoint: the numba twin of `splat_reference`.

Rows of the grid along c are the unit of work. On a row every term is exp2 of a quadratic in the row index, so that the
inner loops have no branches, no calls and no gathers, and are vectorised; the moments of a row with weights 1, k, k²
give all derivatives of the atom. Single precision on the grid, double for what is summed over an atom.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from burnish.models.gaussian_atoms import GaussianAtoms

LOG2_E = 1.4426950408889634
MAX_ROW = 512  # longest part of a row that one atom may cover, grid points


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


@numba.njit(inline="always", fastmath=True)
def _row_exponent(q, x, y, z, step):
    """Coefficients of −½ log2(e) (d + k·step)ᵀ Q (d + k·step) in k."""
    ax = q[0] * x + q[3] * y + q[4] * z
    ay = q[3] * x + q[1] * y + q[5] * z
    az = q[4] * x + q[5] * y + q[2] * z
    bx = q[0] * step[0] + q[3] * step[1] + q[4] * step[2]
    by = q[3] * step[0] + q[1] * step[1] + q[5] * step[2]
    bz = q[4] * step[0] + q[5] * step[1] + q[2] * step[2]
    c = -0.5 * LOG2_E
    return (
        np.float32(c * (x * ax + y * ay + z * az)),
        np.float32(2.0 * c * (step[0] * ax + step[1] * ay + step[2] * az)),
        np.float32(c * (step[0] * bx + step[1] * by + step[2] * bz)),
    )


@numba.njit(inline="always", fastmath=True)
def _row_range(x, y, z, step, radius2):
    """First and last k with |d + k·step| ≤ radius; empty if last < first."""
    along = x * step[0] + y * step[1] + z * step[2]
    length2 = step[0] ** 2 + step[1] ** 2 + step[2] ** 2
    under = along * along - length2 * (x * x + y * y + z * z - radius2)
    if under < 0.0:
        return 0, -1
    root = math.sqrt(under)
    first, last = math.ceil((-along - root) / length2), math.floor((-along + root) / length2)
    return first, min(last, first + MAX_ROW - 1)


@numba.njit(cache=True, fastmath=True)
def _spread(grid, xyz, precision, height, occ, radius, frac, orth):
    nu, nv, nw = grid.shape
    steps = np.empty((3, 3))
    for i in range(3):
        steps[i, 0], steps[i, 1], steps[i, 2] = orth[0, i], orth[1, i], orth[2, i]
    steps[0] /= nu
    steps[1] /= nv
    steps[2] /= nw
    width_u = math.sqrt(frac[0, 0] ** 2 + frac[0, 1] ** 2 + frac[0, 2] ** 2) * nu
    width_v = math.sqrt(frac[1, 0] ** 2 + frac[1, 1] ** 2 + frac[1, 2] ** 2) * nv
    buffer = np.zeros(MAX_ROW, np.float32)
    step = steps[2]
    for n in range(len(xyz)):
        if occ[n] == 0.0:
            continue
        fu = (frac[0, 0] * xyz[n, 0] + frac[0, 1] * xyz[n, 1] + frac[0, 2] * xyz[n, 2]) * nu
        fv = (frac[1, 0] * xyz[n, 0] + frac[1, 1] * xyz[n, 1] + frac[1, 2] * xyz[n, 2]) * nv
        fw = (frac[2, 0] * xyz[n, 0] + frac[2, 1] * xyz[n, 1] + frac[2, 2] * xyz[n, 2]) * nw
        radius2 = radius[n] ** 2
        w0 = math.floor(fw)
        for u in range(math.ceil(fu - radius[n] * width_u), math.floor(fu + radius[n] * width_u) + 1):
            for v in range(math.ceil(fv - radius[n] * width_v), math.floor(fv + radius[n] * width_v) + 1):
                du, dv, dw = u - fu, v - fv, w0 - fw
                x = du * steps[0, 0] + dv * steps[1, 0] + dw * steps[2, 0]
                y = du * steps[0, 1] + dv * steps[1, 1] + dw * steps[2, 1]
                z = du * steps[0, 2] + dv * steps[1, 2] + dw * steps[2, 2]
                first, last = _row_range(x, y, z, step, radius2)
                count = last - first + 1
                if count <= 0:
                    continue
                x += first * step[0]
                y += first * step[1]
                z += first * step[2]
                for g in range(height.shape[1]):
                    if height[n, g] != 0.0:
                        c0, c1, c2 = _row_exponent(precision[n, g], x, y, z, step)
                        scale = np.float32(occ[n] * height[n, g])
                        for k in range(count):
                            t = np.float32(k)
                            buffer[k] += scale * _exp2(c0 + t * (c1 + t * c2))
                row = grid[u % nu, v % nv]
                place = (w0 + first) % nw
                done = 0
                while done < count:
                    part = min(count - done, nw - place)
                    for k in range(part):
                        row[place + k] += buffer[done + k]
                        buffer[done + k] = 0.0
                    done += part
                    place = 0


@numba.njit(cache=True, fastmath=True)
def _gather(grid, xyz, precision, height, occ, radius, frac, orth, wrt_xyz, wrt_u, wrt_occ):
    nu, nv, nw = grid.shape
    terms = height.shape[1]
    steps = np.empty((3, 3))
    for i in range(3):
        steps[i, 0], steps[i, 1], steps[i, 2] = orth[0, i], orth[1, i], orth[2, i]
    steps[0] /= nu
    steps[1] /= nv
    steps[2] /= nw
    width_u = math.sqrt(frac[0, 0] ** 2 + frac[0, 1] ** 2 + frac[0, 2] ** 2) * nu
    width_v = math.sqrt(frac[1, 0] ** 2 + frac[1, 1] ** 2 + frac[1, 2] ** 2) * nv
    buffer = np.zeros(MAX_ROW, np.float32)
    step = steps[2]
    moment = np.zeros((terms, 10))
    for n in range(len(xyz)):
        fu = (frac[0, 0] * xyz[n, 0] + frac[0, 1] * xyz[n, 1] + frac[0, 2] * xyz[n, 2]) * nu
        fv = (frac[1, 0] * xyz[n, 0] + frac[1, 1] * xyz[n, 1] + frac[1, 2] * xyz[n, 2]) * nv
        fw = (frac[2, 0] * xyz[n, 0] + frac[2, 1] * xyz[n, 1] + frac[2, 2] * xyz[n, 2]) * nw
        radius2 = radius[n] ** 2
        w0 = math.floor(fw)
        moment[:] = 0.0
        for u in range(math.ceil(fu - radius[n] * width_u), math.floor(fu + radius[n] * width_u) + 1):
            for v in range(math.ceil(fv - radius[n] * width_v), math.floor(fv + radius[n] * width_v) + 1):
                du, dv, dw = u - fu, v - fv, w0 - fw
                x = du * steps[0, 0] + dv * steps[1, 0] + dw * steps[2, 0]
                y = du * steps[0, 1] + dv * steps[1, 1] + dw * steps[2, 1]
                z = du * steps[0, 2] + dv * steps[1, 2] + dw * steps[2, 2]
                first, last = _row_range(x, y, z, step, radius2)
                count = last - first + 1
                if count <= 0:
                    continue
                x += first * step[0]
                y += first * step[1]
                z += first * step[2]
                row = grid[u % nu, v % nv]
                place = (w0 + first) % nw
                done = 0
                while done < count:
                    part = min(count - done, nw - place)
                    for k in range(part):
                        buffer[done + k] = row[place + k]
                    done += part
                    place = 0
                for g in range(terms):
                    if height[n, g] == 0.0:
                        continue
                    c0, c1, c2 = _row_exponent(precision[n, g], x, y, z, step)
                    s0, s1, s2 = np.float32(0.0), np.float32(0.0), np.float32(0.0)
                    for k in range(count):
                        t = np.float32(k)
                        e = buffer[k] * _exp2(c0 + t * (c1 + t * c2))
                        s0 += e
                        e *= t
                        s1 += e
                        s2 += e * t
                    moment[g, 0] += s0
                    mx, my, mz = x * s0 + step[0] * s1, y * s0 + step[1] * s1, z * s0 + step[2] * s1
                    tx, ty, tz = x * s1 + step[0] * s2, y * s1 + step[1] * s2, z * s1 + step[2] * s2
                    moment[g, 1] += mx
                    moment[g, 2] += my
                    moment[g, 3] += mz
                    moment[g, 4] += x * mx + step[0] * tx
                    moment[g, 5] += y * my + step[1] * ty
                    moment[g, 6] += z * mz + step[2] * tz
                    moment[g, 7] += x * my + step[0] * ty
                    moment[g, 8] += x * mz + step[0] * tz
                    moment[g, 9] += y * mz + step[1] * tz
        _atom_derivatives(n, moment, precision[n], height[n], occ[n], wrt_xyz, wrt_u, wrt_occ)


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


def spread(grid: np.ndarray, atoms: GaussianAtoms, frac: np.ndarray, orth: np.ndarray) -> None:
    """Add the density of the atoms to a grid that covers the cell periodically.

    Parameters
    ----------
    grid : indexed along a, b, c; changed in place. (nu, nv, nw) float32
    frac, orth : matrices from Cartesian to fractional coordinates and back. (3, 3)
    """
    _spread(grid, atoms.xyz, atoms.precision, atoms.height, atoms.occ, atoms.radius, frac, orth)


def gather(
    grid: np.ndarray, atoms: GaussianAtoms, frac: np.ndarray, orth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Derivatives of Σ grid · density with respect to positions, U and occupancies. (n, 3), (n, 6), (n,) float64"""
    n = len(atoms.xyz)
    wrt_xyz, wrt_u, wrt_occ = np.zeros((n, 3)), np.zeros((n, 6)), np.zeros(n)
    _gather(
        grid, atoms.xyz, atoms.precision, atoms.height, atoms.occ, atoms.radius, frac, orth, wrt_xyz, wrt_u, wrt_occ
    )
    return wrt_xyz, wrt_u, wrt_occ
