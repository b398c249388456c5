"""Coefficients of electron density and difference maps, and maps from coefficients.

    2mF_o − DF_c (acentric), mF_o (centric)      mF_o − DF_c      with the phase of the model (Read 1986)

DF_c stands for the scaled model with its solvent. All coefficients are divided by the scale of the data, its
anisotropic part too, so that maps are in e⁻/Å³ and as sharp in every direction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from burnish.data.reflections import Crystal
from burnish.models.crystal_term import CrystalTerm
from burnish.models.structure_factors import adjoint_map, miller_grid
from burnish.models.targets import direction
from burnish.symmetry.space_groups import orthogonalisation, reflection_properties


@dataclass(frozen=True, slots=True, kw_only=True)
class MapCoefficients:
    """Coefficients on the absolute scale, e⁻; NaN where a set has none. (n,) complex64

    Attributes
    ----------
    density : 2mFo − DFc of measured reflections.
    filled : the same with DFc where nothing was measured.
    difference : mFo − DFc of measured reflections.
    f_calc : of the atoms, unscaled.
    f_model : atoms and solvent.
    fom : figure of merit. (n,) float64
    """

    density: Tensor
    filled: Tensor
    difference: Tensor
    f_calc: Tensor
    f_model: Tensor
    fom: Tensor


def map_coefficients(term: CrystalTerm, hidden: Tensor | None = None) -> MapCoefficients:
    """Coefficients at the last `update_scaling` of a data term.

    Parameters
    ----------
    hidden : reflections to treat as not measured, for instance the free set while a model is being rebuilt. (n,) bool
    """
    reflections = term.reflections
    model = term.amplitudes.f_model.to(torch.complex128)
    factors = term.target.map_factors(model)
    scale = term.scale
    use = term.work | term.free
    if hidden is not None:
        use = use & ~hidden
    n = len(reflections)
    model, scale = model[:n], scale[:n]
    expected = factors.d * model.abs()
    weighted = factors.fom * torch.where(use, factors.f_obs, 0.0)
    observed, modelled = weighted * factors.phase, expected * direction(model)
    doubled = torch.where(reflections.centric, observed, 2.0 * observed - modelled)
    absent = torch.full_like(model, complex(math.nan, math.nan)).to(torch.complex64)

    def on_absolute_scale(coefficient: Tensor) -> Tensor:
        return (coefficient / scale).to(torch.complex64)

    return MapCoefficients(
        density=torch.where(use, on_absolute_scale(doubled), absent),
        filled=on_absolute_scale(torch.where(use, doubled, modelled)),
        difference=torch.where(use, on_absolute_scale(observed - modelled), absent),
        f_calc=term.amplitudes.f_calc[:n],
        f_model=(model / scale).to(torch.complex64),
        fom=torch.where(use, factors.fom, 0.0),
    )


def crystal_map(crystal: Crystal, hkl: Tensor, coefficient: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Map over the cell from the coefficients of unique reflections.

    Parameters
    ----------
    hkl : unique Miller indices, without (0, 0, 0). (n, 3)
    coefficient : NaN counts as absent. (n,) complex64
    shape : of the grid; more than twice the largest index along each axis (`grid_shape` chooses one by spacing).

    Returns
    -------
    Values in units of the coefficients per Å³, indexed along a, b, c. (nu, nv, nw) float32
    """
    indices = hkl.cpu().numpy()
    centric, epsilon, _ = reflection_properties(crystal, indices)
    lookup = miller_grid(crystal, hkl, shape, device=str(coefficient.device))
    volume = float(np.linalg.det(orthogonalisation(crystal)))
    # The operations bring a reflection ε times onto itself and, if centric, as often onto its Friedel mate.
    share = torch.as_tensor(np.where(centric, 1.0, 2.0) / epsilon / (volume * lookup.centring), dtype=torch.float32)
    present = torch.where(coefficient.abs().isfinite(), coefficient, torch.zeros_like(coefficient))
    return adjoint_map(present * share.to(coefficient.device), lookup)


def anomalous_coefficients(term: CrystalTerm) -> Tensor:
    """Coefficients of the anomalous difference map, (F(+) − F(−)) exp(i(φ − π/2)); NaN without a pair. (n,) complex64

    Peaks lie at the anomalous scatterers; φ is the phase of the model.
    """
    pairs = term.reflections.anomalous
    n = len(term.reflections)
    phase = term.target.map_factors(term.amplitudes.f_model.to(torch.complex128)).phase
    difference = torch.full((n,), torch.nan).double()
    if pairs is not None and pairs.f_obs is not None:
        difference = torch.where(term.reflections.centric, torch.nan, pairs.f_obs[:, 0] - pairs.f_obs[:, 1])
    return (-1j * phase * (difference / term.scale[:n])).to(torch.complex64)
