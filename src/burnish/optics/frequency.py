"""Spatial frequencies of the pixels of a transformed image."""

from __future__ import annotations

import torch
from torch import Tensor


def image_frequencies(box_size: int, pixel_size: float, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Frequency vector of each pixel of `torch.fft.rfft2` of an image.

    Parameters
    ----------
    box_size : edge of the image, pixels.
    pixel_size : Å.

    Returns
    -------
    (x, y) in Å⁻¹; (box_size, box_size // 2 + 1, 2). The Nyquist row of an even box has negative y, its Nyquist column
    positive x.

    Examples
    --------
    >>> image_frequencies(4, 2.0)[1, 2].tolist()
    [0.25, 0.125]
    """
    y = torch.fft.fftfreq(box_size, pixel_size, dtype=dtype)
    x = torch.fft.rfftfreq(box_size, pixel_size, dtype=dtype)
    return torch.stack([x.expand(box_size, -1), y[:, None].expand(-1, len(x))], dim=-1)


def magnified(frequency: Tensor, magnification: Tensor) -> Tensor:
    """Frequencies in the particle's plane of pixels at `frequency` in an image with anisotropic magnification.

    Parameters
    ----------
    frequency : (x, y), Å⁻¹. (..., 2)
    magnification : matrix M of the optics group. (2, 2)

    Returns
    -------
    M · frequency, Å⁻¹. (..., 2)

    Notes
    -----
    RELION 3.1 evaluates projection, CTF and aberrations of an image at M·k (Zivanov, Nakane & Scheres, IUCrJ 7 (2020)
    253, eq. 11): a uniform M = m·1 with m > 1 says that the image's true pixels are smaller than its nominal ones.
    """
    return frequency @ magnification.to(frequency).T
