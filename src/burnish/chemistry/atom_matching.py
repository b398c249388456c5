"""Names for the atoms of a molecule, from a residue of the model that has the same bonds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gemmi
import numpy as np

from burnish.core.errors import DataError

BOND_FACTOR = 1.25  # of the sum of covalent radii, up to which two atoms of the model count as bonded
MAX_MATCHES = 2000


def take_names(molecule: Any, residue: gemmi.Residue) -> None:
    """Give the heavy atoms of a molecule the names that a residue has for them, and its hydrogens names from those.

    Parameters
    ----------
    molecule : RDKit molecule with coordinates; the property "name" of its atoms is set anew.
    residue : of the model; it may lack atoms. Its bonds are judged by distance, and where the molecule has symmetry,
        the naming that keeps most of its chiral centres is taken.

    Raises
    ------
    DataError : no part of the molecule is bonded like the residue.
    """
    from rdkit import Chem

    seen = _first_conformer(residue)
    heavy = [atom.GetIdx() for atom in molecule.GetAtoms() if atom.GetAtomicNum() > 1]
    pattern = _plain([atom.element.name for atom in seen], _bonds_by_distance(seen))
    position = {index: k for k, index in enumerate(heavy)}
    edges = [
        (position[bond.GetBeginAtomIdx()], position[bond.GetEndAtomIdx()])
        for bond in molecule.GetBonds()
        if bond.GetBeginAtomIdx() in position and bond.GetEndAtomIdx() in position
    ]
    target = _plain([molecule.GetAtomWithIdx(index).GetSymbol() for index in heavy], edges)
    matches = target.GetSubstructMatches(pattern, uniquify=False, maxMatches=MAX_MATCHES)
    if not matches:
        raise DataError(
            f"its {len(seen)} heavy atoms in the model are not bonded as in the SMILES, which has {len(heavy)}"
            " (bonds of the model are judged by distance)"
        )
    centres = [index for index, _ in Chem.FindMolChiralCenters(molecule, includeUnassigned=False)]
    places = np.array([atom.pos.tolist() for atom in seen])
    ideal = molecule.GetConformer().GetPositions()

    def agreement(match: Sequence[int]) -> int:
        where = {heavy[k]: places[row] for row, k in enumerate(match)}
        return sum(_same_hand(molecule, centre, ideal, where) for centre in centres)

    best = max(matches, key=agreement)
    names = {heavy[k]: seen[row].name for row, k in enumerate(best)}
    _set_names(molecule, names)


def _first_conformer(residue: gemmi.Residue) -> list[gemmi.Atom]:
    atoms: dict[str, gemmi.Atom] = {}
    for atom in residue:
        if not atom.is_hydrogen():
            atoms.setdefault(atom.name, atom)
    return list(atoms.values())


def _bonds_by_distance(atoms: Sequence[gemmi.Atom]) -> list[tuple[int, int]]:
    return [
        (i, j)
        for i, first in enumerate(atoms)
        for j, second in enumerate(atoms[:i])
        if first.pos.dist(second.pos) < BOND_FACTOR * (first.element.covalent_r + second.element.covalent_r)
    ]


def _plain(elements: Sequence[str], bonds: Sequence[tuple[int, int]]) -> Any:
    """Molecule of elements and bonds alone, whatever their order."""
    from rdkit import Chem

    editable = Chem.RWMol()
    for element in elements:
        atom = Chem.Atom(element)
        atom.SetNoImplicit(True)
        editable.AddAtom(atom)
    for first, second in bonds:
        editable.AddBond(first, second, Chem.BondType.SINGLE)
    plain = editable.GetMol()
    plain.UpdatePropertyCache(strict=False)
    return plain


def _same_hand(molecule: Any, centre: int, ideal: np.ndarray, where: dict[int, np.ndarray]) -> bool:
    around = [other.GetIdx() for other in molecule.GetAtomWithIdx(centre).GetNeighbors() if other.GetIdx() in where]
    if centre not in where or len(around) < 3:
        return False
    a, b, c = around[:3]
    wanted = np.linalg.det(np.stack([ideal[a], ideal[b], ideal[c]]) - ideal[centre])
    found = np.linalg.det(np.stack([where[a], where[b], where[c]]) - where[centre])
    return bool(wanted * found > 0)


def _set_names(molecule: Any, names: dict[int, str]) -> None:
    """Set the names given; other atoms get new ones, hydrogens after the atom that they sit on."""
    taken = set(names.values())
    for atom in molecule.GetAtoms():
        if atom.GetIdx() in names:
            atom.SetProp("name", names[atom.GetIdx()])
            continue
        stem = atom.GetSymbol().upper()
        if atom.GetAtomicNum() == 1:
            parent = atom.GetNeighbors()[0].GetIdx()
            stem = "H" + (names[parent].lstrip("CNOS") if parent in names else "")
        new = next(label for k in range(1, 1000) if (label := f"{stem}{k}") not in taken)
        taken.add(new)
        atom.SetProp("name", new)
