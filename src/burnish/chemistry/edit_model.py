"""Changes of a model that add, remove or move atoms; every function returns a new structure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import gemmi
import numpy as np
from numpy.typing import NDArray

WATER_CHAIN_NAMES = "WXYZVUTSRQPONMLKJIHGFEDCBA"


def with_positions(structure: gemmi.Structure, xyz: NDArray[np.float64]) -> gemmi.Structure:
    """The model with its atoms, in file order, at other positions, Å. (n, 3)"""
    moved = structure.clone()
    for site, row in zip(moved[0].all(), xyz, strict=True):
        site.atom.pos = gemmi.Position(*row)
    return moved


def without_atoms(structure: gemmi.Structure, atoms: Collection[int]) -> gemmi.Structure:
    """The model without some atoms, by index in file order; residues and chains that become empty go too."""
    left = structure.clone()
    doomed = set(atoms)
    index = sum(len(residue) for chain in left[0] for residue in chain)
    for chain in reversed(list(left[0])):
        for r in reversed(range(len(chain))):
            residue = chain[r]
            for k in reversed(range(len(residue))):
                index -= 1
                if index in doomed:
                    del residue[k]
            if len(residue) == 0:
                del chain[r]
    left.remove_empty_chains()
    return left


def without_hydrogens(structure: gemmi.Structure) -> gemmi.Structure:
    """The model without hydrogens."""
    left = structure.clone()
    left.remove_hydrogens()
    return left


def with_waters(
    structure: gemmi.Structure,
    xyz: Sequence[tuple[float, float, float]],
    b_iso: Sequence[float],
    occ: Sequence[float] | None = None,
) -> tuple[gemmi.Structure, tuple[str, ...]]:
    """The model with waters added to its last chain of waters, or to a new chain.

    Parameters
    ----------
    structure : not changed.
    xyz, b_iso : of each water, Å and Å².
    occ : of each, on an n-fold axis 1/n; 1 by default.

    Returns
    -------
    The model, and what the new waters are called ("W 12 HOH").
    """
    grown = structure.clone()
    model = grown[0]
    name = _water_chain(model)
    if name is None:
        taken = {chain.name for chain in model}
        name = next(n for n in (*WATER_CHAIN_NAMES, *(f"W{k}" for k in range(1000))) if n not in taken)
        model.add_chain(gemmi.Chain(name))
    chain = model[name]
    number = max((r.seqid.num for r in chain if r.seqid.num is not None), default=0)
    labels = []
    for position, b, share in zip(xyz, b_iso, occ or [1.0] * len(xyz), strict=True):
        number += 1
        residue = gemmi.Residue()
        residue.name, residue.seqid, residue.het_flag = "HOH", gemmi.SeqId(number, " "), "H"
        residue.entity_type, residue.subchain = gemmi.EntityType.Water, f"{name}w"
        atom = gemmi.Atom()
        atom.name, atom.element = "O", gemmi.Element("O")
        atom.pos, atom.b_iso, atom.occ = gemmi.Position(*position), b, share
        residue.add_atom(atom)
        chain.add_residue(residue)
        labels.append(f"{name} {number} HOH")
    grown.setup_entities()
    return grown, tuple(labels)


def _water_chain(model: gemmi.Model) -> str | None:
    """The last chain that holds nothing but waters."""
    for chain in reversed(list(model)):
        if len(chain) > 0 and all(residue.is_water() for residue in chain):
            return str(chain.name)
    return None
