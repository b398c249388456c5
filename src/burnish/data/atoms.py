"""Atoms of a model as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Atoms:
    """Parameters of every atom of one model, in file order, hydrogens among them.

    float64 throughout: there are few atoms beside grid points, and the normal equations need it.

    Attributes
    ----------
    xyz : Cartesian positions, Å. (n, 3)
    b_iso : isotropic B, Å²; for anisotropic atoms the equivalent one. (n,)
    u_aniso : U11 U22 U33 U12 U13 U23 in the Cartesian frame, Å²; zeros where the atom is isotropic. (n, 6)
    is_aniso : which atoms have an anisotropic tensor. (n,) bool
    occ : occupancy as in the file, without the multiplicity of a special position. (n,)
    elements : symbol of each atom as gemmi spells it ("C", "Fe", "D").
    charges : formal charges. (n,) int64
    altloc : conformer letter, "" where there is one conformer.
    residue : index of the residue (chain, number, name; conformers of one number share it). (n,) int64
    """

    xyz: Tensor
    b_iso: Tensor
    u_aniso: Tensor
    is_aniso: Tensor
    occ: Tensor
    elements: tuple[str, ...]
    charges: Tensor
    altloc: tuple[str, ...]
    residue: Tensor

    def __len__(self) -> int:
        return len(self.b_iso)

    def subset(self, rows: Sequence[int]) -> Atoms:
        """Some of the atoms, in the order asked for; one may come several times."""
        index = torch.as_tensor(rows, dtype=torch.int64)
        return Atoms(
            xyz=self.xyz[index],
            b_iso=self.b_iso[index],
            u_aniso=self.u_aniso[index],
            is_aniso=self.is_aniso[index],
            occ=self.occ[index],
            elements=tuple(self.elements[k] for k in rows),
            charges=self.charges[index],
            altloc=tuple(self.altloc[k] for k in rows),
            residue=self.residue[index],
        )
