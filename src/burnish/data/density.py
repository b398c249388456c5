"""Density on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a map may be made before PyTorch has started
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class DensityMap:
    """A map of density on an orthogonal grid.

    Attributes
    ----------
    values : density, indexed [z, y, x].
    voxel_size : edge of a voxel along (x, y, z), Å.
    origin : position of voxel [0, 0, 0] as (x, y, z), Å; honours ORIGIN and n[xyz]start of the file.
    """

    values: Tensor
    voxel_size: tuple[float, float, float]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
