"""How much each kind of geometrical restraint counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometryWeights:
    """Factors on the energy of each kind of restraint; 1 is what the σ of the dictionary say."""

    bond: float = 1.0
    angle: float = 1.0
    torsion: float = 1.0
    plane: float = 1.0
    chiral: float = 1.0
    contact: float = 1.0
