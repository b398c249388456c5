"""The Fourier pixels of one optics group's images, sorted outwards, so that a lower resolution is a prefix."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from burnish.optics.frequency import magnified


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """Half of the Fourier pixels inside a radius, the origin first.

    Attributes
    ----------
    size : edge of the images, pixels.
    pixels : integer (kx, ky) in the images' own Fourier pixels. (k, 2) int32
    coordinates : the same in Fourier pixels of the reference, magnification undone. (k, 2) float32
    shell : rounded distance from the origin in the reference's Fourier pixels. (k,) int64
    counts : how many pixels lie within each integer radius of the reference. (shells + 1,)
    """

    size: int
    pixels: Tensor
    coordinates: Tensor
    shell: Tensor
    counts: tuple[int, ...]

    def count(self, radius: int) -> int:
        """Number of pixels up to `radius`, which are the first ones."""
        return self.counts[min(radius, len(self.counts) - 1)]

    def to(self, device: torch.device) -> Lattice:
        """The same on another device."""
        moved = {name: getattr(self, name).to(device) for name in ("pixels", "coordinates", "shell")}
        return replace(self, **moved)

    @property
    def reach(self) -> int:
        """Largest absolute index of a pixel along x or y."""
        return int(self.pixels.abs().max())


def make_lattice(size: int, scale: float, radius: int, magnification: Tensor | None = None) -> Lattice:
    """Pixels of images of `size` px within `radius` Fourier pixels of the reference.

    Parameters
    ----------
    size : edge of the images, px.
    scale : reference's box edge over the images' box edge, both in Å: turns their Fourier pixels into the reference's.
    radius : outermost shell, Fourier pixels of the reference.
    magnification : 2 × 2 matrix M: projection and transfer function are evaluated at M·k.
    """
    limit = min(size // 2 - 1, int(radius / scale * 1.3) + 2)
    line = torch.arange(-limit, limit + 1)
    ky, kx = torch.meshgrid(line, line, indexing="ij")
    keep = (kx > 0) | ((kx == 0) & (ky >= 0))
    pixels = torch.stack([kx[keep], ky[keep]], 1)
    coordinates = pixels.to(torch.float64) * scale
    if magnification is not None:
        coordinates = magnified(coordinates, magnification)
    distance = coordinates.norm(dim=1)
    angle = torch.atan2(coordinates[:, 1], coordinates[:, 0])
    shell = distance.round().to(torch.int64)
    order = torch.from_numpy(np.lexsort((angle.numpy(), shell.numpy())))
    order = order[shell[order] <= radius]
    counts = torch.bincount(shell[order], minlength=radius + 1).cumsum(0)
    return Lattice(
        size=size,
        pixels=pixels[order].to(torch.int32),
        coordinates=coordinates[order].to(torch.float32),
        shell=shell[order],
        counts=tuple(int(c) for c in counts),
    )
