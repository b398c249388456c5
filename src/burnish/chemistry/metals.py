"""Distances between metals and the atoms that hold them."""

from __future__ import annotations

import gemmi

# Target distances in proteins, Å: to O of water, of a main-chain carbonyl and of a carboxylate, to N of histidine, to S
# of cysteine. Harding (2006), Acta Cryst. D62, 678-682, table 1, and Harding (2001), Acta Cryst. D57, 401-411.
DISTANCES: dict[str, dict[str, float]] = {
    "Na": {"water": 2.41, "carbonyl": 2.38, "carboxylate": 2.41},
    "Mg": {"water": 2.07, "carbonyl": 2.26, "carboxylate": 2.07},
    "K": {"water": 2.81, "carbonyl": 2.74, "carboxylate": 2.82},
    "Ca": {"water": 2.39, "carbonyl": 2.36, "carboxylate": 2.36},
    "Mn": {"water": 2.19, "carbonyl": 2.19, "carboxylate": 2.15, "N": 2.21, "S": 2.35},
    "Fe": {"water": 2.09, "carbonyl": 2.04, "carboxylate": 2.04, "N": 2.16, "S": 2.30},
    "Co": {"water": 2.09, "carbonyl": 2.08, "carboxylate": 2.05, "N": 2.14, "S": 2.25},
    "Ni": {"water": 2.09, "carbonyl": 2.10, "carboxylate": 2.06, "N": 2.12, "S": 2.25},
    "Cu": {"water": 2.13, "carbonyl": 2.04, "carboxylate": 1.99, "N": 2.02, "S": 2.15},
    "Zn": {"water": 2.09, "carbonyl": 2.07, "carboxylate": 1.99, "N": 2.03, "S": 2.31},
    "Cd": {"water": 2.33, "carbonyl": 2.30, "carboxylate": 2.30, "N": 2.32, "S": 2.53},
}
CARBOXYLATES = {"ASP": ("OD1", "OD2"), "GLU": ("OE1", "OE2")}
SIGMA = 0.1  # Å; the spread within proteins of .05-.2 Å


def metal_distance(metal: gemmi.Atom, residue: gemmi.Residue, atom: gemmi.Atom) -> float | None:
    """Target distance from a metal to an atom of a residue, Å; None where no table has it.

    Examples
    --------
    >>> zinc, water, oxygen = gemmi.Atom(), gemmi.Residue(), gemmi.Atom()
    >>> zinc.element, oxygen.element, water.name = gemmi.Element("Zn"), gemmi.Element("O"), "HOH"
    >>> metal_distance(zinc, water, oxygen)
    2.09
    """
    table = DISTANCES.get(metal.element.name, {})
    element = atom.element.name
    if element != "O":
        return table.get(element)
    if residue.is_water():
        return table.get("water")
    if atom.name in CARBOXYLATES.get(residue.name, ()) or atom.name == "OXT":
        return table.get("carboxylate")
    return table.get("carbonyl")
