"""Asn, Gln and His side chains turned by 180° where their contacts say so; density hardly can."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from burnish.chemistry.residues import ResidueView
from burnish.rebuild.memory import Memory
from burnish.rebuild.move import MoveRecord
from burnish.validate.flips import FLIPPED, Flip, half_turn

Array = NDArray[np.float64]


def flip_side_chains(
    xyz: Array,
    views: Sequence[ResidueView],
    flips: Sequence[Flip],
    atom_names: Sequence[str],
    memory: Memory | None = None,
) -> tuple[Array, list[MoveRecord]]:
    """Turn the listed side chains; hydrogens must have been removed.

    Parameters
    ----------
    xyz : positions of all atoms, not changed. (n, 3)
    views : residues by conformer.
    flips : what `validate.flips` found.
    atom_names : for the record.
    memory : of earlier rounds: what was turned once stays.
    """
    moved, records = xyz.copy(), []
    once = np.zeros((1, 3))  # the place in memory of what is not to be done twice, wherever the residue is
    for flip in flips:
        view = next(
            (
                v
                for v in views
                if (v.chain, v.number, v.name, v.altloc) == (flip.chain, flip.number, flip.name, flip.altloc)
            ),
            None,
        )
        if view is None:
            continue
        (first, second), names = FLIPPED[view.name]
        group = [view.atoms[n] for n in names if n in view.atoms]
        axis = view.indices(first, second)
        if axis is None or (memory is not None and memory.would_repeat("amide flip", view.label, once)):
            continue
        if memory is not None:
            memory.remember_failure("amide flip", view.label, once)
        moved[group] = half_turn(moved[group], moved[axis[1]], moved[axis[1]] - moved[axis[0]])
        reason = f"contacts {flip.score:.1f} → {flip.flipped_score:.1f}"
        undo = tuple((atom_names[a], (float(xyz[a][0]), float(xyz[a][1]), float(xyz[a][2]))) for a in group)
        records.append(
            MoveRecord(
                kind="amide flip",
                residue=view.label,
                why="hydrogen bonds and bumps",
                accepted=True,
                reason=reason,
                before=None,
                after=None,
                undo=undo,
            )
        )
    return moved, records
