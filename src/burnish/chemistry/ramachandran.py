"""Backbone torsions: six classes of residues, their densities, and the field's verdicts."""

from __future__ import annotations

from functools import cache
from typing import Literal

import torch
from torch import Tensor

from burnish.chemistry.angle_density import AngleDensity, from_record, levels, log_density, stored_parameters

RamachandranClass = Literal["general", "ile_val", "pre_proline", "glycine", "trans_proline", "cis_proline"]
Verdict = Literal["favoured", "allowed", "outlier"]

CLASSES: tuple[RamachandranClass, ...] = (
    "general", "ile_val", "pre_proline", "glycine", "trans_proline", "cis_proline",
)  # fmt: skip
FAVOURED_LEVEL = 0.02
# Outlier levels of MolProbity with the Top8000 data (Williams et al. 2018, Protein Sci. 27, 293)
OUTLIER_LEVEL: dict[RamachandranClass, float] = {
    "general": 0.0005, "ile_val": 0.001, "pre_proline": 0.001, "glycine": 0.001, "trans_proline": 0.001,
    "cis_proline": 0.002,
}  # fmt: skip


@cache
def ramachandran_density(kind: RamachandranClass) -> AngleDensity:
    """Density of (φ, ψ) of one class."""
    return from_record(stored_parameters()["ramachandran"][kind])


def ramachandran_class(name: str, next_name: str | None, *, is_cis: bool) -> RamachandranClass:
    """Class of a residue by its own name, the name of the next residue and whether the peptide before it is cis.

    Glycine and proline come before everything else, then a following proline, then Ile and Val (MolProbity's order).
    """
    if name == "GLY":
        return "glycine"
    if name == "PRO":
        return "cis_proline" if is_cis else "trans_proline"
    if next_name == "PRO":
        return "pre_proline"
    return "ile_val" if name in ("ILE", "VAL") else "general"


def verdict_of(kind: RamachandranClass, level: float) -> Verdict:
    """The field's verdict on a residue at that level."""
    if level >= FAVOURED_LEVEL:
        return "favoured"
    return "allowed" if level >= OUTLIER_LEVEL[kind] else "outlier"


def ramachandran_levels(kinds: list[RamachandranClass], phi_psi: Tensor) -> Tensor:
    """Level of each residue: fraction of its class in the reference that lies at lower density.

    Parameters
    ----------
    kinds : class of each residue. n
    phi_psi : torsions, rad. (n, 2)
    """
    out = torch.zeros(len(kinds), dtype=phi_psi.dtype)
    for kind in set(kinds):
        index = torch.tensor([i for i, k in enumerate(kinds) if k == kind])
        out[index] = levels(ramachandran_density(kind), phi_psi[index])
    return out


def ramachandran_nll(kinds: list[RamachandranClass], phi_psi: Tensor) -> Tensor:
    """Negative log-density of each residue, for scores and restraints; differentiable. (n,)"""
    out = phi_psi.new_zeros(len(kinds))
    for kind in sorted(set(kinds)):
        index = torch.tensor([i for i, k in enumerate(kinds) if k == kind])
        out = out.index_add(0, index, -log_density(ramachandran_density(kind), phi_psi[index]))
    return out
