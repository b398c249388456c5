"""Flat mask of the bulk solvent on a grid over the whole cell.

A point is solvent when it is further than the van der Waals radius plus a probe from every atom; the solvent is then
grown back by the shrink radius, so that only gaps that the probe cannot enter are filled (Jiang & Brünger 1994). A
numba kernel rather than gemmi's masker, since the engines hold atoms as arrays, not as a gemmi model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import gemmi
import numba
import numpy as np
import torch

from burnish.data.atoms import Atoms
from burnish.data.reflections import Crystal
from burnish.models.structure_factors import grid_shape
from burnish.symmetry.space_groups import fractionalisation, operations, orthogonalisation


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskSettings:
    """Radii of the flat solvent mask, Å (the probe and shrink of cctbx)."""

    probe: float = 1.1
    shrink: float = 0.9


@numba.njit(cache=True)
def _mark(grid, on_grid, radius, frac, step, value):
    """Write value at every grid point within the radius of each centre."""
    nu, nv, nw = grid.shape
    reach_u = math.sqrt(frac[0, 0] ** 2 + frac[0, 1] ** 2 + frac[0, 2] ** 2) * nu
    reach_v = math.sqrt(frac[1, 0] ** 2 + frac[1, 1] ** 2 + frac[1, 2] ** 2) * nv
    cx, cy, cz = step[0, 2], step[1, 2], step[2, 2]
    length2 = cx * cx + cy * cy + cz * cz
    for n in range(len(on_grid)):
        fu, fv, fw = on_grid[n, 0], on_grid[n, 1], on_grid[n, 2]
        r = radius[n]
        for u in range(math.ceil(fu - r * reach_u), math.floor(fu + r * reach_u) + 1):
            for v in range(math.ceil(fv - r * reach_v), math.floor(fv + r * reach_v) + 1):
                du, dv = u - fu, v - fv
                x = du * step[0, 0] + dv * step[0, 1]
                y = du * step[1, 0] + dv * step[1, 1]
                z = du * step[2, 0] + dv * step[2, 1]
                along = x * cx + y * cy + z * cz
                under = along * along - length2 * (x * x + y * y + z * z - r * r)
                if under < 0.0:
                    continue
                root = math.sqrt(under)
                first = math.ceil(fw + (-along - root) / length2)
                last = math.floor(fw + (-along + root) / length2)
                row = grid[u % nu, v % nv]
                place = first % nw
                for _ in range(first, last + 1):
                    row[place] = value
                    place += 1
                    if place == nw:
                        place = 0


@numba.njit(cache=True)
def _boundary(grid):
    """Solvent points that touch a point of the model. (m, 3) float64"""
    nu, nv, nw = grid.shape
    found = np.empty((grid.size, 3), np.int32)
    count = 0
    for u in range(nu):
        up, down = grid[(u + 1) % nu], grid[u - 1]
        for v in range(nv):
            here, right, left = grid[u, v], grid[u, (v + 1) % nv], grid[u, v - 1]
            for w in range(nw):
                if here[w] == 1 and (
                    up[v, w] == 0
                    or down[v, w] == 0
                    or right[w] == 0
                    or left[w] == 0
                    or here[w - 1] == 0
                    or here[(w + 1) % nw] == 0
                ):
                    found[count, 0], found[count, 1], found[count, 2] = u, v, w
                    count += 1
    return found[:count].astype(np.float64)


def solvent_mask(crystal: Crystal, atoms: Atoms, spacing: float, settings: MaskSettings | None = None) -> torch.Tensor:
    """Mask of the bulk solvent, 1 in the solvent and 0 in the model.

    Parameters
    ----------
    atoms : the asymmetric unit; hydrogens and atoms of no occupancy are left out.
    spacing : largest distance of grid planes, Å.
    settings : radii.

    Returns
    -------
    Mask over the whole cell, indexed along a, b, c. (nu, nv, nw) float32
    """
    settings = settings or MaskSettings()
    radii = {symbol: gemmi.Element(symbol).vdw_r for symbol in set(atoms.elements)}
    heavy = np.array([symbol not in ("H", "D") for symbol in atoms.elements], dtype=bool)
    heavy &= atoms.occ.cpu().numpy() > 0.0
    radius = np.array([radii[symbol] for symbol in atoms.elements])[heavy] + settings.probe
    shape = grid_shape(crystal, spacing)
    frac, orth = fractionalisation(crystal), orthogonalisation(crystal)
    step = orth / np.array(shape)
    rotations, translations = operations(crystal).all_operations()
    grid = np.ones(shape, dtype=np.uint8)
    inside = atoms.xyz.detach().cpu().numpy()[heavy] @ frac.T
    for rotation, translation in zip(rotations, translations, strict=True):
        _mark(grid, (inside @ rotation.T + translation) * np.array(shape), radius, frac, step, 0)
    edge = _boundary(grid)
    _mark(grid, edge, np.full(len(edge), settings.shrink), frac, step, 1)
    return torch.from_numpy(grid).to(torch.float32)
