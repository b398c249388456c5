"""Trilinear slices on the CPU: torch gathers eight corners through memory, this reads them once."""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor


def slice_on_cpu(values: Tensor, step: float, rotation: Tensor, frequency: Tensor) -> Tensor:
    """Twin of `reference.slice_in_torch` for complex64 on the CPU; same arguments, taken apart. (n, p) complex64"""
    axes = rotation[:, :2].to(torch.float32).contiguous().numpy()
    k = (frequency / step).to(torch.float32).contiguous().numpy()
    out = np.zeros((len(axes), 2 * len(k)), dtype=np.float32)
    _slice(torch.view_as_real(values).flatten(start_dim=2).numpy(), axes, k, out)
    return torch.from_numpy(out.view(np.complex64))


@numba.njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def _slice(v: np.ndarray, axes: np.ndarray, k: np.ndarray, out: np.ndarray) -> None:
    """Real and imaginary parts of v and out alternate along the last axis: numba's complex numbers are slower."""
    radius = (v.shape[0] - 1) // 2
    limit, one = np.float32(radius - 1e-3), np.float32(1.0)
    for n in range(axes.shape[0]):
        a, b = axes[n, 0], axes[n, 1]
        for p in range(k.shape[0]):
            x = k[p, 0] * a[0] + k[p, 1] * b[0]
            y = k[p, 0] * a[1] + k[p, 1] * b[1]
            z = k[p, 0] * a[2] + k[p, 1] * b[2]
            sign = one
            if x < 0:
                x, y, z, sign = -x, -y, -z, -one
            if not (x < limit and abs(y) < limit and abs(z) < limit):
                continue
            y += np.float32(radius)
            z += np.float32(radius)
            i, iy, iz = np.int32(x), np.int32(y), np.int32(z)  # all positive: truncation is the floor
            fx, fy, fz = x - np.float32(i), y - np.float32(iy), z - np.float32(iz)
            w00, w01, w10, w11 = (one - fz) * (one - fy), (one - fz) * fy, fz * (one - fy), fz * fy
            i *= 2
            near = w00 * v[iz, iy, i] + w01 * v[iz, iy + 1, i]
            near += w10 * v[iz + 1, iy, i] + w11 * v[iz + 1, iy + 1, i]
            far = w00 * v[iz, iy, i + 2] + w01 * v[iz, iy + 1, i + 2]
            far += w10 * v[iz + 1, iy, i + 2] + w11 * v[iz + 1, iy + 1, i + 2]
            out[n, 2 * p] = near + fx * (far - near)
            i += 1
            near = w00 * v[iz, iy, i] + w01 * v[iz, iy + 1, i]
            near += w10 * v[iz + 1, iy, i] + w11 * v[iz + 1, iy + 1, i]
            far = w00 * v[iz, iy, i + 2] + w01 * v[iz, iy + 1, i + 2]
            far += w10 * v[iz + 1, iy, i + 2] + w11 * v[iz + 1, iy + 1, i + 2]
            out[n, 2 * p + 1] = sign * (near + fx * (far - near))
