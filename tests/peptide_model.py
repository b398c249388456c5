"""A small peptide with exact torsions, for tests of what is made of torsions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import gemmi
import torch

from burnish.geometry.torsions import place_atoms
from burnish.validate.cbeta import ideal_cbeta

BONDS = {"N": 1.329, "CA": 1.458, "C": 1.525}
ANGLES = {"N": 116.2, "CA": 121.7, "C": 111.0}  # at the atom before the one that is placed


def make_peptide(names: Sequence[str], phi_deg: float, psi_deg: float, omega_deg: float = 180.0) -> gemmi.Structure:
    """A chain A from residue 1 with N, CA, C, O and Cβ, all residues with the same φ and ψ."""

    def place(a, b, c, length, angle, torsion):
        one = torch.tensor([1.0], dtype=torch.float64)
        return place_atoms(
            a[None], b[None], c[None], one * length, one * math.radians(angle), one * math.radians(torsion)
        )[0]

    placed: list[tuple[str, torch.Tensor]] = [
        ("N", torch.tensor([0.0, 0.0, 0.0], dtype=torch.float64)),
        ("CA", torch.tensor([1.458, 0.0, 0.0], dtype=torch.float64)),
        ("C", torch.tensor([2.0, 1.42, 0.0], dtype=torch.float64)),
    ]
    torsions = {"N": psi_deg, "CA": omega_deg, "C": phi_deg}
    for _ in range(len(names) - 1):
        for atom in ("N", "CA", "C"):
            last = [x for _, x in placed[-3:]]
            placed.append((atom, place(*last, BONDS[atom], ANGLES[atom], torsions[atom])))
    structure, model, chain = gemmi.Structure(), gemmi.Model(1), gemmi.Chain("A")
    structure.name = "peptide"
    for k, name in enumerate(names):
        n, ca, c = (x for _, x in placed[3 * k : 3 * k + 3])
        residue = gemmi.Residue()
        residue.name, residue.seqid = name, gemmi.SeqId(k + 1, " ")
        residue.het_flag, residue.entity_type = "A", gemmi.EntityType.Polymer
        atoms = [("N", n, "N"), ("CA", ca, "C"), ("C", c, "C")]
        atoms.append(("O", place(n, ca, c, 1.231, 120.5, psi_deg + 180.0), "O"))
        if name != "GLY":
            atoms.append(("CB", ideal_cbeta(n[None], ca[None], c[None], name)[0], "C"))
        for label, xyz, element in atoms:
            atom = gemmi.Atom()
            atom.name, atom.element, atom.occ, atom.b_iso = label, gemmi.Element(element), 1.0, 20.0
            atom.pos = gemmi.Position(*xyz.tolist())
            residue.add_atom(atom)
        chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    return structure


def positions(structure: gemmi.Structure) -> torch.Tensor:
    """Positions of all atoms of the first model, Å. (n, 3)"""
    return torch.tensor([s.atom.pos.tolist() for s in structure[0].all()], dtype=torch.float64)
