"""Shells and knots along the resolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def shells_of_equal_number(s2: np.ndarray, count: int) -> np.ndarray:
    """Shell of each reflection, 0 at low resolution, with equal numbers in each. (n,) int64"""
    order = np.argsort(s2, kind="stable")
    shell = np.empty(len(s2), dtype=np.int64)
    shell[order] = np.arange(len(s2)) * count // max(len(s2), 1)
    return shell


@dataclass(frozen=True, slots=True, kw_only=True)
class Knots:
    """Piecewise linear functions of s² on fixed knots.

    Attributes
    ----------
    position : rising, Å⁻². (k,)
    """

    position: np.ndarray

    def __len__(self) -> int:
        return len(self.position)

    def locate(self, s2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Left knot of each reflection and the weight of its right one; constant beyond the ends. (n,), (n,)"""
        if len(self.position) == 1:
            return np.zeros(len(s2), dtype=np.int64), np.zeros(len(s2))
        left = np.clip(np.searchsorted(self.position, s2, side="right") - 1, 0, len(self.position) - 2)
        gap = self.position[left + 1] - self.position[left]
        return left, np.clip((s2 - self.position[left]) / gap, 0.0, 1.0)

    def basis(self, s2: np.ndarray) -> np.ndarray:
        """Weight of every knot at each reflection. (n, k)"""
        left, right = self.locate(s2)
        out = np.zeros((len(s2), len(self)))
        rows = np.arange(len(s2))
        out[rows, left] = 1.0 - right
        if len(self) > 1:
            out[rows, left + 1] += right
        return out


def knots_by_number(s2: np.ndarray, first: int, most: int) -> Knots:
    """Knots between which the numbers of reflections grow geometrically from `first`, in at most `most` intervals.

    Narrow intervals at low resolution, where scales vary fast and reflections are few.
    """
    ordered = np.sort(s2)
    n = len(ordered)
    intervals = max(1, min(most, n // max(first, 1)))
    low, high = 1.0, 10.0
    for _ in range(60):  # growth g with first · (1 + g + … ) = n
        growth = 0.5 * (low + high)
        low, high = (growth, high) if first * np.sum(growth ** np.arange(intervals)) < n else (low, growth)
    edges = np.cumsum(first * growth ** np.arange(intervals)) if intervals > 1 else np.array([n])
    index = np.concatenate([[0], np.minimum(edges, n - 1)]).astype(np.int64)
    index[-1] = n - 1
    return Knots(position=np.unique(ordered[index]))


def roughness(size: int) -> np.ndarray:
    """Matrix of the sum of squared second differences. (size, size)"""
    if size < 3:
        return np.zeros((size, size))
    second = np.diff(np.eye(size), 2, axis=0)
    return second.T @ second
