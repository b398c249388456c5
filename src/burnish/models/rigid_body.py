"""Groups of atoms that move as rigid bodies, for the first cycles after molecular replacement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
import torch

from burnish.data.atoms import Atoms
from burnish.geometry.rotations import rotation_from_vector
from burnish.models.restraints.term import Array, Index

LARGEST_TURN = np.radians(5.0)  # in one cycle
LARGEST_SHIFT = 1.5  # Å, in one cycle


def rigid_columns(xyz: Array, groups: Sequence[Index]) -> sp.csr_matrix:
    """Shift (3) and rotation vector about the centre (3) of each group as directions of all positions. (3n, 6 each)"""
    rows, columns, values = [], [], []
    for number, atoms in enumerate(groups):
        x, y, z = (xyz[atoms] - xyz[atoms].mean(axis=0)).T
        zero, one = np.zeros_like(x), np.ones_like(x)
        turn = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], axis=1).reshape(-1, 3, 3)  # ω × r
        block = np.concatenate([one[:, None, None] * np.eye(3), turn], axis=2)
        rows.append(np.broadcast_to((3 * atoms[:, None] + np.arange(3))[:, :, None], block.shape).reshape(-1))
        columns.append(np.broadcast_to(6 * number + np.arange(6), block.shape).reshape(-1))
        values.append(block.reshape(-1))
    shape = (3 * len(xyz), 6 * len(groups))
    return sp.csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape)


def moved_rigidly(atoms: Atoms, groups: Sequence[Index], motion: Array) -> Atoms:
    """Atoms after an exact motion of each group; displacement tensors turn along.

    Parameters
    ----------
    motion : shift, Å, and rotation vector, rad, of each group. (groups, 6)
    """
    xyz, u = atoms.xyz.numpy().copy(), atoms.u_aniso.numpy().copy()
    for members, row in zip(groups, motion, strict=True):
        shift, turn = row[:3], row[3:]
        shift = shift * min(1.0, LARGEST_SHIFT / max(float(np.linalg.norm(shift)), 1e-12))
        turn = turn * min(1.0, LARGEST_TURN / max(float(np.linalg.norm(turn)), 1e-12))
        rotation = rotation_from_vector(torch.as_tensor(turn)).numpy()
        centre = xyz[members].mean(axis=0)
        xyz[members] = (xyz[members] - centre) @ rotation.T + centre + shift
        tensor = u[members][:, [0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(-1, 3, 3)
        turned = rotation @ tensor @ rotation.T
        u[members] = turned.reshape(-1, 9)[:, [0, 4, 8, 1, 2, 5]]
    return replace(atoms, xyz=torch.as_tensor(xyz), u_aniso=torch.as_tensor(u))
