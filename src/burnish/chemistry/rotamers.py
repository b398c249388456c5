"""Side-chain torsions: which atoms they turn about, their densities, named rotamers and the field's verdicts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from burnish.chemistry.angle_density import AngleDensity, from_record, levels, log_density, stored_parameters

RotamerVerdict = Literal["favoured", "allowed", "outlier"]

FAVOURED_LEVEL, OUTLIER_LEVEL = 0.02, 0.003  # Hintze et al. 2016, Proteins 84, 1177

CHI_ATOMS: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "ARG": (("N", "CA", "CB", "CG"), ("CA", "CB", "CG", "CD"), ("CB", "CG", "CD", "NE"), ("CG", "CD", "NE", "CZ")),
    "ASN": (("N", "CA", "CB", "CG"), ("CA", "CB", "CG", "OD1")),
    "ASP": (("N", "CA", "CB", "CG"), ("CA", "CB", "CG", "OD1")),
    "CYS": (("N", "CA", "CB", "SG"),),
    "GLN": (("N", "CA", "CB", "CG"), ("CA", "CB", "CG", "CD"), ("CB", "CG", "CD", "OE1")),
    "GLU": (("N", "CA", "CB", "CG"), ("CA", "CB", "CG", "CD"), ("CB", "CG", "CD", "OE1")),
    "HIS": (("N", "CA", "CB", "CG"), ("CA", "CB", "CG", "ND1")),
    "ILE": (("N", "CA", "CB", "CG1"), ("CA", "CB", "CG1", "CD1")),
    "LEU": (("N", "CA", "CB", "CG"), ("CA", "CB", "CG", "CD1")),
    "LYS": (("N", "CA", "CB", "CG"), ("CA", "CB", "CG", "CD"), ("CB", "CG", "CD", "CE"), ("CG", "CD", "CE", "NZ")),
    "MET": (("N", "CA", "CB", "CG"), ("CA", "CB", "CG", "SD"), ("CB", "CG", "SD", "CE")),
    "MSE": (("N", "CA", "CB", "CG"), ("CA", "CB", "CG", "SE"), ("CB", "CG", "SE", "CE")),
    "PHE": (("N", "CA", "CB", "CG"), ("CA", "CB", "CG", "CD1")),
    "PRO": (("N", "CA", "CB", "CG"),),
    "SER": (("N", "CA", "CB", "OG"),),
    "THR": (("N", "CA", "CB", "OG1"),),
    "TRP": (("N", "CA", "CB", "CG"), ("CA", "CB", "CG", "CD1")),
    "TYR": (("N", "CA", "CB", "CG"), ("CA", "CB", "CG", "CD1")),
    "VAL": (("N", "CA", "CB", "CG1"),),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotamer:
    """A named side-chain conformation; angles in rad, one value a torsion."""

    name: str
    frequency: float
    chi: tuple[float, ...]
    esd: tuple[float, ...]


def _table_name(residue: str) -> str:
    return "MET" if residue == "MSE" else residue


@cache
def rotamer_density(residue: str) -> AngleDensity:
    """Density of the side-chain torsions of a residue type (of `CHI_ATOMS`)."""
    return from_record(stored_parameters()["rotamers"][_table_name(residue)])


@cache
def rotamers_of(residue: str) -> tuple[Rotamer, ...]:
    """Named rotamers of a residue type, the most frequent first; empty for glycine, alanine and unknown types."""
    if residue not in CHI_ATOMS:
        return ()
    d = len(CHI_ATOMS[residue])
    listed = stored_parameters()["rotamers"][_table_name(residue)]["rotamers"]
    found = [
        Rotamer(
            name=r["name"],
            frequency=r["frequency"],
            chi=tuple(math.radians(x) for x in r["chi_deg"][:d]),
            esd=tuple(math.radians(x) for x in r["esd_deg"][:d]),
        )
        for r in listed
    ]
    return tuple(sorted(found, key=lambda r: -r.frequency))


def rotamer_levels(residue: str, chi: Tensor) -> Tensor:
    """Fraction of the reference side chains that lie at lower density than each of `chi` (n, d), rad."""
    return levels(rotamer_density(residue), chi)


def rotamer_nll(residue: str, chi: Tensor) -> Tensor:
    """Negative log-density of side chains of one residue type, for scores and restraints; differentiable. (n,)"""
    return -log_density(rotamer_density(residue), chi)


def rotamer_verdict(level: float) -> RotamerVerdict:
    """The field's verdict on a side chain at that level."""
    if level >= FAVOURED_LEVEL:
        return "favoured"
    return "allowed" if level >= OUTLIER_LEVEL else "outlier"


def rotamer_name(residue: str, chi: Tensor) -> str:
    """Name of the listed rotamer nearest to the torsions (d,), in units of its spreads; "" where none is listed."""
    listed = rotamers_of(residue)
    if not listed:
        return ""
    fold = rotamer_density(residue).fold.to(chi)
    mean = torch.tensor([r.chi for r in listed], dtype=chi.dtype)
    esd = torch.tensor([r.esd for r in listed], dtype=chi.dtype)
    turn = 2.0 * math.pi / fold
    away = torch.remainder(chi - mean + 0.5 * turn, turn) - 0.5 * turn
    return listed[int((away / esd).square().sum(-1).argmin())].name
