"""What a move sees that adds, removes or renames atoms, and what it hands back.

Moves that only move atoms are `Site`s (see `burnish.rebuild.move`). Moves that change which atoms there are take a
`Scene` and return a `Change`; `burnish.workflows.model_rounds` calls them one after another and makes a new scene
after each that changed something. Their records say in `added` which atoms are new and in `undo` where atoms were
that moved or are gone: to take a move back, remove `added` and put `undo` back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gemmi

from burnish.chemistry.residues import ResidueView
from burnish.data.particle_symmetry import Symmetry
from burnish.rebuild.evidence import Evidence
from burnish.rebuild.move import MoveRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A model without hydrogens and its density at one moment.

    Attributes
    ----------
    structure : the model; not to be changed.
    views : its residues by conformer.
    evidence : maps of it, and its atoms in file order.
    crystal : cell and space group, or symmetry of a particle; None without.
    monlib : dictionaries of its components.
    sequences : three-letter codes of the molecules in the sample as the user gave them; empty where none were given
        and those that the model's file has hold.
    """

    structure: gemmi.Structure
    views: Sequence[ResidueView]
    evidence: Evidence
    crystal: Symmetry | None
    monlib: gemmi.MonLib
    sequences: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a move made of a scene; the structure is the scene's own where nothing was accepted."""

    structure: gemmi.Structure
    records: tuple[MoveRecord, ...] = ()


StructureMove = Callable[[Scene], Change]
