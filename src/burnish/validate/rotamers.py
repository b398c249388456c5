"""Rotamer verdicts of the side chains of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.chemistry.residues import ResidueView
from burnish.chemistry.rotamers import CHI_ATOMS, RotamerVerdict, rotamer_levels, rotamer_name, rotamer_verdict
from burnish.geometry.torsions import torsion_angles


@dataclass(frozen=True, slots=True, kw_only=True)
class RotamerResidue:
    """Side-chain conformation of one residue.

    Attributes
    ----------
    view : index into the residue views.
    chi : torsions, rad.
    level : fraction of the residue type in the reference that lies at lower density.
    verdict : favoured, allowed or outlier.
    name : nearest listed rotamer; "" for an outlier.
    """

    view: int
    chi: tuple[float, ...]
    level: float
    verdict: RotamerVerdict
    name: str


def chi_angles(xyz: Tensor, view: ResidueView) -> Tensor | None:
    """Side-chain torsions of one residue, rad; None for types without any and for incomplete side chains. (d,)"""
    atoms = [view.indices(*names) for names in CHI_ATOMS.get(view.name, ())]
    if not atoms or any(a is None for a in atoms):
        return None
    return torsion_angles(*xyz[torch.tensor(atoms)].unbind(1))


def validate_rotamers(xyz: Tensor, views: Sequence[ResidueView]) -> tuple[RotamerResidue, ...]:
    """Judge every complete side chain.

    Parameters
    ----------
    xyz : positions of all atoms, Å. (n, 3)
    views : residues by conformer.
    """
    by_type: dict[str, list[tuple[int, Tensor]]] = {}
    for i, residue in enumerate(views):
        if residue.kind == "protein" and (chi := chi_angles(xyz, residue)) is not None:
            by_type.setdefault(residue.name, []).append((i, chi))
    found = []
    for name, items in by_type.items():
        levels = rotamer_levels(name, torch.stack([c for _, c in items]))
        for (i, chi), level in zip(items, levels.tolist(), strict=True):
            verdict = rotamer_verdict(level)
            found.append(
                RotamerResidue(
                    view=i,
                    chi=tuple(chi.tolist()),
                    level=level,
                    verdict=verdict,
                    name="" if verdict == "outlier" else rotamer_name(name, chi),
                )
            )
    return tuple(sorted(found, key=lambda r: r.view))
