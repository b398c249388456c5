"""Asn, Gln and His side chains that would make better contacts turned by 180°."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from burnish.chemistry.all_atom import AllAtomModel, BoolArray, FloatArray, IntArray
from burnish.chemistry.residues import ResidueView, residue_views

# Atoms of the group that is turned about the bond between the first two
FLIPPED: dict[str, tuple[tuple[str, str], tuple[str, ...]]] = {
    "ASN": (("CB", "CG"), ("OD1", "ND2", "HD21", "HD22")),
    "GLN": (("CG", "CD"), ("OE1", "NE2", "HE21", "HE22")),
    "HIS": (("CB", "CG"), ("ND1", "CD2", "CE1", "NE2", "HD1", "HD2", "HE1", "HE2")),
}
SWAPS = {
    "ASN": {"OD1": "ND2", "ND2": "OD1"},
    "GLN": {"OE1": "NE2", "NE2": "OE1"},
    "HIS": {"ND1": "CD2", "CD2": "ND1", "CE1": "NE2", "NE2": "CE1"},
}
BUMP_WEIGHT, BOND_WEIGHT = 10.0, 4.0
BOND_OVERLAP = 0.6  # Å
METAL_REACH = 2.8  # Å; nitrogens and oxygens closer to a metal are bonded to it
CLEAR_GAIN = 4.0  # of the score: more than one good hydrogen bond, which counts 3.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """One side chain that should be turned.

    Attributes
    ----------
    residue : as a person writes it.
    chain, number, name, altloc : of the residue.
    score, flipped_score : hydrogen bonds minus bumps as it is and turned; higher is better.
    """

    residue: str
    chain: str
    number: str
    name: str
    altloc: str
    score: float
    flipped_score: float


def find_flips(model: AllAtomModel, views: Sequence[ResidueView] | None = None) -> tuple[Flip, ...]:
    """Side chains whose amide or imidazole makes clearly better contacts the other way round.

    Parameters
    ----------
    model : with all hydrogens.
    views : of `model.structure`; made when not given.
    """
    views = residue_views(model.structure[0]) if views is None else views
    tree, held = cKDTree(model.xyz), _held_elsewhere(model)
    found = []
    for view in views:
        if view.name not in FLIPPED or view.kind != "protein":
            continue
        axis_names, group_names = FLIPPED[view.name]
        axis = view.indices(*axis_names)
        group = [view.atoms[n] for n in group_names if n in view.atoms]
        heavy = [n for n in group_names if n in view.atoms and not n.startswith("H")]
        if axis is None or len(heavy) < len([n for n in group_names if not n.startswith("H")]):
            continue
        if held[[view.atoms[n] for n in heavy]].any():
            continue  # a glycan or a metal says which atom is which
        turned = half_turn(model.xyz[group], model.xyz[axis[1]], model.xyz[axis[1]] - model.xyz[axis[0]])
        around = _surroundings(model, tree, np.array(group), view)
        as_is = contact_score(model, np.array(group), model.xyz[group], around)
        flipped = contact_score(model, np.array(group), turned, around)
        if flipped - as_is > CLEAR_GAIN:
            found.append(
                Flip(
                    residue=view.label,
                    chain=view.chain,
                    number=view.number,
                    name=view.name,
                    altloc=view.altloc,
                    score=as_is,
                    flipped_score=flipped,
                )
            )
    return tuple(found)


def _held_elsewhere(model: AllAtomModel) -> BoolArray:
    """Whether each atom is close in bonds to an atom of another residue, or has a metal beside it. (n,)"""
    sites = list(model.structure[0].all())
    residues: dict[tuple[str, str], int] = {}
    residue = np.array([residues.setdefault((s.chain.name, str(s.residue.seqid)), len(residues)) for s in sites])
    pairs = model.excluded.tocoo()
    held = np.zeros(len(sites), dtype=bool)
    held[pairs.row[residue[pairs.row] != residue[pairs.col]]] = True
    metals = np.array([i for i, s in enumerate(sites) if s.atom.element.is_metal], dtype=np.int64)
    for near in cKDTree(model.xyz).query_ball_point(model.xyz[metals], METAL_REACH):
        held[near] = True
    return held


def half_turn(xyz: FloatArray, origin: FloatArray, axis: FloatArray) -> FloatArray:
    """Positions turned by 180° about a line. (n, 3)"""
    unit = axis / np.linalg.norm(axis)
    relative = xyz - origin
    return origin + 2.0 * (relative @ unit)[:, None] * unit - relative


def contact_score(model: AllAtomModel, atoms: IntArray, xyz: FloatArray, around: IntArray) -> float:
    """Hydrogen bonds minus bumps of some atoms, at given positions, with others; higher is better.

    Notes
    -----
    Weights as in Reduce (Word et al. 1999, J. Mol. Biol. 285, 1735), on overlaps instead of dot volumes.
    """
    if len(around) == 0:
        return 0.0
    distance = np.linalg.norm(xyz[:, None, :] - model.xyz[around], axis=2)
    overlap = model.radius[atoms][:, None] + model.radius[around] - distance
    bonds = (model.is_donor[atoms][:, None] & model.is_acceptor[around]) | (
        model.is_acceptor[atoms][:, None] & model.is_donor[around]
    )
    # heavy atoms of donors meet acceptors through their hydrogen; only hydrogens and acceptors are scored as bonds
    shielded = ~bonds & ~model.is_hydrogen[atoms][:, None] & ~model.is_hydrogen[around] & (overlap < 0.6)
    bond = np.where(bonds, np.clip(overlap, -0.2, BOND_OVERLAP) + 0.2, 0.0)
    bump = np.where(bonds, np.clip(overlap - BOND_OVERLAP, 0.0, None), np.clip(overlap - 0.1, 0.0, None))
    bump = np.where(shielded, 0.0, bump)
    return float(BOND_WEIGHT * bond.sum() - BUMP_WEIGHT * (bump**1.5).sum())


def _surroundings(model: AllAtomModel, tree: cKDTree, group: IntArray, view: ResidueView) -> IntArray:
    near = np.unique(
        np.concatenate([np.array(x, dtype=np.int64) for x in tree.query_ball_point(model.xyz[group], 5.0)])
    )
    own = np.array(sorted(view.atoms.values()))
    a, b = ord(view.altloc) if view.altloc else 0, model.altloc[near]
    meets = (b == 0) | (a == 0) | (b == a)
    return near[meets & ~np.isin(near, own) & (model.occ[near] > 0.1)]
