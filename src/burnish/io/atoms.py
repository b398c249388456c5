"""Atoms of a model for making density: what `io.models` refuses to refine is still good enough to simulate."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import gemmi

from burnish.core.errors import DataError
from burnish.data.atoms import Atoms
from burnish.io.models import atoms_of


def read_atoms(path: Path, *, chains: Collection[str] = (), waters: bool = False) -> Atoms:
    """Read the first model of an mmCIF or PDB file, without waters and without all but the first conformer.

    Parameters
    ----------
    path : mmCIF or PDB, gzip'd or not.
    chains : names to keep; all where empty.
    waters : keep them.
    """
    path = Path(path)
    try:
        structure = gemmi.read_structure(str(path))
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{path}: no atomic model ({' '.join(str(error).split())})") from None
    if not len(structure) or not structure[0].count_atom_sites():
        raise DataError(f"{path}: no atoms in it; expected an mmCIF or PDB model")
    structure.setup_entities()
    structure.remove_alternative_conformations()
    if not waters:
        structure.remove_waters()
    names = [chain.name for chain in structure[0]]
    missing = [c for c in chains if c not in names]
    if missing:
        raise DataError(f"{path}: no chain {missing[0]} (chains here: {', '.join(names)})")
    for name in names:
        if chains and name not in chains:
            structure[0].remove_chain(name)
    structure.remove_empty_chains()
    return atoms_of(structure)
