"""Electron-scattering density of a model on the grid of a map, cut sharply at a resolution."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from burnish.data.atoms import Atoms
from burnish.data.density import DensityMap
from burnish.data.reflections import Crystal
from burnish.models.structure_factors import adjoint_map, miller_grid, plan_structure_factors, structure_factors
from burnish.scattering.form_factors import Radiation, form_factors


def model_density(atoms: Atoms, like: DensityMap, resolution: float) -> DensityMap:
    """Density of atoms where a map has its voxels; the map's box is taken for a cell.

    Parameters
    ----------
    atoms : in the frame of the map.
    like : whose grid and origin it gets.
    resolution : limit, Å; Nyquist of the grid where that is coarser.
    """
    size = tuple(reversed(like.values.shape))
    cell = tuple(n * v for n, v in zip(size, like.voxel_size, strict=True))
    crystal = Crystal(cell=(cell[0], cell[1], cell[2], 90.0, 90.0, 90.0), space_group="P 1")
    limits = [min(int(a / resolution), (n - 1) // 2) for a, n in zip(cell, size, strict=True)]
    hkl = torch.cartesian_prod(*(torch.arange(-m, m + 1) for m in limits))
    h, k, l = hkl.unbind(1)
    unique = (l > 0) | ((l == 0) & ((k > 0) | ((k == 0) & (h > 0))))
    inside = (hkl.double() / torch.tensor(cell, dtype=torch.float64)).square().sum(1) <= resolution**-2
    hkl = hkl[unique & inside]
    local = replace(atoms, xyz=atoms.xyz - torch.tensor(like.origin, dtype=torch.float64))
    factors = form_factors(atoms.elements, None, Radiation.ELECTRON)
    f_calc = structure_factors(local, factors, atoms.occ.numpy(), plan_structure_factors(crystal, hkl))
    lookup = miller_grid(crystal, hkl, (size[0], size[1], size[2]))
    values = 2.0 * adjoint_map(f_calc, lookup).permute(2, 1, 0) / math.prod(cell)
    return DensityMap(values=values.contiguous(), voxel_size=like.voxel_size, origin=like.origin)
