"""Peptide bonds: trans, cis and twisted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from burnish.chemistry.residues import ResidueView
from burnish.geometry.torsions import torsion_angles

PeptideKind = Literal["trans", "cis", "twisted"]
LIMIT = math.radians(30.0)  # from 0 or 180°, as MolProbity's omegalyze counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Peptide:
    """The peptide bond before one residue.

    Attributes
    ----------
    view : index of the residue after the bond into the residue views.
    omega : rad.
    kind : trans, cis, or twisted by more than 30° from both.
    is_proline : whether the residue after the bond is proline, where cis is common (about 5 %).
    """

    view: int
    omega: float
    kind: PeptideKind
    is_proline: bool


def validate_peptides(xyz: Tensor, views: Sequence[ResidueView]) -> tuple[Peptide, ...]:
    """Judge every peptide bond.

    Parameters
    ----------
    xyz : positions of all atoms, Å. (n, 3)
    views : residues by conformer.
    """
    found, atoms = [], []
    for i, residue in enumerate(views):
        if residue.kind != "protein" or residue.previous < 0:
            continue
        before, after = views[residue.previous].indices("CA", "C"), residue.indices("N", "CA")
        if before is not None and after is not None:
            found.append(i)
            atoms.append((*before, *after))
    if not found:
        return ()
    omega = torsion_angles(*xyz[torch.tensor(atoms)].unbind(1)).tolist()
    return tuple(
        Peptide(view=i, omega=w, kind=_kind(w), is_proline=views[i].name == "PRO")
        for i, w in zip(found, omega, strict=True)
    )


def _kind(omega: float) -> PeptideKind:
    if abs(omega) < LIMIT:
        return "cis"
    return "trans" if math.pi - abs(omega) < LIMIT else "twisted"
