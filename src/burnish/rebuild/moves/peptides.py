"""Peptides turned over."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from burnish.chemistry.residues import ResidueView
from burnish.rebuild.conformations import Array, with_peptide_turned
from burnish.rebuild.move import Candidate, Site

TURNS_DEG = (180.0, 120.0, -120.0, 150.0, -150.0, 60.0, -60.0)
REFINED, APART = 4, 0.75  # turns that are refined, and Å rms between them: about 40°
ZONE_NAMES = ("N", "CA", "C", "O", "CB")


def peptide_site(xyz: Array, views: Sequence[ResidueView], index: int, why: str) -> Site | None:
    """The peptide after one residue, turned about its Cα–Cα line; None where an atom is missing.

    The zone is the backbone and Cβ of both residues; the other side-chain atoms follow in later moves.
    """
    view = views[index]
    candidates = []
    atoms = _zone(views, index)
    for angle in TURNS_DEG:
        moved = with_peptide_turned(xyz, views, index, math.radians(angle))
        if moved is not None:
            candidates.append(Candidate(name=f"turned {angle:.0f}°", xyz=moved[atoms]))
    if not candidates:
        return None
    peptide = {view.atoms["C"], view.atoms["O"], views[view.next].atoms["N"]}
    return Site(
        kind="peptide flip",
        residue=f"{view.label} – {views[view.next].label}",
        view=index,
        atoms=atoms,
        judged=np.array([a in peptide for a in atoms.tolist()]),
        candidates=tuple(candidates),
        why=why,
        refined=REFINED,
        apart=APART,
    )


def _zone(views: Sequence[ResidueView], index: int) -> np.ndarray:
    view = views[index]
    if view.next < 0:
        return np.array(sorted(view.atoms.values()), dtype=np.int64)
    both = [view, views[view.next]]
    atoms = [a for v in both for n, a in v.atoms.items() if n in ZONE_NAMES]
    if view.previous >= 0:
        atoms += [a for n, a in views[view.previous].atoms.items() if n in ("C", "O")]
    after = views[view.next].next
    if after >= 0:
        atoms += [a for n, a in views[after].atoms.items() if n == "N"]
    return np.array(sorted(set(atoms)), dtype=np.int64)
