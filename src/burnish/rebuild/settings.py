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
    torsion_guide : draw φ, ψ and χ to where they usually are while zones are refined.
    search_allowed : build the backbone anew also where φ and ψ are allowed but not favoured, for maps that do not
        show the peptides.
    poor_fit : correlation with the density below which a residue is looked at.
    water_rules : what a water must show.
    """

    backbones: bool = True
    rotamers: bool = True
    peptides: bool = True
    waters: bool = True
    torsion_guide: bool = True
    search_allowed: bool = False
    poor_fit: float = 0.90
    water_rules: WaterRules = field(default_factory=WaterRules)
