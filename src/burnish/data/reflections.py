"""Measured reflections."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Crystal:
    """Cell and space group.

    Attributes
    ----------
    cell : a, b, c in Å, alpha, beta, gamma in degrees (as every file and user gives them).
    space_group : Hermann–Mauguin symbol with extension, as gemmi's `xhm()` gives it.
    """

    cell: tuple[float, float, float, float, float, float]
    space_group: str

    @property
    def unit_cell(self) -> gemmi.UnitCell:
        return gemmi.UnitCell(*self.cell)

    @property
    def group(self) -> gemmi.SpaceGroup:
        return gemmi.SpaceGroup(self.space_group)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalousPairs:
    """Amplitudes and intensities of h and −h apart; NaN where not measured, None where the file has none of that kind.

    Each is (n, 2) float64 with the columns (+, −); + belongs to the listed index, which lies in the asymmetric unit.
    """

    f_obs: Tensor | None
    sigma_f_obs: Tensor | None
    i_obs: Tensor | None
    sigma_i_obs: Tensor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reflections:
    """Unique reflections in the asymmetric unit, sorted, with one measurement each.

    Attributes
    ----------
    crystal : cell and space group.
    hkl : Miller indices. (n, 3) int64
    f_obs, sigma_f_obs : amplitudes and their standard uncertainties; NaN where not measured. (n,) float64
    i_obs, sigma_i_obs : intensities, or None when the file gives amplitudes only. (n,) float64
    free : True for the reflections of the free set. (n,) bool
    centric : True for centric reflections. (n,) bool
    epsilon : multiplicity of systematic enhancement, without lattice centring. (n,) float64
    s2 : 1/d², Å⁻². (n,) float64
    anomalous : ± pairs, or None when the file has none.
    hl : Hendrickson–Lattman coefficients A B C D of experimental phases, NaN where unknown, or None. (n, 4) float64
    """

    crystal: Crystal
    hkl: Tensor
    f_obs: Tensor
    sigma_f_obs: Tensor
    i_obs: Tensor | None
    sigma_i_obs: Tensor | None
    free: Tensor
    centric: Tensor
    epsilon: Tensor
    s2: Tensor
    anomalous: AnomalousPairs | None = None
    hl: Tensor | None = None

    def __len__(self) -> int:
        return len(self.s2)

    @property
    def d_min(self) -> float:
        """Resolution limit of the listed reflections, Å."""
        return float(1.0 / np.sqrt(float(self.s2.max())))
