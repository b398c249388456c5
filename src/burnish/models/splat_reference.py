"""Spread Gaussian atoms on a periodic grid and gather the adjoint, in plain torch: any dtype, any device.

The reference of `splat_cpu`, and what runs on a GPU. Atoms are taken in blocks of equal box size.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from burnish.models.gaussian_atoms import PAIRS, GaussianAtoms

BLOCK = 1 << 21  # grid points of all boxes of one block


def _boxes(
    shape: tuple[int, int, int], atoms: GaussianAtoms, frac: np.ndarray, orth: np.ndarray, like: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Blocks of atoms, and index and displacement of each point of their boxes. (m,), (m, p), (m, p, 3)"""
    size = torch.tensor(shape, device=like.device)
    on_grid = torch.as_tensor(atoms.xyz @ frac.T * np.array(shape), device=like.device)
    step = torch.as_tensor(orth / np.array(shape), dtype=like.dtype, device=like.device)
    half = np.ceil(atoms.radius[:, None] * np.linalg.norm(frac, axis=1) * np.array(shape)).astype(np.int64)
    for box in np.unique(half, axis=0):
        members = torch.as_tensor(np.flatnonzero((half == box).all(axis=1)), device=like.device)
        ranges = [torch.arange(-int(h), int(h) + 1, device=like.device) for h in box]
        offset = torch.stack(torch.meshgrid(*ranges, indexing="ij"), dim=-1).reshape(-1, 3)
        for part in members.split(max(1, BLOCK // len(offset))):
            nearest = on_grid[part].round().long()
            point = nearest[:, None, :] + offset
            wrapped = point % size
            flat = (wrapped[..., 0] * shape[1] + wrapped[..., 1]) * shape[2] + wrapped[..., 2]
            yield part, flat, (point - on_grid[part][:, None, :]).to(like.dtype) @ step.T


def _terms(atoms: GaussianAtoms, part: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Density of each term for unit occupancy, zero beyond the radius, and S⁻¹. (m, t, p), (m, t, 3, 3)"""
    index = part.cpu().numpy()
    packed = torch.as_tensor(atoms.precision[index], dtype=d.dtype, device=d.device)
    q = packed.new_zeros(*packed.shape[:2], 3, 3)
    for k, (i, j) in enumerate(PAIRS):
        q[..., i, j] = q[..., j, i] = packed[..., k]
    height = torch.as_tensor(atoms.height[index], dtype=d.dtype, device=d.device)
    inside = d.square().sum(-1) <= torch.as_tensor(atoms.radius[index], dtype=d.dtype, device=d.device)[:, None] ** 2
    exponent = torch.einsum("mpi,mtij,mpj->mtp", d, q, d)
    return height[..., None] * torch.exp(-0.5 * exponent) * inside[:, None, :], q


def spread(grid: Tensor, atoms: GaussianAtoms, frac: np.ndarray, orth: np.ndarray) -> None:
    """Add the density of the atoms to a grid that covers the cell periodically.

    Parameters
    ----------
    grid : indexed along a, b, c; changed in place. (nu, nv, nw)
    frac, orth : matrices from Cartesian to fractional coordinates and back. (3, 3)
    """
    shape = (grid.shape[0], grid.shape[1], grid.shape[2])
    occ = torch.as_tensor(atoms.occ, dtype=grid.dtype, device=grid.device)
    for part, flat, d in _boxes(shape, atoms, frac, orth, grid):
        density, _ = _terms(atoms, part, d)
        grid.view(-1).index_add_(0, flat.reshape(-1), (occ[part, None] * density.sum(dim=1)).reshape(-1))


def gather(
    grid: Tensor, atoms: GaussianAtoms, frac: np.ndarray, orth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Derivatives of Σ grid · density with respect to positions, U and occupancies. (n, 3), (n, 6), (n,) float64"""
    shape = (grid.shape[0], grid.shape[1], grid.shape[2])
    n = len(atoms.xyz)
    wrt_xyz, wrt_u, wrt_occ = np.zeros((n, 3)), np.zeros((n, 6)), np.zeros(n)
    for part, flat, d in _boxes(shape, atoms, frac, orth, grid):
        density, q = _terms(atoms, part, d)
        weighted = density * grid.view(-1)[flat][:, None, :]
        s0 = weighted.sum(dim=2)
        s1 = torch.einsum("mtp,mpi->mti", weighted, d)
        s2 = torch.einsum("mtp,mpi,mpj->mtij", weighted, d, d)
        index = part.cpu().numpy()
        occ = torch.as_tensor(atoms.occ[index], dtype=grid.dtype, device=grid.device)[:, None]
        wrt_occ[index] = s0.sum(dim=1).cpu().numpy()
        wrt_xyz[index] = (occ * torch.einsum("mtij,mtj->mi", q, s1)).cpu().numpy()
        tensor = 0.5 * occ[:, :, None] * (q @ s2 @ q - q * s0[..., None, None]).sum(dim=1)
        for k, (i, j) in enumerate(PAIRS):
            wrt_u[index, k] = (tensor[:, i, j] * (1.0 if i == j else 2.0)).cpu().numpy()
    return wrt_xyz, wrt_u, wrt_occ
