"""The maps that a model is judged by: observed, calculated and difference density on one grid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.data.sampled_map import SampledMap, cell_map
from burnish.models.crystal_term import CrystalTerm
from burnish.models.density_maps import crystal_map, map_coefficients
from burnish.models.structure_factors import grid_shape
from burnish.symmetry.space_groups import fractionalisation


@dataclass(frozen=True, slots=True, kw_only=True)
class FitMaps:
    """Maps of one model and its data, e⁻/Å³ for a crystal.

    Attributes
    ----------
    density : 2mFo − DFc of a crystal, the weighted density of a particle.
    calculated : DFc, from the same reflections or with the same weights.
    difference : mFo − DFc, or observed less calculated.
    d_min : resolution limit of the data, Å.
    """

    density: SampledMap
    calculated: SampledMap
    difference: SampledMap
    d_min: float


def fit_maps(term: CrystalTerm, *, hide_free: bool = False, rate: float = 4.0) -> FitMaps:
    """Maps at the last `update_scaling` of a data term.

    Parameters
    ----------
    term : the data with their scales.
    hide_free : leave the free reflections out, as moves of the model must.
    rate : grid points per d_min.
    """
    reflections = term.reflections
    crystal = reflections.crystal
    coefficients = map_coefficients(term, hidden=reflections.free if hide_free else None)
    shape = grid_shape(crystal, reflections.d_min / rate)
    frac = fractionalisation(crystal)
    # 2mFo − DFc − 2 (mFo − DFc) = DFc, and mFo − (mFo − DFc) for centric reflections
    twice = torch.where(reflections.centric, 1.0, 2.0)
    calculated = coefficients.density - twice * coefficients.difference

    def on_grid(values: Tensor) -> SampledMap:
        return cell_map(crystal_map(crystal, reflections.hkl, values.to(torch.complex64), shape), frac)

    return FitMaps(
        density=on_grid(coefficients.density),
        calculated=on_grid(calculated),
        difference=on_grid(coefficients.difference),
        d_min=reflections.d_min,
    )
