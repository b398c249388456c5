"""Turns hydroxyl, thiol and ammonium hydrogens to where they bond best and touch least, as Reduce does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from burnish.chemistry.all_atom import AllAtomModel, FloatArray, IntArray, Rotor

STEP_DEG = 10.0
BUMP_WEIGHT, BOND_WEIGHT = 10.0, 4.0  # of overlap volumes in Reduce's score (Word et al. 1999, J. Mol. Biol. 285, 1735)
BOND_OVERLAP = 0.6  # Å; overlap of a hydrogen bond beyond which it counts as a bump
REACH = 3.5  # Å from hydrogen to what it may touch


def turn_polar_hydrogens(model: AllAtomModel, *, sweeps: int = 2) -> AllAtomModel:
    """The model with its freely turning hydrogens at their best angles, found one rotor after the other.

    Parameters
    ----------
    model : with `rotors`; it is not changed.
    sweeps : times that every rotor is visited; a rotor sees the others where they are.
    """
    xyz = model.xyz.copy()
    if not model.rotors:
        return model
    heavy_tree = cKDTree(model.xyz)
    for _ in range(sweeps):
        for rotor in model.rotors:
            around = _surroundings(model, heavy_tree, xyz, rotor)
            angles = np.radians(np.arange(0.0, 120.0 if len(rotor.hydrogens) == 3 else 360.0, STEP_DEG))
            trials = _turned(xyz, rotor, angles)
            scores = _scores(model, xyz, trials, rotor, around)
            xyz[list(rotor.hydrogens)] = trials[int(scores.argmax())]
    return replace(model, xyz=xyz)


def _surroundings(model: AllAtomModel, tree: cKDTree, xyz: FloatArray, rotor: Rotor) -> IntArray:
    """Atoms that the rotor's hydrogens may meet, without those a few bonds away."""
    near = np.array(tree.query_ball_point(xyz[rotor.axis[1]], REACH + 1.5), dtype=np.int64)
    first = rotor.hydrogens[0]
    start, end = model.excluded.indptr[first], model.excluded.indptr[first + 1]
    near = near[~np.isin(near, model.excluded.indices[start:end])]
    a, b = model.altloc[first], model.altloc[near]
    return near[(a == 0) | (b == 0) | (a == b)]


def _turned(xyz: FloatArray, rotor: Rotor, angles: FloatArray) -> FloatArray:
    """Positions of the rotor's hydrogens at each angle from where they are. (angles, hydrogens, 3)"""
    origin = xyz[rotor.axis[1]]
    unit = origin - xyz[rotor.axis[0]]
    unit = unit / np.linalg.norm(unit)
    relative = xyz[list(rotor.hydrogens)] - origin
    cos, sin = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    along = (relative @ unit)[:, None] * unit
    return origin + relative * cos + np.cross(unit, relative) * sin + along * (1.0 - cos)


def _scores(model: AllAtomModel, xyz: FloatArray, trials: FloatArray, rotor: Rotor, around: IntArray) -> FloatArray:
    """Bonds minus bumps at each angle, with a slight preference for staggered positions (the first angle)."""
    if len(around) == 0:
        return -np.arange(len(trials), dtype=float)
    distance = np.linalg.norm(trials[:, :, None, :] - xyz[around], axis=3)
    radii = model.radius[list(rotor.hydrogens)][:, None] + model.radius[around]
    overlap = radii - distance
    may_bond = model.is_acceptor[around]
    bond = np.clip(overlap, -0.2, BOND_OVERLAP) + 0.2
    bump = np.where(may_bond, np.clip(overlap - BOND_OVERLAP, 0.0, None), np.clip(overlap, 0.0, None))
    score = BOND_WEIGHT * np.where(may_bond, bond, 0.0).sum(axis=(1, 2)) - BUMP_WEIGHT * (bump**1.5).sum(axis=(1, 2))
    return score - 1e-3 * np.arange(len(trials))
