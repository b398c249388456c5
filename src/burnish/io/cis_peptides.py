"""The list of cis peptides of a model by its atoms; that of an input file is of another refinement."""

from __future__ import annotations

import math
from itertools import pairwise

import gemmi

WIDEST = 30.0  # °, of ω from 0 that is called cis
BONDED = 2.0  # Å, the longest C–N that is a peptide bond, stretched by a poor model


def list_cis_peptides(structure: gemmi.Structure) -> None:
    """Replace a structure's list of cis peptides by what its first model shows."""
    found: list[gemmi.CisPep] = []
    for chain in structure[0]:
        residues = [r for r in chain.get_polymer().first_conformer() if _has(r, "CA")]
        for before, after in pairwise(residues):
            omega = _omega(before, after)
            if omega is not None and abs(omega) < WIDEST:
                found.append(_entry(chain.name, before, after, omega))
    structure.cispeps = found


def _has(residue: gemmi.Residue, name: str) -> bool:
    return residue.find_atom(name, "*") is not None


def _omega(before: gemmi.Residue, after: gemmi.Residue) -> float | None:
    """ω of the bond between two residues, °; None where there is none."""
    atoms = [r.find_atom(n, "*") for r, n in ((before, "CA"), (before, "C"), (after, "N"), (after, "CA"))]
    if any(a is None for a in atoms) or atoms[1].pos.dist(atoms[2].pos) > BONDED:
        return None
    return math.degrees(gemmi.calculate_dihedral(*(a.pos for a in atoms)))


def _entry(chain: str, before: gemmi.Residue, after: gemmi.Residue, omega: float) -> gemmi.CisPep:
    item = gemmi.CisPep()
    item.partner_c = gemmi.AtomAddress(chain, before.seqid, before.name, "", "\0")
    item.partner_n = gemmi.AtomAddress(chain, after.seqid, after.name, "", "\0")
    item.model_num, item.only_altloc, item.reported_angle = 1, "\0", round(omega, 2)
    return item
