"""Compiled twins of `projection` and `local` for the CPU: slices of a Fourier volume, their adjoint, and Gauss–Newton
sums.

PyTorch's gathers write eight corners of every pixel to memory; here they stay in registers. Each function works on
one thread, releases
the interpreter lock, and gives the same bits however many threads share the work. A volume is stored as [z + h, y +
h, x] for x ≥ 0;
the other half follows from Friedel's law.

Functions that kernels call are inlined in them, always: called as functions of their own they would be compiled apart
in the process that fills numba's cache, and with their callers in all others, with other last bits.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, fastmath=True)
def cut_slices(volume, half, rows, coordinates, count, out):
    """Central slices: out[o, :count] real parts, out[o, count:2 count] imaginary parts.

    volume is flat, real and imaginary parts in turn; rows (o, 2, 3) are the first two rows of each rotation times the
    padding; coordinates (k, 2) are Fourier pixels.
    """
    nx = 2 * (half + 2)
    ny = 2 * half + 2
    h = np.float32(half)
    for o in range(rows.shape[0]):
        a0, a1, a2 = rows[o, 0, 0], rows[o, 0, 1], rows[o, 0, 2]
        b0, b1, b2 = rows[o, 1, 0], rows[o, 1, 1], rows[o, 1, 2]
        for k in range(count):
            u, v = coordinates[k, 0], coordinates[k, 1]
            x = u * a0 + v * b0
            sign = np.float32(-1.0) if x < 0 else np.float32(1.0)
            x *= sign
            y = sign * (u * a1 + v * b1) + h
            z = sign * (u * a2 + v * b2) + h
            jx, jy, jz = np.int32(x), np.int32(y), np.int32(z)
            fx, fy, fz = x - np.float32(jx), y - np.float32(jy), z - np.float32(jz)
            ix, iy, iz = np.uint64(jx), np.uint64(jy), np.uint64(jz)
            w11 = fy * fz
            w01, w10 = fy - w11, fz - w11  # z first
            w00 = np.float32(1.0) - fy - w10
            p = np.uint64((iz * np.uint64(ny) + iy) * np.uint64(nx) + np.uint64(2) * ix)
            q = p + np.uint64(nx)
            r = p + np.uint64(nx * ny)
            s = r + np.uint64(nx)
            e0 = w00 * volume[p] + w01 * volume[q] + w10 * volume[r] + w11 * volume[s]
            e1 = w00 * volume[p + 1] + w01 * volume[q + 1] + w10 * volume[r + 1] + w11 * volume[s + 1]
            e2 = w00 * volume[p + 2] + w01 * volume[q + 2] + w10 * volume[r + 2] + w11 * volume[s + 2]
            e3 = w00 * volume[p + 3] + w01 * volume[q + 3] + w10 * volume[r + 3] + w11 * volume[s + 3]
            out[o, k] = e0 + fx * (e2 - e0)
            out[o, count + k] = sign * (e1 + fx * (e3 - e1))


@njit(nogil=True, cache=True, fastmath=True, inline="always")
def _spread(sums, nx, ny, h, z_low, z_high, x, y, z, real, imag, weight):
    """Add one value and its weight to the eight corners about (x, y, z); sums is flat: real, imaginary, weight in
    turn."""
    sign = np.float32(-1.0) if x < 0 else np.float32(1.0)
    x *= sign
    y = sign * y + h
    z = sign * z + h
    imag *= sign
    jx, jy, jz = np.int32(x), np.int32(y), np.int32(z)
    fx, fy, fz = x - np.float32(jx), y - np.float32(jy), z - np.float32(jz)
    ix, iy, iz = np.uint64(jx), np.uint64(jy), np.uint64(jz)
    gx = np.float32(1.0) - fx
    r0, i0, w0 = gx * real, gx * imag, gx * weight
    r1, i1, w1 = fx * real, fx * imag, fx * weight
    for dz in range(2):
        kz = iz + np.uint64(dz)
        if kz < z_low or kz >= z_high:
            continue
        cz = fz if dz == 1 else np.float32(1.0) - fz
        p = (kz * ny + iy) * nx + np.uint64(3) * ix
        c = cz * (np.float32(1.0) - fy)
        sums[p] += c * r0
        sums[p + 1] += c * i0
        sums[p + 2] += c * w0
        sums[p + 3] += c * r1
        sums[p + 4] += c * i1
        sums[p + 5] += c * w1
        p += nx
        c = cz * fy
        sums[p] += c * r0
        sums[p + 1] += c * i0
        sums[p + 2] += c * w0
        sums[p + 3] += c * r1
        sums[p + 4] += c * i1
        sums[p + 5] += c * w1


@njit(nogil=True, cache=True, fastmath=True)
def insert_slices(sums, half, z_low, z_high, rows, coordinates, data, weights):
    """Adjoint of `cut_slices`: add data (o, 2 k) and weights (o, k) to the planes z_low ≤ z < z_high of the flat
    sums."""
    count = coordinates.shape[0]
    nx, ny, h = np.uint64(3 * (half + 2)), np.uint64(2 * half + 2), np.float32(half)
    low, high = np.uint64(z_low), np.uint64(z_high)
    for o in range(rows.shape[0]):
        a0, a1, a2 = rows[o, 0, 0], rows[o, 0, 1], rows[o, 0, 2]
        b0, b1, b2 = rows[o, 1, 0], rows[o, 1, 1], rows[o, 1, 2]
        for k in range(count):
            u, v = coordinates[k, 0], coordinates[k, 1]
            _spread(
                sums, nx, ny, h, low, high, u * a0 + v * b0, u * a1 + v * b1, u * a2 + v * b2,
                data[o, k], data[o, count + k], weights[o, k],
            )  # fmt: skip


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def _phase_tables(shift_x, shift_y, reach, size, table_x, table_y):
    """exp(−2πi k t / size) for k = −reach … reach along x and y."""
    for k in range(-reach, reach + 1):
        angle = -2.0 * math.pi * k * shift_x / size
        table_x[k + reach] = np.complex64(complex(math.cos(angle), math.sin(angle)))
        angle = -2.0 * math.pi * k * shift_y / size
        table_y[k + reach] = np.complex64(complex(math.cos(angle), math.sin(angle)))


@njit(nogil=True, cache=True, fastmath=True)
def insert_images(
    sums, half, z_low, z_high, rows, coordinates, pixels, reach, size, images, transfer, precision,
    owner, shifts, weights, blur, edges,
):  # fmt: skip
    """Add weighted images, each at the poses of its modes, to the planes z_low ≤ z < z_high of the sums.

    Mode m belongs to image owner[m], has weight weights[m], shift shifts[m] (px) and shift variance blur[m] (px²),
    which damps its data. precision (k,) is 1/σ² of each pixel. Pixels are taken shell by shell, edges[s] …
    edges[s + 1], for all modes: a shell of the sums stays in the cache, all of them would not.
    """
    nx, ny, h = np.uint64(3 * (half + 2)), np.uint64(2 * half + 2), np.float32(half)
    low, high = np.uint64(z_low), np.uint64(z_high)
    many = rows.shape[0]
    table_x = np.empty((many, 2 * reach + 1), np.complex64)
    table_y = np.empty((many, 2 * reach + 1), np.complex64)
    for m in range(many):
        _phase_tables(shifts[m, 0], shifts[m, 1], reach, size, table_x[m], table_y[m])
        if blur[m] != 0.0:
            for p in range(-reach, reach + 1):
                damping = np.float32(math.exp(-2.0 * math.pi**2 / (size * size) * blur[m] * p * p))
                table_x[m, p + reach] *= damping
                table_y[m, p + reach] *= damping
    for s in range(edges.shape[0] - 1):
        for m in range(many):
            i = owner[m]
            a0, a1, a2 = rows[m, 0, 0], rows[m, 0, 1], rows[m, 0, 2]
            b0, b1, b2 = rows[m, 1, 0], rows[m, 1, 1], rows[m, 1, 2]
            weight = np.float32(weights[m])
            for k in range(edges[s], edges[s + 1]):
                c = transfer[i, k]
                w = weight * c * precision[k]
                value = images[i, k] * table_x[m, pixels[k, 0] + reach] * table_y[m, pixels[k, 1] + reach]
                u, v = coordinates[k, 0], coordinates[k, 1]
                _spread(
                    sums, nx, ny, h, low, high, u * a0 + v * b0, u * a1 + v * b1, u * a2 + v * b2,
                    w * value.real, w * value.imag, w * c,
                )  # fmt: skip


@njit(nogil=True, cache=True, fastmath=True, inline="always")
def _value_and_slope(volume, nx, ny, h, x, y, z):
    """Interpolated value and its gradient along x, y, z in padded pixels: eight real numbers."""
    sign = np.float32(-1.0) if x < 0 else np.float32(1.0)
    x *= sign
    y = sign * y + h
    z = sign * z + h
    jx, jy, jz = np.int32(x), np.int32(y), np.int32(z)
    fx, fy, fz = x - np.float32(jx), y - np.float32(jy), z - np.float32(jz)
    ix, iy, iz = np.uint64(jx), np.uint64(jy), np.uint64(jz)
    p = (iz * ny + iy) * nx + np.uint64(2) * ix
    q = p + nx
    r = p + nx * ny
    s = r + nx
    l0, l1, l2, l3 = volume[p], volume[p + 1], volume[p + 2], volume[p + 3]
    dy0, dy1, dy2, dy3 = volume[q] - l0, volume[q + 1] - l1, volume[q + 2] - l2, volume[q + 3] - l3
    m0, m1, m2, m3 = volume[r], volume[r + 1], volume[r + 2], volume[r + 3]
    ey0, ey1, ey2, ey3 = volume[s] - m0, volume[s + 1] - m1, volume[s + 2] - m2, volume[s + 3] - m3
    a0, a1, a2, a3 = l0 + fy * dy0, l1 + fy * dy1, l2 + fy * dy2, l3 + fy * dy3  # at z
    b0, b1, b2, b3 = m0 + fy * ey0, m1 + fy * ey1, m2 + fy * ey2, m3 + fy * ey3  # at z + 1
    z0, z1, z2, z3 = b0 - a0, b1 - a1, b2 - a2, b3 - a3
    v0, v1, v2, v3 = a0 + fz * z0, a1 + fz * z1, a2 + fz * z2, a3 + fz * z3
    y0, y1 = dy0 + fz * (ey0 - dy0), dy1 + fz * (ey1 - dy1)
    y2, y3 = dy2 + fz * (ey2 - dy2), dy3 + fz * (ey3 - dy3)
    gxr, gxi = v2 - v0, v3 - v1
    # F(−k) = conj F(k): mirrored, the imaginary part changes sign, and so does the slope of the real part
    return (v0 + fx * gxr, sign * (v1 + fx * gxi), sign * gxr, gxi, sign * (y0 + fx * (y2 - y0)), y1 + fx * (y3 - y1),
            sign * (z0 + fx * (z2 - z0)), z1 + fx * (z3 - z1))  # fmt: skip


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def _mode_sums(
    volume, half, padding, matrix, coordinates, pixels, reach, size, image, transfer, precision, first, count,
    table_x, table_y, gradient, hessian,
):  # fmt: skip
    """Log-likelihood, gradient and Gauss–Newton matrix of one mode in (rotation about image x, y, z; shift x, y)."""
    nx, ny, h = np.uint64(2 * (half + 2)), np.uint64(2 * half + 2), np.float32(half)
    a00, a01, a02 = (
        np.float32(matrix[0, 0] * padding),
        np.float32(matrix[0, 1] * padding),
        np.float32(matrix[0, 2] * padding),
    )
    a10, a11, a12 = (
        np.float32(matrix[1, 0] * padding),
        np.float32(matrix[1, 1] * padding),
        np.float32(matrix[1, 2] * padding),
    )
    a20, a21, a22 = (
        np.float32(matrix[2, 0] * padding),
        np.float32(matrix[2, 1] * padding),
        np.float32(matrix[2, 2] * padding),
    )
    q = np.float32(2.0 * math.pi / size)
    total = 0.0
    g0 = g1 = g2 = g3 = g4 = 0.0
    h00 = h01 = h02 = h03 = h04 = h11 = h12 = h13 = h14 = h22 = h23 = h24 = h33 = h34 = h44 = 0.0
    for k in range(first, count):
        u, v = coordinates[k, 0], coordinates[k, 1]
        vr, vi, xr, xi, yr, yi, zr, zi = _value_and_slope(
            volume, nx, ny, h, u * a00 + v * a10, u * a01 + v * a11, u * a02 + v * a12
        )
        gxr, gxi = (
            a00 * xr + a01 * yr + a02 * zr,
            a00 * xi + a01 * yi + a02 * zi,
        )  # in the image's frame, per Fourier pixel
        gyr, gyi = a10 * xr + a11 * yr + a12 * zr, a10 * xi + a11 * yi + a12 * zi
        gzr, gzi = a20 * xr + a21 * yr + a22 * zr, a20 * xi + a21 * yi + a22 * zi
        c, w = transfer[k], precision[k]
        px, py = pixels[k, 0], pixels[k, 1]
        data = image[k] * table_x[px + reach] * table_y[py + reach]
        mr, mi = c * vr, c * vi
        rr, ri = data.real - mr, data.imag - mi
        cw = np.float32(2.0) * w
        total += w * (np.float32(2.0) * (mr * data.real + mi * data.imag) - mr * mr - mi * mi)
        j0r, j0i = -v * c * gzr, -v * c * gzi
        j1r, j1i = u * c * gzr, u * c * gzi
        j2r, j2i = c * (v * gxr - u * gyr), c * (v * gxi - u * gyi)
        sx, sy = q * np.float32(px), q * np.float32(py)
        j3r, j3i = -sx * mi, sx * mr
        j4r, j4i = -sy * mi, sy * mr
        g0 += cw * (j0r * rr + j0i * ri)
        g1 += cw * (j1r * rr + j1i * ri)
        g2 += cw * (j2r * rr + j2i * ri)
        g3 += cw * (j3r * rr + j3i * ri)
        g4 += cw * (j4r * rr + j4i * ri)
        h00 += cw * (j0r * j0r + j0i * j0i)
        h01 += cw * (j0r * j1r + j0i * j1i)
        h02 += cw * (j0r * j2r + j0i * j2i)
        h03 += cw * (j0r * j3r + j0i * j3i)
        h04 += cw * (j0r * j4r + j0i * j4i)
        h11 += cw * (j1r * j1r + j1i * j1i)
        h12 += cw * (j1r * j2r + j1i * j2i)
        h13 += cw * (j1r * j3r + j1i * j3i)
        h14 += cw * (j1r * j4r + j1i * j4i)
        h22 += cw * (j2r * j2r + j2i * j2i)
        h23 += cw * (j2r * j3r + j2i * j3i)
        h24 += cw * (j2r * j4r + j2i * j4i)
        h33 += cw * (j3r * j3r + j3i * j3i)
        h34 += cw * (j3r * j4r + j3i * j4i)
        h44 += cw * (j4r * j4r + j4i * j4i)
    gradient[0], gradient[1], gradient[2], gradient[3], gradient[4] = g0, g1, g2, g3, g4
    hessian[0, 0], hessian[0, 1], hessian[0, 2], hessian[0, 3], hessian[0, 4] = h00, h01, h02, h03, h04
    hessian[1, 1], hessian[1, 2], hessian[1, 3], hessian[1, 4] = h11, h12, h13, h14
    hessian[2, 2], hessian[2, 3], hessian[2, 4] = h22, h23, h24
    hessian[3, 3], hessian[3, 4], hessian[4, 4] = h33, h34, h44
    for r in range(5):
        for s in range(r):
            hessian[r, s] = hessian[s, r]
    return total


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def _solve(matrix, right, out):
    """out = matrix⁻¹ right for a small positive matrix, which is overwritten; LAPACK's takes seconds to compile."""
    n = right.shape[0]
    for i in range(n):
        out[i] = right[i]
    for i in range(n):
        for r in range(i + 1, n):
            factor = matrix[r, i] / matrix[i, i]
            for c in range(i + 1, n):
                matrix[r, c] -= factor * matrix[i, c]
            out[r] -= factor * out[i]
    for i in range(n - 1, -1, -1):
        for c in range(i + 1, n):
            out[i] -= matrix[i, c] * out[c]
        out[i] /= matrix[i, i]


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def _turn(matrix, x, y, z, out):
    """out = exp([(x, y, z)]×) · matrix by Rodrigues' formula."""
    angle = math.sqrt(x * x + y * y + z * z)
    s, c = math.sin(angle), math.cos(angle)
    inverse = 1.0 / max(angle, 1e-300)
    x, y, z = x * inverse, y * inverse, z * inverse
    t = 1.0 - c
    for j in range(3):
        a, b, d = matrix[0, j], matrix[1, j], matrix[2, j]
        along = t * (x * a + y * b + z * d)
        out[0, j] = c * a + along * x + s * (y * d - z * b)
        out[1, j] = c * b + along * y + s * (z * a - x * d)
        out[2, j] = c * d + along * z + s * (x * b - y * a)


@njit(nogil=True, cache=True, fastmath=True, forceinline=True)
def _copy(source, out):
    """out = source, for matrices: numba takes longer to compile what does it for arrays."""
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            out[r, c] = source[r, c]


_RETRIES = 2  # of a last step that was refused, with ten times the damping each


@njit(nogil=True, cache=True, fastmath=True)
def climb(
    volume, half, padding, coordinates, pixels, reach, size, images, transfer, precision, first, count, owner,
    rotations, shifts, prior_centre, prior_precision, steps, turn_limit, shift_limit, allowance,
    near, log_weights, information,
):  # fmt: skip
    """Damped Gauss–Newton steps of every mode, in place; ends with its log-posterior and its information matrix.

    rotations (m, 3, 3) and shifts (m, 2) px are float64; prior_precision is 1/σ_t² of the shift prior (px⁻²) about
    prior_centre (m, 2).
    A step that lowers the posterior is taken back and tried again with more damping; one that turns by less than `near`
    (rad) only if it lowers it by more than the mode's allowance (m,) times what the step promised. A mode whose last
    step was refused has a few tries more: with one step an iteration it would be refused the same step each time, and
    stay where it is.
    """
    table_x = np.empty(2 * reach + 1, np.complex64)
    table_y = np.empty(2 * reach + 1, np.complex64)
    gradient, hessian, damped = np.zeros(5), np.zeros((5, 5)), np.zeros((5, 5))
    kept_gradient, kept_hessian, move = np.zeros(5), np.zeros((5, 5)), np.zeros(5)
    rotation, kept_rotation = np.zeros((3, 3)), np.zeros((3, 3))
    for m in range(owner.shape[0]):
        i = owner[m]
        _copy(rotations[m], rotation)
        shift_x, shift_y = shifts[m, 0], shifts[m, 1]
        kept_x, kept_y = shift_x, shift_y
        kept, damping, promised = -np.inf, 0.02, 0.0
        for step in range(steps + _RETRIES + 1):
            _phase_tables(shift_x, shift_y, reach, size, table_x, table_y)
            score = _mode_sums(
                volume, half, padding, rotation, coordinates, pixels, reach, size, images[i], transfer[i], precision,
                first, count, table_x, table_y, gradient, hessian,
            )  # fmt: skip
            dx, dy = shift_x - prior_centre[m, 0], shift_y - prior_centre[m, 1]
            score -= 0.5 * prior_precision * (dx * dx + dy * dy)
            gradient[3] -= prior_precision * dx
            gradient[4] -= prior_precision * dy
            hessian[3, 3] += prior_precision
            hessian[4, 4] += prior_precision
            if score >= kept - promised:
                kept, kept_x, kept_y = score, shift_x, shift_y
                _copy(rotation, kept_rotation)
                _copy(hessian, kept_hessian)
                for r in range(5):
                    kept_gradient[r] = gradient[r]
                damping = max(damping * 0.3, 1e-3)
                refused = False
            else:
                damping = max(damping * 10.0, 0.5)
                refused = True
            if (step >= steps and not refused) or steps == 0:
                break
            _copy(kept_hessian, damped)
            for r in range(5):
                damped[r, r] += damping * kept_hessian[r, r] + 1e-9
            _solve(damped, kept_gradient, move)
            turn = math.sqrt(move[0] ** 2 + move[1] ** 2 + move[2] ** 2)
            slide = math.sqrt(move[3] ** 2 + move[4] ** 2)
            shrink = min(1.0, turn_limit / max(turn, 1e-12), shift_limit / max(slide, 1e-12))
            promised = 0.0
            if shrink * turn < near:
                for r in range(5):
                    promised += allowance[m] * 0.5 * shrink * kept_gradient[r] * move[r]
            _turn(kept_rotation, shrink * move[0], shrink * move[1], shrink * move[2], rotation)
            shift_x, shift_y = kept_x + shrink * move[3], kept_y + shrink * move[4]
        _copy(kept_rotation, rotations[m])
        shifts[m, 0], shifts[m, 1] = kept_x, kept_y
        log_weights[m] = kept
        _copy(kept_hessian, information[m])


@njit(nogil=True, cache=True, fastmath=True)
def model_power(
    volume, half, rows, coordinates, pixels, reach, size, images, transfer, shell, owner, shifts, weights, count,
    cross, power,
):  # fmt: skip
    """Add w Re(conj(CP) X_t) to cross[owner, shell] and w |CP|² to power[owner, shell] for every mode of weight w."""
    nx, ny, h = np.uint64(2 * (half + 2)), np.uint64(2 * half + 2), np.float32(half)
    table_x = np.empty(2 * reach + 1, np.complex64)
    table_y = np.empty(2 * reach + 1, np.complex64)
    for m in range(rows.shape[0]):
        i = owner[m]
        _phase_tables(shifts[m, 0], shifts[m, 1], reach, size, table_x, table_y)
        for k in range(count):
            u, v = coordinates[k, 0], coordinates[k, 1]
            vr, vi, _, _, _, _, _, _ = _value_and_slope(
                volume, nx, ny, h, u * rows[m, 0, 0] + v * rows[m, 1, 0], u * rows[m, 0, 1] + v * rows[m, 1, 1],
                u * rows[m, 0, 2] + v * rows[m, 1, 2],
            )  # fmt: skip
            mr, mi = transfer[i, k] * vr, transfer[i, k] * vi
            data = images[i, k] * table_x[pixels[k, 0] + reach] * table_y[pixels[k, 1] + reach]
            s = shell[k]
            cross[i, s] += weights[m] * (mr * data.real + mi * data.imag)
            power[i, s] += weights[m] * (mr * mr + mi * mi)


@njit(nogil=True, cache=True, fastmath=True)
def sum_rows(start, columns, values, data, out):
    """out[r] = Σ values · data[columns] over the entries start[r] … start[r + 1]: a sparse times a dense matrix."""
    for r in range(out.shape[0]):
        for e in range(start[r], start[r + 1]):
            v = values[e]
            c = columns[e]
            for k in range(out.shape[1]):
                out[r, k] += v * data[c, k]


@njit(nogil=True, cache=True, fastmath=True)
def prune(owner, rotations, evidence, operators, count, window, limit, same_trace, keep):
    """Mark of each owner's modes (beside each other) the best ones, none within the angle of `same_trace` of a better
    one."""
    m = owner.shape[0]
    order = np.empty(m, np.int64)
    start = 0
    while start < m:
        stop = start
        while stop < m and owner[stop] == owner[start]:
            stop += 1
        for at in range(start, stop):  # sorted by insertion: numba takes seconds to compile its own sorting
            place = at
            while place > start and evidence[order[place - 1]] < evidence[at]:
                order[place] = order[place - 1]
                place -= 1
            order[place] = at
        best = evidence[order[start]]
        kept = 0
        for position in range(start, stop):
            a = order[position]
            if kept >= limit or evidence[a] < best - window:
                break
            alike = False
            for b in range(start, stop):
                if not keep[b]:
                    continue
                for s in range(operators.shape[0]):
                    trace = 0.0
                    for i in range(3):
                        for j in range(3):
                            turned = 0.0
                            for l in range(3):
                                turned += rotations[a, i, l] * operators[s, l, j]
                            trace += rotations[b, i, j] * turned
                    if trace > same_trace:
                        alike = True
                        break
                if alike:
                    break
            if not alike:
                keep[a] = True
                kept += 1
        start = stop


@njit(nogil=True, cache=True, fastmath=True)
def symmetry_sums(sums, half, limit, operators, z_low, z_high, out):
    """out[z, y, x] = Σ over operators of the sums interpolated at S·(x, y, z), for z_low ≤ z < z_high and radius ≤
    limit."""
    nx, ny = half + 2, 2 * half + 2
    for iz in range(z_low, z_high):
        z = float(iz - half)
        for iy in range(ny):
            y = float(iy - half)
            for ix in range(nx):
                x = float(ix)
                if x * x + y * y + z * z > limit * limit:
                    continue
                total_r, total_i, total_w = 0.0, 0.0, 0.0
                for s in range(operators.shape[0]):
                    px = operators[s, 0, 0] * x + operators[s, 0, 1] * y + operators[s, 0, 2] * z
                    py = operators[s, 1, 0] * x + operators[s, 1, 1] * y + operators[s, 1, 2] * z
                    pz = operators[s, 2, 0] * x + operators[s, 2, 1] * y + operators[s, 2, 2] * z
                    sign = 1.0
                    if px < -1e-4:
                        px, py, pz, sign = -px, -py, -pz, -1.0
                    px = max(px, 0.0)
                    jx, jy, jz = int(px + 1e-4), math.floor(py + 1e-4), math.floor(pz + 1e-4)
                    fx, fy, fz = max(px - jx, 0.0), max(py - jy, 0.0), max(pz - jz, 0.0)
                    fx, fy, fz = (fx if fx > 1e-4 else 0.0), (fy if fy > 1e-4 else 0.0), (fz if fz > 1e-4 else 0.0)
                    for dz in range(2):
                        wz = fz if dz == 1 else 1.0 - fz
                        if wz == 0.0:
                            continue
                        for dy in range(2):
                            wy = wz * (fy if dy == 1 else 1.0 - fy)
                            if wy == 0.0:
                                continue
                            at = ((jz + half + dz) * ny + jy + half + dy) * nx + jx
                            total_r += wy * ((1.0 - fx) * sums[at, 0] + fx * sums[at + 1, 0])
                            total_i += wy * sign * ((1.0 - fx) * sums[at, 1] + fx * sums[at + 1, 1])
                            total_w += wy * ((1.0 - fx) * sums[at, 2] + fx * sums[at + 1, 2])
                here = (iz * ny + iy) * nx + ix
                out[here, 0], out[here, 1], out[here, 2] = total_r, total_i, total_w
