"""Symmetry of a single particle: the copies that strict symmetry makes of a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from burnish.data.reflections import Crystal


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticleSymmetry:
    """Cartesian operations x′ = R·x + t of a point group, or of as many copies of a helix as are looked at.

    Attributes
    ----------
    name : as a person writes it ("C5", "helix, 1.20° 4.75 Å").
    rotation : the identity first. (k, 3, 3)
    shift : Å. (k, 3)
    """

    name: str
    rotation: NDArray[np.float64]
    shift: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.shift)


Symmetry = Crystal | ParticleSymmetry
