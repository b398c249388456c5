"""Faults of a model that a dictionary shows: atoms that it does not know, atoms given twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import gemmi

from burnish.core.errors import DataError

MAX_LISTED = 5

# Names before version 3 of the PDB format that still turn up.
FORMER_NAMES = {"O1P": "OP1", "O2P": "OP2", "O3P": "OP3", "C5M": "C7", "CD": "CD1"} | {
    f"{atom}*": f"{atom}'" for atom in ("C1", "C2", "C3", "C4", "C5", "O2", "O3", "O4", "O5")
}


def check_atoms(source: Path, structure: gemmi.Structure, monlib: gemmi.MonLib) -> None:
    """Raise an error for atoms given twice and for heavy atoms that their dictionary does not know.

    Parameters
    ----------
    source : the file that it came from, for messages.
    structure : the model; only its first model is looked at.
    monlib : dictionaries of all its components.

    Raises
    ------
    DataError : one line that names the first few.
    """
    twice: list[str] = []
    unknown: list[tuple[str, str]] = []
    names: dict[str, set[str]] = {}
    for chain in structure[0]:
        for residue in chain:
            if residue.name not in names:
                names[residue.name] = known_names(residue.name, monlib)
            place = f"{chain.name}/{residue.name} {residue.seqid}"
            counts = Counter((atom.name, atom.altloc) for atom in residue)
            twice += [f"{place}/{name}{_letter(letter)}" for (name, letter), n in counts.items() if n > 1]
            unknown += [
                (f"{place}/{atom.name}", residue.name)
                for atom in residue
                if not atom.is_hydrogen() and atom.name not in names[residue.name]
            ]
    if twice:
        raise DataError(
            f"{source}: {_count(len(twice), 'atom')} given more than once: {_first(twice)};"
            " expected each name once in a residue and conformer; delete or rename the copies"
        )
    if unknown:
        residue_name = unknown[0][1]
        renamed = {place.rsplit("/", 1)[1] for place, _ in unknown} & set(FORMER_NAMES)
        hint = "".join(f"; {old} is now {FORMER_NAMES[old]}" for old in sorted(renamed)[:MAX_LISTED])
        expected = " ".join(sorted(name for name in names[residue_name] if not name.startswith(("H", "D"))))
        raise DataError(
            f"{source}: {_count(len(unknown), 'atom')} misnamed: {_first([place for place, _ in unknown])};"
            f" the dictionary of {residue_name} has {expected}{hint}; rename the atoms, or give the dictionary that"
            " these names belong to with --ligand"
        )


def known_names(residue_name: str, monlib: gemmi.MonLib) -> set[str]:
    """Names of the atoms of a component, with those that its modifications add."""
    if residue_name not in monlib.monomers:
        raise DataError(f"component {residue_name} has no dictionary")
    component = monlib.monomers[residue_name]
    names = {atom.id for atom in component.atoms}
    for modification in monlib.modifications.values():
        if modification.comp_id in ("", residue_name):
            names |= {change.new_id for change in modification.atom_mods if change.func == ord("a")}
    return names


def _letter(altloc: str) -> str:
    return "" if altloc == "\0" else f" (conformer {altloc})"


def _first(items: Sequence[str]) -> str:
    more = f" and {len(items) - MAX_LISTED} more" if len(items) > MAX_LISTED else ""
    return ", ".join(items[:MAX_LISTED]) + more


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}"
