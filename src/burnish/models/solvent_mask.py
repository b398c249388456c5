"""Flat mask of the bulk solvent on a grid over the whole cell.

A point is solvent when it is further than the radius of the atom plus a probe from every atom; the solvent is then
grown back by the shrink radius, so that only gaps that the probe cannot enter are filled (Jiang & Brünger 1994). The
radii are REFMAC's for this purpose (probe 1.0, shrink 0.8 Å): wide for carbon, which keeps water away, and narrow for
nitrogen and oxygen, which bind it. On eight of the cases of benchmarks/ R-free of the deposited models is 0.2 to 1.0
points lower with them than with van der Waals radii (probe 1.1, shrink 0.9). A numba kernel
rather than gemmi's masker, since the engines hold atoms as arrays, not as a gemmi model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
import torch

from burnish.data.atoms import Atoms
from burnish.data.reflections import Crystal
from burnish.models.structure_factors import grid_shape
from burnish.symmetry.space_groups import fractionalisation, operations, orthogonalisation

RADII = {"H": 1.40, "D": 1.40, "C": 2.00, "N": 1.12, "O": 1.08}  # Å, REFMAC's (as in gemmi 0.7's SolventMasker)
OTHER_RADIUS = 1.60


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskSettings:
    """Radii of the flat solvent mask beside those of the atoms, Å."""

    probe: float = 1.0
    shrink: float = 0.8


@numba.njit(cache=True)
def _mark(grid, on_grid, radius, frac, step):
    """Write 0 at every grid point within the radius of each centre."""
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
                    row[place] = 0
                    place += 1
                    if place == nw:
                        place = 0


@numba.njit(cache=True)
def _grow(grid, grown, neighbours, offsets):
    """Set `grown` to 1 at the offsets around every point of `grid` that is 1 and has a neighbour that is 0."""
    nu, nv, nw = grid.shape
    for u in range(nu):
        for v in range(nv):
            for w in range(nw):
                if grid[u, v, w] == 0:
                    continue
                outside = False
                for n in range(len(neighbours)):
                    x, y, z = u + neighbours[n, 0], v + neighbours[n, 1], w + neighbours[n, 2]
                    x += nu * (x < 0) - nu * (x >= nu)
                    y += nv * (y < 0) - nv * (y >= nv)
                    z += nw * (z < 0) - nw * (z >= nw)
                    if grid[x, y, z] == 0:
                        outside = True
                        break
                if outside:
                    for n in range(len(offsets)):
                        x, y, z = u + offsets[n, 0], v + offsets[n, 1], w + offsets[n, 2]
                        x += nu * (x < 0) - nu * (x >= nu)
                        y += nv * (y < 0) - nv * (y >= nv)
                        z += nw * (z < 0) - nw * (z >= nw)
                        grown[x, y, z] = 1


def _neighbours(step: np.ndarray) -> np.ndarray:
    """Grid vectors across the faces of a point's Voronoi cell: 6 on an orthogonal grid, 8 to 14 on others. (m, 3) int64

    From any point the nearest one of the other kind is reached over these; steps along the axes are not enough where
    the axes are oblique.
    """
    axis = np.arange(-1, 2)
    vectors = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = vectors[np.any(vectors != 0, axis=1)]
    place = vectors @ step.T
    middle = 0.5 * place
    to_others = np.sum((middle[:, None, :] - place[None, :, :]) ** 2, axis=2)
    np.fill_diagonal(to_others, np.inf)
    own = np.sum(middle**2, axis=1)
    return vectors[own < to_others.min(axis=1) - 1e-6 * own].astype(np.int64)


def _ball(step: np.ndarray, radius: float, shape: tuple[int, int, int]) -> np.ndarray:
    """Offsets of the grid points within a radius, none further than the grid is wide. (m, 3) int64"""
    reach = np.ceil(radius * np.linalg.norm(np.linalg.inv(step), axis=1)).astype(int)
    reach = np.minimum(reach, np.array(shape) - 1)
    axes = [np.arange(-k, k + 1) for k in reach]
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return offsets[np.sum((offsets @ step.T) ** 2, axis=1) <= radius**2].astype(np.int64)


def solvent_mask(crystal: Crystal, atoms: Atoms, spacing: float, settings: MaskSettings | None = None) -> torch.Tensor:
    """Mask of the bulk solvent, 1 in the solvent and 0 in the model.

    Parameters
    ----------
    atoms : the asymmetric unit; hydrogens and atoms of no occupancy are left out.
    spacing : largest distance of grid planes, Å.
    settings : radii.

    Returns
    -------
    Mask over the whole cell, indexed along a, b, c. (nu, nv, nw) uint8
    """
    settings = settings or MaskSettings()
    heavy = np.array([symbol not in ("H", "D") for symbol in atoms.elements], dtype=bool)
    heavy &= atoms.occ.cpu().numpy() > 0.0
    radius = np.array([RADII.get(symbol, OTHER_RADIUS) for symbol in atoms.elements])[heavy] + settings.probe
    shape = grid_shape(crystal, spacing)
    frac, orth = fractionalisation(crystal), orthogonalisation(crystal)
    step = orth / np.array(shape)
    rotations, translations = operations(crystal).all_operations()
    grid = np.ones(shape, dtype=np.uint8)
    inside = atoms.xyz.detach().cpu().numpy()[heavy] @ frac.T
    for rotation, translation in zip(rotations, translations, strict=True):
        _mark(grid, (inside @ rotation.T + translation) * np.array(shape), radius, frac, step)
    grown = grid.copy()
    _grow(grid, grown, _neighbours(step), _ball(step, settings.shrink, shape))
    return torch.from_numpy(grown)
