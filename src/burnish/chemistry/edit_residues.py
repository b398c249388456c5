"""Changes of a model residue by residue: atoms added, residues inserted or given another name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAtom:
    """An atom that a residue gets.

    Attributes
    ----------
    name, element : as in the dictionary.
    xyz : Å. (3,)
    b_iso : Å².
    """

    name: str
    element: str
    xyz: Array
    b_iso: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NewResidue:
    """A residue that a chain gets: its name, its number and its atoms."""

    name: str
    number: int
    atoms: tuple[NewAtom, ...]


def with_new_atoms(
    structure: gemmi.Structure,
    atoms: Mapping[int, Sequence[NewAtom]],
    *,
    names: Mapping[int, str] | None = None,
    dropped: Mapping[int, Collection[str]] | None = None,
) -> gemmi.Structure:
    """The model with atoms added to residues, by index of the residue in file order.

    Parameters
    ----------
    structure : not changed.
    atoms : new atoms of each residue; they follow those that it has.
    names : new names of residues.
    dropped : names of atoms that residues lose.
    """
    names, dropped = names or {}, dropped or {}
    grown = structure.clone()
    index = -1
    for chain in grown[0]:
        for residue in chain:
            index += 1
            if index in names:
                residue.name = names[index]
            for k in reversed(range(len(residue))):
                if residue[k].name in dropped.get(index, ()):
                    del residue[k]
            for atom in atoms.get(index, ()):
                residue.add_atom(_atom(atom))
    return grown


def with_residues(structure: gemmi.Structure, place: int, residues: Sequence[NewResidue]) -> gemmi.Structure:
    """The model with residues of a polymer inserted before the residue of index `place`, in the chain of its neighbour.

    Parameters
    ----------
    place : index in file order of the residue that they come before; where the chain of residue `place` − 1 has a
        polymer that ends there, they go to that chain.
    residues : in order along the chain; they must be neighbours in sequence of one of the two.
    """
    grown = structure.clone()
    index = 0
    for chain in grown[0]:
        if index <= place <= index + len(chain):
            at = place - index
            before = chain[at - 1] if at > 0 else None
            numbers = {r.number for r in residues}
            fits_before = before is not None and before.seqid.num in {n - 1 for n in numbers}
            fits_after = at < len(chain) and chain[at].seqid.num in {n + 1 for n in numbers}
            if fits_before or fits_after:
                like = before if fits_before and before is not None else chain[at]
                made = [_residue(residue, like) for residue in residues]  # before the chain moves its residues
                for k, residue in enumerate(made):
                    chain.add_residue(residue, at + k)
                return grown
        index += len(chain)
    raise ValueError(f"no chain has a neighbour of residue {residues[0].number} at place {place}")


def _residue(new: NewResidue, like: gemmi.Residue) -> gemmi.Residue:
    residue = gemmi.Residue()
    residue.name, residue.seqid, residue.het_flag = new.name, gemmi.SeqId(new.number, " "), "A"
    residue.entity_type, residue.subchain, residue.entity_id = gemmi.EntityType.Polymer, like.subchain, like.entity_id
    for atom in new.atoms:
        residue.add_atom(_atom(atom))
    return residue


def _atom(new: NewAtom) -> gemmi.Atom:
    atom = gemmi.Atom()
    atom.name, atom.element = new.name, gemmi.Element(new.element)
    atom.pos, atom.b_iso, atom.occ = gemmi.Position(*new.xyz), new.b_iso, 1.0
    return atom
