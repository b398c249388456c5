"""What a round of rebuilding may do."""

from __future__ import annotations

from dataclasses import dataclass, field

from burnish.rebuild.moves.waters import WaterRules


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildSettings:
    """What a round may do.

    Attributes
    ----------
    backbones, rotamers, peptides, waters : kinds of moves.
    poor_fit : correlation with the density below which a residue is looked at.
    water_rules : what a water must show.
    """

    backbones: bool = True
    rotamers: bool = True
    peptides: bool = True
    waters: bool = True
    poor_fit: float = 0.90
    water_rules: WaterRules = field(default_factory=WaterRules)
