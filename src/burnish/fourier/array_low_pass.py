"""Low-pass filter of a NumPy map, for commands that should be done before PyTorch would have started.

A low-pass at 15 Å keeps a few per mille of the coefficients: the transform along each axis goes on with those alone, so
that filtering costs two one-dimensional passes over the map instead of six.
"""

from __future__ import annotations

import math

import numpy as np


def low_pass_array(values: np.ndarray, resolution: float, pixel_size: float, edge_shells: float = 2.0) -> np.ndarray:
    """Remove what is finer than `resolution` (Å); as `burnish.fourier.filters.low_pass`, float32.

    Parameters
    ----------
    values : map. (z, y, x)
    resolution : Å, not finer than Nyquist.
    pixel_size : Å.
    edge_shells : width of the raised cosine about the shell nearest to `resolution`.
    """
    longest = max(values.shape)
    centre = float(round(longest * pixel_size / resolution))
    low = max(centre - edge_shells / 2, 0.0)
    width = centre + edge_shells / 2 - low
    kept = [_kept(n, math.floor((low + width) * n / longest)) for n in values.shape[:2]]
    columns = min(math.floor((low + width) * values.shape[2] / longest), values.shape[2] // 2) + 1

    f = np.fft.rfft(values, axis=2)[:, :, :columns]
    f = np.fft.fft(f, axis=1)[:, kept[1]]
    f = np.fft.fft(f, axis=0)[kept[0]]
    k = [np.fft.fftfreq(n, 1 / longest)[part] for n, part in zip(values.shape[:2], kept, strict=True)]
    kx = np.arange(columns) * (longest / values.shape[2])
    radius = np.sqrt(k[0][:, None, None] ** 2 + k[1][:, None] ** 2 + kx**2)
    f *= (0.5 + 0.5 * np.cos(np.pi * np.clip((radius - low) / width, 0.0, 1.0))).astype(np.float32)

    for axis in (0, 1):
        whole = np.zeros((*f.shape[:axis], values.shape[axis], *f.shape[axis + 1 :]), f.dtype)
        whole[(slice(None),) * axis + (kept[axis],)] = f
        f = np.fft.ifft(whole, axis=axis)
    return np.fft.irfft(f, n=values.shape[2], axis=2).astype(np.float32, copy=False)


def _kept(n: int, reach: int) -> np.ndarray:
    """Indices along a full axis of n whose wave number is at most `reach`."""
    if 2 * reach + 1 >= n:
        return np.arange(n)
    return np.r_[0 : reach + 1, n - reach : n]
