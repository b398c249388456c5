"""Twin laws of a crystal, and which reflections overlap."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np
import torch
from torch import Tensor

from burnish.data.reflections import Crystal, Reflections
from burnish.symmetry.space_groups import operations

MAX_OBLIQUITY_DEG = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinMates:
    """Reflections that overlap in each measurement.

    Attributes
    ----------
    laws : operations on indices as triplets, the identity first.
    hkl : the reflections of the data, then mates that are not among them. (m, 3) int64
    mate : row of `hkl` that each law turns a measured reflection into. (k, n) int64
    """

    laws: tuple[str, ...]
    hkl: Tensor
    mate: Tensor


def twin_laws(crystal: Crystal, max_obliquity_deg: float = MAX_OBLIQUITY_DEG) -> tuple[str, ...]:
    """Operations that bring the lattice, but not the crystal, onto itself; one of each coset.

    Parameters
    ----------
    max_obliquity_deg : how far the lattice may be from the higher symmetry (Le Page 1982).

    Examples
    --------
    >>> twin_laws(Crystal(cell=(53.9, 53.9, 77.4, 90, 90, 90), space_group="P 43"))
    ('-x,y,-z',)
    """
    found = gemmi.find_twin_laws(crystal.unit_cell, crystal.group, max_obliquity_deg, False)
    return tuple(operation.triplet() for operation in found)


def representatives(crystal: Crystal, hkl: np.ndarray) -> np.ndarray:
    """One index of each set that symmetry and Friedel's law make equal: the largest in the order h, k, l. (n, 3)"""
    mates = np.einsum("nj,gjk->gnk", hkl, operations(crystal).rotation)
    mates = np.concatenate([mates, -mates])
    base = 2 * int(np.abs(mates).max(initial=1)) + 1
    key = (mates[..., 0] * base + mates[..., 1]) * base + mates[..., 2]
    best = key.argmax(axis=0)
    return mates[best, np.arange(len(hkl))]


def twin_mates(reflections: Reflections, laws: tuple[str, ...]) -> TwinMates:
    """Look up the mates of every reflection under the given laws."""
    crystal, hkl = reflections.crystal, reflections.hkl.numpy()
    turned = [representatives(crystal, hkl)]
    for law in laws:
        rotation = np.array(gemmi.Op(law).rot, dtype=np.int64) // gemmi.Op.DEN
        turned.append(representatives(crystal, hkl @ rotation))
    own = turned[0]
    everything = np.concatenate(turned)
    unique, inverse = np.unique(everything, axis=0, return_inverse=True)
    inverse = inverse.reshape(len(turned), len(hkl))
    row = np.full(len(unique), -1, dtype=np.int64)
    row[inverse[0]] = np.arange(len(hkl))
    extra = np.flatnonzero(row < 0)
    row[extra] = len(own) + np.arange(len(extra))
    return TwinMates(
        laws=("x,y,z", *laws),
        hkl=torch.from_numpy(np.concatenate([hkl, unique[extra]])),
        mate=torch.from_numpy(row[inverse]),
    )
