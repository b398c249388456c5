"""Atoms as a record keeps them: enough to put back what a move took away."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi

from burnish.chemistry.labels import atom_name


@dataclass(frozen=True, slots=True, kw_only=True)
class AtomRow:
    """An atom with everything that a model says of it.

    Attributes
    ----------
    name : as a person writes it, "A 27 LEU CD1 B": chain, number, residue, atom, conformer if any.
    element, charge : of the atom.
    xyz : Å.
    b_iso : Å².
    occ : occupancy.
    u_aniso : U11 U22 U33 U12 U13 U23, Å²; empty where isotropic.
    hetero : whether its residue is marked as HETATM.
    """

    name: str
    element: str
    charge: int
    xyz: tuple[float, float, float]
    b_iso: float
    occ: float
    u_aniso: tuple[float, ...] = ()
    hetero: bool = False


def row_of(site: gemmi.CRA) -> AtomRow:
    """The row of one atom."""
    atom = site.atom
    return AtomRow(
        name=atom_name(site),
        element=atom.element.name,
        charge=atom.charge,
        xyz=(atom.pos.x, atom.pos.y, atom.pos.z),
        b_iso=atom.b_iso,
        occ=atom.occ,
        u_aniso=tuple(atom.aniso.elements_pdb()) if atom.aniso.nonzero() else (),
        hetero=site.residue.het_flag == "H",
    )


def rows_of(structure: gemmi.Structure) -> tuple[AtomRow, ...]:
    """Rows of all heavy atoms of the first model."""
    return tuple(row_of(site) for site in structure[0].all() if not site.atom.is_hydrogen())


def difference(before: gemmi.Structure, after: gemmi.Structure) -> tuple[tuple[str, ...], tuple[AtomRow, ...]]:
    """Names of the atoms that were added, and rows of those that were removed; hydrogens do not count."""
    old = {atom_name(site): site for site in before[0].all() if not site.atom.is_hydrogen()}
    new = {atom_name(site): None for site in after[0].all() if not site.atom.is_hydrogen()}
    added = tuple(name for name in new if name not in old)
    return added, tuple(row_of(site) for name, site in old.items() if name not in new)
