"""Rigid groups that shake: translation, libration and screw tensors beside a residual B of each atom.

In refinement TLS is a set of directions in which the tensors of a group may move together; the atoms carry the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from burnish.models.restraints.term import Array, Index

N_PARAMETERS = 20  # 6 of T, 6 of L, 8 of S, whose trace nothing determines
_SIX = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
LEAST_ATOMS = 20  # a smaller group does not determine its twenty numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsGroup:
    """Shaking of one group about its centre.

    Attributes
    ----------
    origin : mean position, Å. (3,)
    t : translation, Å². (3, 3)
    l : libration, rad². (3, 3)
    s : correlation ⟨ω tᵀ⟩ of rotation and translation, rad Å, without trace. (3, 3)
    """

    origin: Array
    t: Array
    l: Array
    s: Array


def _basis() -> list[tuple[str, Array]]:
    """The twenty elementary tensors."""
    result = []
    for kind in ("t", "l"):
        for i, j in _SIX:
            unit = np.zeros((3, 3))
            unit[i, j] = unit[j, i] = 1.0
            result.append((kind, unit))
    for i in range(3):
        for j in range(3):
            if i != j:
                unit = np.zeros((3, 3))
                unit[i, j] = 1.0
                result.append(("s", unit))
    result += [("s", np.diag([1.0, -1.0, 0.0])), ("s", np.diag([0.0, 1.0, -1.0]))]
    return result


def tls_design(xyz: Array) -> Array:
    """∂U/∂(T, L, S) of the atoms of one group about their mean: U11 U22 U33 U12 U13 U23 by twenty. (n, 6, 20)

    Notes
    -----
    U = T + A L Aᵀ + A S + Sᵀ Aᵀ with A ω = ω × r (Schomaker & Trueblood 1968, Acta Cryst. B24, 63, eq. 6).
    """
    x, y, z = (xyz - xyz.mean(axis=0)).T
    zero = np.zeros_like(x)
    a = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], axis=1).reshape(-1, 3, 3)
    columns = []
    for kind, unit in _basis():
        if kind == "t":
            u = np.broadcast_to(unit, a.shape)
        elif kind == "l":
            u = a @ unit @ a.transpose(0, 2, 1)
        else:
            u = a @ unit + (a @ unit).transpose(0, 2, 1)
        columns.append(np.stack([u[:, i, j] for i, j in _SIX], axis=1))
    return np.stack(columns, axis=2)


def tls_columns(xyz: Array, groups: Sequence[Index]) -> sp.csr_matrix:
    """Directions of TLS in the full vector of displacements. (7n, 20 for each group)"""
    n = len(xyz)
    rows, columns, values = [], [], []
    for number, atoms in enumerate(groups):
        design = tls_design(xyz[atoms])
        place = n + 6 * atoms[:, None, None] + np.arange(6)[:, None]
        rows.append(np.broadcast_to(place, design.shape).reshape(-1))
        columns.append(np.broadcast_to(N_PARAMETERS * number + np.arange(N_PARAMETERS), design.shape).reshape(-1))
        values.append(design.reshape(-1))
    shape = (7 * n, N_PARAMETERS * len(groups))
    if not rows:
        return sp.csr_matrix(shape)
    return sp.csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape)


def fit_tls(xyz: Array, u_aniso: Array) -> TlsGroup:
    """The group whose shaking comes nearest to the anisotropic part of the tensors of its atoms.

    Parameters
    ----------
    u_aniso : U11 U22 U33 U12 U13 U23 of the atoms, Å². (n, 6)

    Notes
    -----
    A residual isotropic U of each atom is fitted at the same time and dropped; what it shares with T goes to T so
    that the smallest residual is zero, as in the convention of REFMAC.
    """
    n = len(xyz)
    design = tls_design(xyz).reshape(6 * n, N_PARAMETERS)
    iso = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    without = np.eye(6) - np.outer(iso, iso) / 3.0
    projected = (without @ design.reshape(n, 6, N_PARAMETERS)).reshape(6 * n, N_PARAMETERS)
    fitted = np.linalg.lstsq(projected, (u_aniso @ without).reshape(-1), rcond=1e-8)[0]
    residual = (u_aniso - (design @ fitted).reshape(n, 6))[:, :3].mean(axis=1)
    tensors = {"t": np.zeros((3, 3)), "l": np.zeros((3, 3)), "s": np.zeros((3, 3))}
    for value, (kind, unit) in zip(fitted, _basis(), strict=True):
        tensors[kind] = tensors[kind] + value * unit
    return TlsGroup(
        origin=xyz.mean(axis=0), t=tensors["t"] + residual.min() * np.eye(3), l=tensors["l"], s=tensors["s"]
    )
