"""Ramachandran verdicts of the protein residues of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.chemistry.exact_contours import Contours, contour_levels
from burnish.chemistry.ramachandran import (
    RamachandranClass,
    Verdict,
    ramachandran_class,
    ramachandran_levels,
    verdict_of,
)
from burnish.chemistry.residues import ResidueView
from burnish.geometry.torsions import torsion_angles

CIS_LIMIT = torch.pi / 6  # rad; |ω| below it is cis, as MolProbity counts


@dataclass(frozen=True, slots=True, kw_only=True)
class RamachandranResidue:
    """Backbone conformation of one residue.

    Attributes
    ----------
    view : index into the residue views.
    kind : its class.
    phi, psi : rad.
    level : fraction of its class in the reference that lies at lower density.
    verdict : favoured, allowed or outlier.
    fitted : verdict of the fitted densities; another one only where exact contours decided.
    """

    view: int
    kind: RamachandranClass
    phi: float
    psi: float
    level: float
    verdict: Verdict
    fitted: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneTorsions:
    """φ, ψ of every residue with both neighbours; atoms by index, for restraints and moves.

    Attributes
    ----------
    view : index into the residue views. n
    kind : class of each. n
    phi_atoms, psi_atoms : (n, 4) int64
    """

    view: tuple[int, ...]
    kind: tuple[RamachandranClass, ...]
    phi_atoms: Tensor
    psi_atoms: Tensor


def backbone_torsions(xyz: Tensor, views: Sequence[ResidueView]) -> BackboneTorsions:
    """Find the residues that have both φ and ψ, with their classes (which need ω: cis proline is a class)."""
    view, kind, phi, psi = [], [], [], []
    for i, residue in enumerate(views):
        if residue.kind != "protein" or residue.previous < 0 or residue.next < 0:
            continue
        before, after = views[residue.previous], views[residue.next]
        own = residue.indices("N", "CA", "C")
        c_before, n_after = before.indices("C"), after.indices("N")
        if own is None or c_before is None or n_after is None:
            continue
        n, ca, c = own
        ca_before = before.indices("CA")
        is_cis = ca_before is not None and residue.name == "PRO" and _is_cis(xyz, ca_before[0], c_before[0], n, ca)
        view.append(i)
        kind.append(ramachandran_class(residue.name, after.name, is_cis=is_cis))
        phi.append((c_before[0], n, ca, c))
        psi.append((n, ca, c, n_after[0]))
    return BackboneTorsions(
        view=tuple(view),
        kind=tuple(kind),
        phi_atoms=torch.tensor(phi, dtype=torch.int64).reshape(-1, 4),
        psi_atoms=torch.tensor(psi, dtype=torch.int64).reshape(-1, 4),
    )


def phi_psi(xyz: Tensor, torsions: BackboneTorsions) -> Tensor:
    """φ and ψ of each listed residue, rad. (n, 2)"""
    return torch.stack([torsion_angles(*xyz[a].unbind(1)) for a in (torsions.phi_atoms, torsions.psi_atoms)], 1)


def validate_ramachandran(
    xyz: Tensor, views: Sequence[ResidueView], contours: Contours | None = None
) -> tuple[RamachandranResidue, ...]:
    """Judge the backbone of every residue that has both neighbours.

    Parameters
    ----------
    xyz : positions of all atoms, Å. (n, 3)
    views : residues by conformer.
    contours : exact ones (`chemistry.exact_contours`), None for the fitted densities.
    """
    torsions = backbone_torsions(xyz, views)
    angles = phi_psi(xyz, torsions)
    fitted = ramachandran_levels(list(torsions.kind), angles)
    level = fitted if contours is None else contour_levels(contours, torsions.kind, angles)
    return tuple(
        RamachandranResidue(
            view=v,
            kind=k,
            phi=float(a[0]),
            psi=float(a[1]),
            level=float(p),
            verdict=verdict_of(k, float(p)),
            fitted=verdict_of(k, float(f)),
        )
        for v, k, a, p, f in zip(torsions.view, torsions.kind, angles, level, fitted, strict=True)
    )


def _is_cis(xyz: Tensor, *atoms: int) -> bool:
    return bool(torsion_angles(*(xyz[i][None] for i in atoms)).abs() < CIS_LIMIT)
