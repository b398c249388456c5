"""What a refinement against maps weighs differently from one against a crystal's data."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from burnish.models.refinement_settings import RefinementSettings
from burnish.models.refinement_system import JELLY_D_MIN
from burnish.models.weight import BalanceLimits, first_map_weight, half_map_weight

# a single map has no free set: geometry tighter than asked has room for the data, and wide bonds are the only sign of
# too much
LIMITS = BalanceLimits(slack_angle_z=0.9, largest_step=2.5, far_bond_z=1.9, release=0.4, bond=(0.2, 6.0))
# half maps say how well a model without errors would correlate with them: the weight may double on the way there
HALF_MAP_LIMITS = replace(LIMITS, slack_angle_z=0.0, raised=2.0)
# maps that show no hydrogens press atoms together: with contacts as in crystals clashes of the deposited 3J6B double
CONTACT_WEIGHT = 2.0
# Å in a cycle, but in flexible fits: maps hardly hold the ends of side chains, and a carboxylate that swings by 1 Å
# along its tangent stretches its bonds by .3 Å
LARGEST_MOVE = 0.4
HALF_MAP_ADP_WEIGHT = 8.0  # looser B of neighbours follow the noise
HALF_MAP_JELLY_SIGMA = 0.02  # Å
HALF_MAP_STIFFNESS = 2.0  # bonds and angles are steered as the weight grows; what is not must not be left behind,
HALF_MAP_FLATNESS = 4.0  # least of all planes, contacts, φ, ψ and χ: at 3.4 Å the rms Z of planes passed 1.4


@dataclass(frozen=True, slots=True, kw_only=True)
class MapBalance:
    """What is refined, and where geometry should end."""

    settings: RefinementSettings
    limits: BalanceLimits


def balance_against_maps(
    settings: RefinementSettings, resolution: float, filled: float | None, closeness: float = 1.0
) -> MapBalance:
    """Settings and limits for one map, or for half maps.

    Parameters
    ----------
    resolution : Å.
    filled : share of the box that the mask leaves of half maps; None for one map without halves.
    closeness : how closely half maps are followed, as in `half_map_settings`.
    """
    geometry = replace(settings.geometry, contact=CONTACT_WEIGHT * settings.geometry.contact)
    settings = replace(settings, geometry=geometry, largest_move=settings.largest_move or LARGEST_MOVE)
    if filled is None:
        return MapBalance(settings=replace(settings, first_weight=first_map_weight(resolution)), limits=LIMITS)
    return MapBalance(settings=half_map_settings(settings, resolution, closeness, filled), limits=HALF_MAP_LIMITS)


def half_map_settings(
    settings: RefinementSettings, resolution: float, closeness: float, filled: float
) -> RefinementSettings:
    """Settings against half maps.

    Parameters
    ----------
    resolution : Å.
    filled : share of the box that the mask leaves.
    closeness : up to one a factor on the weight, beside which B and jelly body keep their strength; beyond, they give
        way, and the weight grows by the root of it.

    Notes
    -----
    Bonds end the growth of a weight alone: what follows the noise of maps further is B and smooth shifts.
    """
    beyond = max(1.0, closeness)
    weight = closeness / math.sqrt(beyond)
    jelly = settings.jelly_body
    if jelly is None and resolution > JELLY_D_MIN:
        jelly = HALF_MAP_JELLY_SIGMA * beyond / math.sqrt(min(1.0, closeness))
    usual = settings.geometry
    geometry = replace(
        usual,
        plane=HALF_MAP_FLATNESS * usual.plane,
        torsion=HALF_MAP_STIFFNESS * usual.torsion,
        chiral=HALF_MAP_STIFFNESS * usual.chiral,
        contact=HALF_MAP_FLATNESS * usual.contact,
    )
    return replace(
        settings,
        first_weight=weight * half_map_weight(filled),
        adp_weight=min(1.0, closeness) / beyond**2 * HALF_MAP_ADP_WEIGHT * settings.adp_weight,
        jelly_body=jelly,
        geometry=geometry,
        ramachandran_weight=HALF_MAP_FLATNESS * settings.ramachandran_weight,
        rotamer_weight=HALF_MAP_FLATNESS * settings.rotamer_weight,
    )
