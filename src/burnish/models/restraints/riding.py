"""How forces on riding hydrogens pass to the atoms that carry them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from burnish.chemistry.hydrogens import riding_jacobians
from burnish.data.hydrogens import Riders
from burnish.models.restraints.term import Array


def riding_jacobian(xyz: Array, riders: Riders) -> sp.csr_matrix:
    """Derivatives of all positions with respect to themselves, rows of riding hydrogens by the atoms that carry them.

    Returns
    -------
    (3n, 3n): identity for other atoms; columns of riding hydrogens are empty.
    """
    n = len(xyz)
    if len(riders) == 0:
        return sp.csr_matrix(sp.eye_array(3 * n))
    sources, blocks = riding_jacobians(torch.as_tensor(xyz), riders)
    values = blocks.numpy().transpose(0, 2, 1, 3)  # hydrogen, its axis, source, axis of the source
    atom = riders.hydrogen.numpy()
    row = np.broadcast_to((3 * atom[:, None] + np.arange(3))[:, :, None, None], values.shape)
    column = np.broadcast_to((3 * sources.numpy()[:, :, None] + np.arange(3))[:, None], values.shape)
    keep = np.ones(n)
    keep[atom] = 0.0
    by_parents = sp.csr_matrix((values.reshape(-1), (row.reshape(-1), column.reshape(-1))), shape=(3 * n, 3 * n))
    matrix = sp.csr_matrix(sp.diags_array(np.repeat(keep, 3)) + by_parents)
    matrix.eliminate_zeros()
    return matrix
