"""The moves that add what stands beside the polymer, as the options ask for them."""

from __future__ import annotations

from collections.abc import Callable

import gemmi

from burnish.options.rebuild import CycleOptions, RebuildOptions
from burnish.rebuild.additions import add_ligand
from burnish.rebuild.conformer_moves import add_conformers, drop_conformers
from burnish.rebuild.moves.ions import place_ions
from burnish.rebuild.scene import Change, Scene, StructureMove
from burnish.rebuild.sugar_moves import add_sugars
from burnish.workflows.ligand_requests import ligand_requests

COMPONENTS = ("HOH", "NAG", "BMA", "MAN", "FUC", "NA", "MG", "K", "CA", "MN", "ZN", "CL")  # what moves may add


def needed_components(options: RebuildOptions | CycleOptions, structure: gemmi.Structure) -> list[str]:
    """Components of a model and those that moves may add to it."""
    present = {r.name for chain in structure[0] for r in chain}
    return sorted({*present, *COMPONENTS, *ligand_requests(options.ligand).names})


def moves_before(options: RebuildOptions | CycleOptions) -> tuple[StructureMove, ...]:
    """Moves that come before waters are looked for, which would take their density."""
    names = ligand_requests(options.ligand).names
    ligands = tuple(move for name in names for move in [_ligand_move(name, options)] * options.ligand_copies)
    sugars = (add_sugars,) if options.sugars else ()
    return (*ligands, *sugars, *((drop_conformers,) if options.alternates else ()))


def moves_after(options: RebuildOptions | CycleOptions) -> tuple[StructureMove, ...]:
    """Moves that need the waters and side chains in their places."""
    return (*((place_ions,) if options.ions else ()), *((add_conformers,) if options.alternates else ()))


def _ligand_move(name: str, options: RebuildOptions | CycleOptions) -> Callable[[Scene], Change]:
    refused: list[gemmi.Structure] = []  # where the ligand was looked for in vain: the next copy would be as well

    def move(scene: Scene) -> Change:
        present = sum(r.name == name for chain in scene.structure[0] for r in chain)
        if present >= options.ligand_copies or any(scene.structure is s for s in refused):
            return Change(structure=scene.structure)
        change = add_ligand(scene, name, seed=options.seed)
        if not any(r.accepted for r in change.records):
            refused.append(scene.structure)
        return change

    return move
