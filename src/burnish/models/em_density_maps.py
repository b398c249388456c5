"""Maps to look at after a refinement against half maps: sharpened and weighted density, and what the model lacks.

With FSC_full = 2 FSC / (1 + FSC) of the half maps and S split into noise σ_n² and unexplained signal S_u (Yamashita,
Palmer, Burnley & Murshudov 2021, eqs 21 and 25)

    F_w = √FSC_full · F_o / σ(F_o)          ΔF_w = S_u / (S_u + σ_n²) · (F_o − D F_c) / √S_u

Both are normalised to a standard deviation of one inside the mask, so that levels are in σ of the part that counts. A
single map has no FSC of its own: the correlation with the model takes its place, and the difference is not weighted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.data.density import DensityMap
from burnish.models.boxed_maps import BoxedMaps
from burnish.models.map_term import MapTerm
from burnish.models.structure_factors import MillerGrid, adjoint_map, miller_grid


@dataclass(frozen=True, slots=True, kw_only=True)
class EmMapCoefficients:
    """Coefficients in the frame of the box, normalised inside the mask. (n,) complex128

    Attributes
    ----------
    density : sharpened and weighted.
    difference : unexplained by the model.
    f_calc : of the model, Å.
    fom : √FSC_full, the expected correlation of each coefficient with the truth. (n,) float64
    """

    density: Tensor
    difference: Tensor
    f_calc: Tensor
    fom: Tensor


def em_map_coefficients(term: MapTerm) -> EmMapCoefficients:
    """Coefficients at the last `update_scaling` of a map term."""
    errors, maps = term.errors, term.maps
    if errors is None:
        raise RuntimeError("update_scaling() comes first")
    f_obs, f_calc = maps.f_obs.to(torch.complex128), term.last_f_calc
    shell = maps.shell
    halves = term.half_fsc()
    if halves is not None:
        full = (2.0 * halves / (1.0 + halves)).clamp(0.0, 1.0)
        unexplained = (errors.residual - errors.noise).clamp_min(0.0)
        trust = unexplained / (unexplained + errors.noise).clamp_min(1e-300)
    else:
        full = term.model_fsc().clamp(0.0, 1.0).square()
        unexplained, trust = errors.residual, torch.ones_like(full)
    sigma = maps.shell_mean(f_obs.abs().square()).sqrt().clamp_min(1e-300)
    density = (full.sqrt() / sigma)[shell] * f_obs
    scale = trust / unexplained.sqrt().clamp_min(1e-300)
    scale = torch.where(unexplained > 0, scale, 0.0)
    difference = scale[shell] * (f_obs - errors.d[shell] * f_calc)
    return EmMapCoefficients(
        density=_normalised(density, maps),
        difference=_normalised(difference, maps),
        f_calc=f_calc,
        fom=full.sqrt()[shell],
    )


def box_density(coefficient: Tensor, maps: BoxedMaps, lookup: MillerGrid | None = None) -> DensityMap:
    """Density of coefficients on the box's grid, in the frame of the maps it was cut from.

    Parameters
    ----------
    lookup : of all coefficients on the box's grid, from `miller_grid`; None to have it made.
    """
    lookup = lookup or miller_grid(maps.crystal, maps.hkl, maps.shape)
    values = 2.0 * adjoint_map(coefficient.to(torch.complex64), lookup) / math.prod(maps.crystal.cell[:3])
    a, b, c = (length / n for length, n in zip(maps.crystal.cell[:3], maps.shape, strict=True))
    return DensityMap(values=values.permute(2, 1, 0).contiguous(), voxel_size=(a, b, c), origin=maps.origin)


def in_model_frame(coefficient: Tensor, maps: BoxedMaps) -> Tensor:
    """The same density shifted so that it lies on the model when the box's cell starts at the origin. (n,)"""
    frac = torch.tensor(
        [o / length for o, length in zip(maps.origin, maps.crystal.cell[:3], strict=True)], dtype=torch.float64
    )
    angle = 2.0 * math.pi * (maps.hkl.double() @ frac)
    return coefficient * torch.polar(torch.ones_like(angle), angle)


def _normalised(coefficient: Tensor, maps: BoxedMaps) -> Tensor:
    values = box_density(coefficient, maps).values.permute(2, 1, 0)
    inside = values[maps.mask > 0.5]
    spread = float(inside.std()) if len(inside) > 1 else 0.0
    return coefficient / spread if spread > 0 else coefficient
