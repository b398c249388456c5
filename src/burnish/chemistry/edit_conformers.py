"""Alternate conformers of a residue: made, and taken away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gemmi

NONE = "\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A second conformer for some atoms of a residue.

    Attributes
    ----------
    chain, number, name : of the residue.
    positions : of the second conformer by atom, Å.
    occupancy : of the second conformer; the first one has the rest.
    """

    chain: str
    number: str
    name: str
    positions: Mapping[str, tuple[float, float, float]]
    occupancy: float

    @property
    def label(self) -> str:
        """The residue as a person writes it."""
        return f"{self.chain} {self.number} {self.name}"


def with_conformers(structure: gemmi.Structure, splits: Sequence[Split]) -> gemmi.Structure:
    """The model with a conformer B, and what was there as conformer A, for atoms that had one conformer."""
    wanted = {split.label: split for split in splits}
    grown = structure.clone()
    for chain in grown[0]:
        for residue in chain:
            split = wanted.get(f"{chain.name} {residue.seqid} {residue.name}")
            if split is None:
                continue
            for k in reversed(range(len(residue))):
                atom = residue[k]
                if atom.name not in split.positions or atom.altloc != NONE:
                    continue
                other = atom.clone()
                total = atom.occ
                atom.altloc, atom.occ = "A", total * (1.0 - split.occupancy)
                other.altloc, other.occ = "B", total * split.occupancy
                other.pos = gemmi.Position(*split.positions[atom.name])
                residue.add_atom(other, k + 1)
    return grown


def without_conformer(structure: gemmi.Structure, place: tuple[str, str, str], letter: str) -> gemmi.Structure:
    """The model without one conformer of a residue; what is left alone loses its letter and is fully occupied.

    Parameters
    ----------
    place : chain, number and name of the residue.
    letter : of the conformer that goes.
    """
    left = structure.clone()
    for chain in left[0]:
        for residue in chain:
            if (chain.name, str(residue.seqid), residue.name) != place:
                continue
            for k in reversed(range(len(residue))):
                if residue[k].altloc == letter:
                    del residue[k]
            remaining = {a.altloc for a in residue if a.altloc != NONE}
            if len(remaining) == 1:
                for atom in residue:
                    if atom.altloc != NONE:
                        atom.altloc, atom.occ = NONE, 1.0
    return left
