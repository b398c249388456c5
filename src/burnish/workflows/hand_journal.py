"""Edits of a model as residues before and after, applied either way, and the file that keeps them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi

from burnish.core.errors import DataError

Rows = dict[str, dict[str, Any] | None]  # residue by chain, number and name; None where there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One change.

    Attributes
    ----------
    number : from 1.
    command : what was asked.
    label : residue that it is about.
    note : what was done.
    density : mean density at the atoms before and after, σ; None where atoms came or went.
    before, after : residues that differ.
    """

    number: int
    command: dict[str, Any]
    label: str
    note: str
    density: tuple[float, float] | None
    before: Rows
    after: Rows


def residue_rows(structure: gemmi.Structure) -> dict[str, dict[str, Any]]:
    """Every residue of the first model as plain values, by "chain|number|name"."""
    found = {}
    for chain in structure[0]:
        for residue in chain:
            found[f"{chain.name}|{residue.seqid}|{residue.name}"] = {
                "het": residue.het_flag,
                "subchain": residue.subchain,
                "kind": residue.entity_type.name,
                "atoms": [_row(atom) for atom in residue],
            }
    return found


def _row(atom: gemmi.Atom) -> list[Any]:
    aniso = list(atom.aniso.elements_pdb()) if atom.aniso.nonzero() else []
    altloc = "" if atom.altloc == "\0" else atom.altloc
    return [atom.name, altloc, atom.element.name, atom.charge, *atom.pos.tolist(), atom.b_iso, atom.occ, *aniso]


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Rows, Rows]:
    """Residues that differ, as they were and as they are."""
    keys = [k for k in (*before, *(k for k in after if k not in before)) if before.get(k) != after.get(k)]
    return {k: before.get(k) for k in keys}, {k: after.get(k) for k in keys}


def patched(structure: gemmi.Structure, rows: Rows) -> gemmi.Structure:
    """The model with these residues as given; those given as None are removed."""
    changed = structure.clone()
    model = changed[0]
    for key, record in sorted(rows.items(), key=lambda item: item[1] is not None):  # removals first
        chain_name, number, name = key.split("|")
        chain = next((c for c in model if c.name == chain_name), None)
        if chain is None:
            if record is None:
                continue
            chain = model.add_chain(gemmi.Chain(chain_name))
        seqid = gemmi.SeqId(number)
        at = next((k for k, r in enumerate(chain) if r.seqid == seqid and r.name == name), None)
        if record is None:
            if at is not None:
                del chain[at]
            continue
        residue = _residue(seqid, name, record)
        if at is not None:
            old = chain[at]
            while len(old):
                del old[len(old) - 1]
            for atom in residue:
                old.add_atom(atom)
        else:
            later = (k for k, r in enumerate(chain) if (r.seqid.num or 0) > (seqid.num or 0))
            chain.add_residue(residue, next(later, -1))
    changed.remove_empty_chains()
    return changed


def _residue(seqid: gemmi.SeqId, name: str, record: dict[str, Any]) -> gemmi.Residue:
    residue = gemmi.Residue()
    residue.name, residue.seqid, residue.het_flag = name, seqid, record["het"]
    residue.subchain, residue.entity_type = record["subchain"], getattr(gemmi.EntityType, record["kind"])
    for atom_name, altloc, element, charge, x, y, z, b_iso, occ, *aniso in record["atoms"]:
        atom = gemmi.Atom()
        atom.name, atom.element, atom.charge = atom_name, gemmi.Element(element), charge
        atom.altloc = altloc or "\0"
        atom.pos, atom.b_iso, atom.occ = gemmi.Position(x, y, z), b_iso, occ
        if aniso:
            atom.aniso = gemmi.SMat33f(*aniso)
        residue.add_atom(atom)
    return residue


class Journal:
    """`journal.jsonl`: one line an edit, undo or redo, on the disk before the answer goes out."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, edit: Edit) -> None:
        """Keep an edit."""
        self._write({"edit": edit.number, **{k: getattr(edit, k) for k in Edit.__slots__ if k != "number"}})

    def mark(self, what: str) -> None:
        """Keep an undo or a redo."""
        self._write({what: True})

    def read(self) -> tuple[list[Edit], list[Edit]]:
        """Edits that stand, and edits that were taken back, the last first; a line cut off by a kill is left out.

        Raises
        ------
        DataError : a line that is whole is no edit.
        """
        done: list[Edit] = []
        undone: list[Edit] = []
        if not self.path.is_file():
            return done, undone
        text = self.path.read_text(encoding="utf-8")
        for number, line in enumerate(text[: text.rfind("\n") + 1].splitlines(), start=1):
            try:
                record = json.loads(line)
                if "undo" in record:
                    undone.append(done.pop())
                elif "redo" in record:
                    done.append(undone.pop())
                else:
                    done.append(Edit(number=record.pop("edit"), **record))
                    undone = []
            except (ValueError, KeyError, TypeError, IndexError):
                raise DataError(f"{self.path}: line {number} is no record of an edit; the file is damaged") from None
        return done, undone

    def _write(self, record: dict[str, Any]) -> None:
        self._drop_what_was_cut_off()
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _drop_what_was_cut_off(self) -> None:
        """Remove half a line that a killed process left at the end."""
        if not self.path.is_file() or self.path.stat().st_size == 0:
            return
        content = self.path.read_bytes() if self.path.stat().st_size < 1 << 16 else self._tail()
        if not content.endswith(b"\n"):
            whole = self.path.stat().st_size - (len(content) - content.rfind(b"\n") - 1)
            os.truncate(self.path, whole)

    def _tail(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(-(1 << 16), os.SEEK_END)
            return file.read()
