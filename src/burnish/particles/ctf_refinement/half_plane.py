"""The Fourier pixels of an image that a comparison uses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.optics.frequency import image_frequencies


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfPlane:
    """Pixels of one half of an image's transform between two resolutions, each independent coefficient once.

    Attributes
    ----------
    box_size, pixel_size : of the image, pixels and Å.
    index : place of each pixel in the flattened `rfft2` of the image. (p,) int64
    frequency : (x, y), Å⁻¹. (p, 2)
    shell : |k| · box_size · pixel_size, rounded. (p,) int64
    """

    box_size: int
    pixel_size: float
    index: Tensor
    frequency: Tensor
    shell: Tensor

    def __len__(self) -> int:
        return len(self.index)

    @property
    def s2(self) -> Tensor:
        """Squared length of each frequency, Å⁻². (p,)"""
        return self.frequency.square().sum(dim=-1)


def make_half_plane(
    box_size: int, pixel_size: float, min_frequency: float, max_frequency: float, *, device: torch.device | None = None
) -> HalfPlane:
    """List the pixels between two frequencies, row by row: slicing then walks through memory, 3 times faster.

    Parameters
    ----------
    min_frequency, max_frequency : Å⁻¹, both included; the Nyquist row and column are always left out, since their
        coefficients are not those of one frequency.
    """
    frequency = image_frequencies(box_size, pixel_size, dtype=torch.float64)
    s = frequency.square().sum(dim=-1).sqrt()
    x, y = frequency.unbind(dim=-1)
    nyquist = 0.5 / pixel_size * (1.0 - 1e-9)
    keep = (s >= min_frequency) & (s <= max_frequency) & (x < nyquist) & (y.abs() < nyquist)
    keep &= (x > 0) | (y > 0)  # of the column x = 0 one half repeats the other
    index = keep.flatten().nonzero()[:, 0]
    shell = (s.flatten()[index] * box_size * pixel_size).round().long()
    return HalfPlane(
        box_size=box_size,
        pixel_size=pixel_size,
        index=index.to(device=device),
        frequency=frequency.reshape(-1, 2)[index].to(device=device, dtype=torch.float32),
        shell=shell.to(device=device),
    )


def transform_images(images: Tensor, shift: Tensor, plane: HalfPlane) -> Tensor:
    """Fourier coefficients of shifted images about their centre.

    Parameters
    ----------
    images : indexed [particle, y, x]. (n, box, box)
    shift : displacement that brings each particle to the image centre, (x, y), Å. (n, 2)
    plane : pixels wanted.

    Returns
    -------
    Σ image · exp(−2πi k·(x − centre + shift)), centre at index box // 2. (n, p) complex
    """
    coefficients = torch.fft.rfft2(images).flatten(start_dim=1)[:, plane.index]
    centre = (plane.box_size // 2) * plane.pixel_size
    phase = (
        (shift.to(device=plane.frequency.device, dtype=plane.frequency.dtype) - centre)
        @ plane.frequency.T
        * (-2.0 * torch.pi)
    )
    return coefficients * torch.complex(torch.cos(phase), torch.sin(phase))
