"""Q-scores: how well each atom is resolved in a map of a single particle.

The profile of the density about an atom is compared with a Gaussian of σ = 0.6 Å, what a well-resolved atom looks like
at 1.5 Å (Pintilie, Zhang, Su, Li, Schmid & Chiu 2020, Nat. Methods 17, 328). Only directions in which no other atom is
nearer count. Scale and offset of the map do not matter.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from burnish.data.density import DensityMap
from burnish.maps.linear import sample_linear

SIGMA = 0.6  # Å
RADII = np.arange(0, 21) * 0.1  # Å, as in the paper
DIRECTIONS = 64
OWN = 0.9  # a point at radius r belongs to the atom when no other lies within this fraction of r
_BLOCK = 2000  # atoms at a time


def q_scores(density: DensityMap, xyz: Tensor, others: Tensor | None = None) -> Tensor:
    """Q-score of each atom, −1 to 1; NaN where too little of its surroundings lies in the map.

    Parameters
    ----------
    density : the map, with voxel size and origin.
    xyz : positions of all atoms but hydrogens, Å. (n, 3)
    others : of what else the map shows, copies by symmetry for instance: density nearer to them is theirs. (m, 3)

    Notes
    -----
    The paper takes eight points at each radius from as many directions as it needs to find eight free ones; here all
    free ones of 64 evenly spread directions are taken and every radius has the same weight, which is what the eight
    points estimate.
    """
    positions = xyz.detach().cpu().numpy().astype(np.float64)
    n = len(positions)
    if others is not None:
        positions = np.concatenate([positions, others.detach().cpu().numpy().astype(np.float64)])
    tree = cKDTree(positions)
    blocks = [
        _block(density, positions, tree, np.arange(start, min(start + _BLOCK, n))) for start in range(0, n, _BLOCK)
    ]
    return torch.from_numpy(np.concatenate(blocks) if blocks else np.zeros(0))


def expected_q_score(resolution: float) -> float:
    """Mean Q-score of proteins in maps of this resolution (Å).

    Notes
    -----
    −0.178 d + 1.119: the line through the maps of Pintilie et al. 2020, figure 3.
    """
    return -0.178 * resolution + 1.119


def _block(density: DensityMap, positions: np.ndarray, tree: cKDTree, chosen: np.ndarray) -> np.ndarray:
    """Q-scores of some of the atoms."""
    n = len(chosen)
    total = np.zeros((n, len(RADII)))
    squares = np.zeros((n, len(RADII)))
    counts = np.zeros((n, len(RADII)))
    neighbours, own = _neighbours(positions, tree, chosen)
    for k, radius in enumerate(RADII):
        directions = _sphere(DIRECTIONS if radius > 0 else 1)
        points = positions[chosen][:, None] + radius * directions
        free = _is_own(points, radius, positions, neighbours, own)
        sampled, inside = sample_linear(density, points)
        free &= inside
        total[:, k] = np.where(free, sampled, 0.0).sum(axis=1)
        squares[:, k] = np.where(free, sampled**2, 0.0).sum(axis=1)
        counts[:, k] = free.sum(axis=1)
    return _correlations(total, squares, counts)


def _correlations(total: np.ndarray, squares: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Correlation about the mean of density and Gaussian, each radius with weight one. (n,)"""
    present = counts > 0
    mean_v = np.where(present, total / np.maximum(counts, 1), 0.0)
    mean_v2 = np.where(present, squares / np.maximum(counts, 1), 0.0)
    reference = np.exp(-0.5 * (RADII / SIGMA) ** 2)
    shells = present.sum(axis=1)
    safe = np.maximum(shells, 1)
    v, r = mean_v.sum(axis=1) / safe, (present * reference).sum(axis=1) / safe
    covariance = (present * mean_v * reference).sum(axis=1) / safe - v * r
    variance_v = mean_v2.sum(axis=1) / safe - v**2
    variance_r = (present * reference**2).sum(axis=1) / safe - r**2
    product = variance_v * variance_r
    enough = (shells >= len(RADII) // 2) & (product > 0)
    return np.where(enough, covariance / np.sqrt(np.where(enough, product, 1.0)), np.nan)


def _neighbours(positions: np.ndarray, tree: cKDTree, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Atoms that may be nearer to a point than its own: padded indices (n, m), and which of them count (n, m)."""
    reach = RADII[-1] * (1.0 + OWN)
    lists = tree.query_ball_point(positions[chosen], reach)
    longest = max((len(near) for near in lists), default=1)
    index = np.zeros((len(chosen), longest), dtype=np.int64)
    counts = np.zeros((len(chosen), longest), dtype=bool)
    for row, (atom, near) in enumerate(zip(chosen, lists, strict=True)):  # lists of unequal length: one pass of Python
        others = [j for j in near if j != atom]
        index[row, : len(others)] = others
        counts[row, : len(others)] = True
    return index, counts


def _is_own(
    points: np.ndarray, radius: float, positions: np.ndarray, neighbours: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Points that no other atom comes within OWN · radius of. (n, directions)"""
    free = np.ones(points.shape[:2], dtype=bool)
    limit = (OWN * radius) ** 2
    for column in range(neighbours.shape[1]):
        other = positions[neighbours[:, column]][:, None]
        near = np.sum((points - other) ** 2, axis=2) < limit
        free &= ~(near & counts[:, column, None])
    return free


def _sphere(count: int) -> np.ndarray:
    """Evenly spread unit vectors: a Fibonacci spiral. (count, 3)"""
    k = np.arange(count) + 0.5
    z = 1.0 - 2.0 * k / count
    angle = math.pi * (1.0 + math.sqrt(5.0)) * k
    ring = np.sqrt(1.0 - z**2)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)
