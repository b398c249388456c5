"""How forces on riding hydrogens pass to the atoms that carry them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from burnish.chemistry.hydrogens import riding_jacobians
from burnish.data.hydrogens import Riders, part_of
from burnish.models.restraints.term import Array

Index32 = NDArray[np.int32]
_PART = 4096  # hydrogens at once


def riding_jacobian(xyz: Array, riders: Riders) -> sp.csr_matrix:
    """Derivatives of all positions with respect to themselves, rows of riding hydrogens by the atoms that carry them.

    Returns
    -------
    (3n, 3n): identity for other atoms; columns of riding hydrogens are empty.
    """
    n = len(xyz)
    if len(riders) == 0:
        return sp.csr_matrix(sp.eye_array(3 * n))
    hydrogen = riders.hydrogen.numpy()
    others = np.ones(n, dtype=bool)
    others[hydrogen] = False
    same = (3 * np.flatnonzero(others)[:, None] + np.arange(3)).reshape(-1).astype(np.int32)
    rows, columns, values = [same], [same], [np.ones(len(same))]
    for start in range(0, len(riders), _PART):
        row, column, value = _entries(torch.as_tensor(xyz), part_of(riders, slice(start, start + _PART)))
        rows.append(row)
        columns.append(column)
        values.append(value)
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sp.csr_matrix(entries, shape=(3 * n, 3 * n))


def _entries(xyz: torch.Tensor, riders: Riders) -> tuple[Index32, Index32, Array]:
    """Rows, columns and values of the elements of some hydrogens that are not zero; repeated places add up."""
    sources, blocks = riding_jacobians(xyz, riders)
    values = blocks.numpy().transpose(0, 2, 1, 3)  # hydrogen, its axis, source, axis of the source
    row = np.broadcast_to((3 * riders.hydrogen.numpy()[:, None] + np.arange(3))[:, :, None, None], values.shape)
    column = np.broadcast_to((3 * sources.numpy()[:, :, None] + np.arange(3))[:, None], values.shape)
    used = values != 0.0
    return row[used].astype(np.int32), column[used].astype(np.int32), values[used]
