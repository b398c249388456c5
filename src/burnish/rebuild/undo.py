"""Recorded moves taken back: what was added goes, what was removed returns, what was moved goes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import gemmi

from burnish.rebuild.atom_rows import AtomRow, rows_of
from burnish.rebuild.move import MoveRecord

Moved = tuple[str, tuple[float, float, float]]
LOST_WATER_B = 30.0  # Å²; of waters whose record holds no more than their place


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a record says of the atoms of one move.

    Attributes
    ----------
    added : names of atoms that were new.
    removed : atoms that went.
    moved : name and former position of atoms that were moved or went.
    """

    added: tuple[str, ...]
    removed: tuple[AtomRow, ...]
    moved: tuple[Moved, ...]

    @property
    def names(self) -> frozenset[str]:
        """Every atom that the move has touched."""
        return frozenset((*self.added, *(r.name for r in self.removed), *(name for name, _ in self.moved)))


def with_removed_atoms(
    records: Sequence[MoveRecord], before: gemmi.Structure, after: gemmi.Structure
) -> tuple[MoveRecord, ...]:
    """Records of a round with everything that the model said of the atoms that went.

    Parameters
    ----------
    records : as the moves made them; those that list what they removed stay as they are.
    before, after : the model before and after the round.
    """
    rows = {row.name: row for row in rows_of(before)}
    left = {row.name for row in rows_of(after)}
    completed = []
    for record in records:
        gone = tuple(rows[name] for name, _ in record.undo if name in rows and name not in left)
        completed.append(replace(record, removed=gone) if record.accepted and gone and not record.removed else record)
    return tuple(completed)


def take_back(structure: gemmi.Structure, moves: Sequence[Recorded]) -> tuple[gemmi.Structure, tuple[str, ...]]:
    """The model without some moves, the last one first.

    Parameters
    ----------
    structure : not changed. Hydrogens of the residues that are touched are left out; refinement places them anew.
    moves : in the order in which they were made.

    Returns
    -------
    The model, and the names of atoms that were to be moved back and are there no more.
    """
    model = structure.clone()
    lost: list[str] = []
    for move in reversed(moves):
        _drop_hydrogens(model, {_place(name) for name in move.names})
        _remove(model, set(move.added))
        present = {row.name for row in move.removed}
        for row in move.removed:
            _put_back(model, row)
        for name, position in move.moved:
            atom = _find(model, name)
            if atom is not None:
                atom.pos = gemmi.Position(*position)
            elif name not in present and name.split()[2] == "HOH":
                _put_back(
                    model,
                    AtomRow(name=name, element="O", charge=0, xyz=position, b_iso=LOST_WATER_B, occ=1.0, hetero=True),
                )
            else:
                lost.append(name)
    model.remove_empty_chains()
    kept = [c for c in model.connections if all(model[0].find_cra(p, True).atom for p in (c.partner1, c.partner2))]
    model.connections = gemmi.ConnectionList(kept)
    model.setup_entities()
    return model, tuple(lost)


def _place(name: str) -> tuple[str, str, str]:
    """Chain, number and residue of an atom's name."""
    chain, number, residue = name.split()[:3]
    return chain, number, residue


def _letter(name: str) -> str:
    parts = name.split()
    return parts[4] if len(parts) > 4 else "\0"


def _residue(model: gemmi.Structure, place: tuple[str, str, str]) -> gemmi.Residue | None:
    chain = model[0].find_chain(place[0])
    if chain is None:
        return None
    return next((r for r in chain if str(r.seqid) == place[1] and r.name == place[2]), None)


def _find(model: gemmi.Structure, name: str) -> gemmi.Atom | None:
    residue = _residue(model, _place(name))
    return None if residue is None else residue.find_atom(name.split()[3], _letter(name))


def _drop_hydrogens(model: gemmi.Structure, places: set[tuple[str, str, str]]) -> None:
    for place in places:
        residue = _residue(model, place)
        if residue is not None:
            for k in reversed(range(len(residue))):
                if residue[k].is_hydrogen():
                    del residue[k]


def _remove(model: gemmi.Structure, names: set[str]) -> None:
    for place in {_place(name) for name in names}:
        chain = model[0].find_chain(place[0])
        if chain is None:
            continue
        for r in reversed(range(len(chain))):
            residue = chain[r]
            if (chain.name, str(residue.seqid), residue.name) != place:
                continue
            for k in reversed(range(len(residue))):
                letter = f" {residue[k].altloc}" if residue[k].altloc != "\0" else ""
                if f"{' '.join(place)} {residue[k].name}{letter}" in names:
                    del residue[k]
            if len(residue) == 0:
                del chain[r]


def _put_back(model: gemmi.Structure, row: AtomRow) -> None:
    place = _place(row.name)
    if model[0].find_chain(place[0]) is None:
        model[0].add_chain(gemmi.Chain(place[0]))
    chain = model[0][place[0]]
    residue = _residue(model, place)
    if residue is None:
        new = gemmi.Residue()
        new.name, new.seqid, new.het_flag = place[2], gemmi.SeqId(place[1]), "H" if row.hetero else "A"
        at = next((k for k, r in enumerate(chain) if _after(r.seqid, new.seqid)), len(chain))
        chain.add_residue(new, at)
        residue = chain[at]
    if residue.find_atom(row.name.split()[3], _letter(row.name)) is not None:
        return
    atom = gemmi.Atom()
    atom.name, atom.altloc, atom.element = row.name.split()[3], _letter(row.name), gemmi.Element(row.element)
    atom.charge, atom.pos = row.charge, gemmi.Position(*row.xyz)
    atom.b_iso, atom.occ = row.b_iso, row.occ
    if row.u_aniso:
        atom.aniso = gemmi.SMat33f(*row.u_aniso)
    residue.add_atom(atom)


def _after(one: gemmi.SeqId, other: gemmi.SeqId) -> bool:
    return (int(one.num or 0), one.icode) > (int(other.num or 0), other.icode)
