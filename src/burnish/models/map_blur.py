"""How much a map is blurred, seen from the positions of atoms in it."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from burnish.data.atoms import Atoms
from burnish.data.reflections import Crystal
from burnish.models.structure_factors import plan_structure_factors, structure_factors
from burnish.scattering.form_factors import Radiation, form_factors

STRONGEST = 1000.0  # by which the amplitudes at the resolution limit are raised at most
_ATOM_B = 20.0  # Å²; of the carbons that stand for the model


def blur_of(values: Tensor, xyz: Tensor, crystal: Crystal, hkl: Tensor, s2: Tensor, shell: Tensor) -> float:
    """B by which a map's atoms are blurred, Å².

    The transform of carbons at the positions of the atoms is compared with the map's, so that noise does not count.

    Parameters
    ----------
    values : coefficients of the map in the box. (n,) complex
    xyz : positions of heavy atoms in the frame of the box, Å. (m, 3)
    crystal : the box.
    hkl, s2, shell : of each coefficient. (n, 3), (n,), (n,)
    """
    n = len(xyz)
    carbons = Atoms(
        xyz=xyz.double(),
        b_iso=torch.full((n,), _ATOM_B, dtype=torch.float64),
        u_aniso=torch.zeros((n, 6), dtype=torch.float64),
        is_aniso=torch.zeros(n, dtype=torch.bool),
        occ=torch.ones(n, dtype=torch.float64),
        elements=("C",) * n,
        charges=torch.zeros(n, dtype=torch.int64),
        altloc=("",) * n,
        residue=torch.arange(n),
    )
    factors = form_factors(carbons.elements, None, Radiation.ELECTRON)
    f_calc = structure_factors(carbons, factors, np.ones(n), plan_structure_factors(crystal, hkl))
    f_calc, values = f_calc.to(torch.complex128), values.to(torch.complex128)
    shells = int(shell.max()) + 1

    def total(of: Tensor) -> Tensor:
        return torch.zeros(shells, dtype=torch.float64).index_add_(0, shell, of.double())

    cross, power = total((values * f_calc.conj()).real), total(f_calc.abs().square())
    correlation = cross / (power * total(values.abs().square())).sqrt().clamp_min(1e-300)
    count = total(torch.ones_like(s2))
    found = b_from_scales(cross / power, total(s2) / count, count * correlation.clamp(0.0, 0.999).square())
    strongest = 4.0 * math.log(STRONGEST) / float(s2.max())
    return min(max(found + _ATOM_B, 0.0), strongest)


def b_from_scales(d: Tensor, s2: Tensor, weight: Tensor) -> float:
    """B of the falloff of scales by shell, Å²; 0 where fewer than three are positive.

    Parameters
    ----------
    d : scale of each shell.
    s2 : mean 1/d² of each shell, Å⁻².
    weight : how well each is known: number of coefficients times their squared correlation.

    Notes
    -----
    −4 times the weighted slope of ln d over s².
    """
    weight = torch.where(d > 0, weight, 0.0)
    if int((weight > 0).sum()) < 3:
        return 0.0
    y = d.clamp_min(1e-30).log()
    mean_s2, mean_y = (weight * s2).sum() / weight.sum(), (weight * y).sum() / weight.sum()
    slope = (weight * (s2 - mean_s2) * (y - mean_y)).sum() / (weight * (s2 - mean_s2).square()).sum()
    return -4.0 * float(slope)
