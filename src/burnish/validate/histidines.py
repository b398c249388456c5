"""Which nitrogens of histidines carry a hydrogen, chosen by what they bond to, as Reduce does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from burnish.chemistry.all_atom import AllAtomModel, FloatArray, IntArray
from burnish.validate.flips import contact_score

BOTH_PENALTY = 0.05  # of the score; Reduce's for a histidine with both hydrogens
REACH = 4.0  # Å from a nitrogen to what it or its hydrogen may touch


def protonate_histidines(model: AllAtomModel) -> AllAtomModel:
    """The model with the hydrogens of histidine side chains that make the best contacts; others get no occupancy.

    Parameters
    ----------
    model : with hydrogens on both nitrogens of each histidine; it is not changed.

    Notes
    -----
    A nitrogen is scored with its hydrogen, or bare as an acceptor; one at least keeps its hydrogen (Word et al. 1999,
    J. Mol. Biol. 285, 1735).
    """
    places = _nitrogens(model)
    if not places:
        return model
    tree, occ = cKDTree(model.xyz), model.occ.copy()
    for (n1, h1), (n2, h2) in places:
        ring = (n1, h1, n2, h2)
        with_h1, bare1 = _score(model, tree, occ, h1, ring), _score(model, tree, occ, n1, ring)
        with_h2, bare2 = _score(model, tree, occ, h2, ring), _score(model, tree, occ, n2, ring)
        states = (with_h1 + bare2, bare1 + with_h2, with_h1 + with_h2 - BOTH_PENALTY)
        best = int(np.argmax(states))
        if best == 0:
            occ[h2] = 0.0
        elif best == 1:
            occ[h1] = 0.0
    return replace(model, occ=occ)


def _nitrogens(model: AllAtomModel) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Both nitrogens of each histidine with their hydrogens, where all four are there."""
    found: dict[tuple[str, str, str], dict[str, int]] = {}
    for i, site in enumerate(model.structure[0].all()):
        if site.residue.name == "HIS" and site.atom.name in ("ND1", "HD1", "NE2", "HE2"):
            key = (site.chain.name, str(site.residue.seqid), site.atom.altloc)
            found.setdefault(key, {})[site.atom.name] = i
    return [((names["ND1"], names["HD1"]), (names["NE2"], names["HE2"])) for names in found.values() if len(names) == 4]


def _score(model: AllAtomModel, tree: cKDTree, occ: FloatArray, atom: int, ring: tuple[int, ...]) -> float:
    """Hydrogen bonds minus bumps of one atom with all that is not bonded to it."""
    near: IntArray = np.array(tree.query_ball_point(model.xyz[atom], REACH), dtype=np.int64)
    start, end = model.excluded.indptr[atom], model.excluded.indptr[atom + 1]
    near = near[~np.isin(near, model.excluded.indices[start:end]) & ~np.isin(near, ring) & (occ[near] > 0.1)]
    a, b = model.altloc[atom], model.altloc[near]
    near = near[(a == 0) | (b == 0) | (a == b)]
    return contact_score(model, np.array([atom]), model.xyz[[atom]], near)
