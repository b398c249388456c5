"""Clashes between atoms with all hydrogens, as Probe counts them.

Dots cover the van der Waals sphere of an atom; those inside an atom a few bonds away are dropped, and each other one
belongs to the atom that it lies deepest in. A pair of atoms clashes where such a dot lies 0.4 Å or more deep and no
dot of the pair says that it is a hydrogen bond (Word et al. 1999, J. Mol. Biol. 285, 1711; Williams et al. 2018,
Protein Sci. 27, 293).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.spatial import cKDTree

from burnish.chemistry.all_atom import AllAtomModel, FloatArray, IntArray

CLASH_OVERLAP = 0.4  # Å
HYDROGEN_BOND_OVERLAP, SALT_BRIDGE_OVERLAP = 0.6, 0.8  # Å; deeper dots are no hydrogen bond
DOTS_PER_SQUARE_ANGSTROM = 128.0  # Probe has 16 and misses up to .05 Å; from here on scores stay the same
SMALLEST_OCCUPANCY = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """Two atoms that are too close; indices into the all-atom model."""

    first: int
    second: int
    overlap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clashes:
    """All clashes of a model.

    Attributes
    ----------
    score : clashes per 1000 atoms (waters are not counted among the atoms, nor their clashes with each other).
    pairs : the worst first.
    n_atoms : atoms that were counted.
    """

    score: float
    pairs: tuple[Clash, ...]
    n_atoms: int


def find_clashes(model: AllAtomModel) -> Clashes:
    """Find every clash between non-bonded atoms of the model itself (symmetry mates are not looked at)."""
    counted = model.occ > SMALLEST_OCCUPANCY
    n_atoms = int((counted & ~model.is_water).sum())
    tree = cKDTree(model.xyz)
    candidates = _candidate_pairs(model, tree, counted)
    worst: dict[tuple[int, int], float] = {}
    bonds: set[tuple[int, int]] = set()
    partners: dict[int, list[int]] = {}
    for i, j in candidates.tolist():
        partners.setdefault(i, []).append(j)
        partners.setdefault(j, []).append(i)
    for atom, close in partners.items():
        if model.is_water[atom]:
            continue
        for other, depth, is_bond in _dot_overlaps(model, tree, atom, np.array(close), counted):
            key = (min(atom, other), max(atom, other))
            if is_bond:
                bonds.add(key)
            elif depth >= CLASH_OVERLAP:
                worst[key] = max(worst.get(key, 0.0), depth)
    pairs = [Clash(first=int(i), second=int(j), overlap=d) for (i, j), d in worst.items() if (i, j) not in bonds]
    pairs.sort(key=lambda c: -c.overlap)
    return Clashes(score=1000.0 * len(pairs) / max(n_atoms, 1), pairs=tuple(pairs), n_atoms=n_atoms)


def is_hydrogen_bond(model: AllAtomModel, first: IntArray | int, second: IntArray | int) -> np.ndarray:
    """Whether two atoms may make a hydrogen bond: one is a donor's hydrogen, the other an acceptor."""
    return (model.is_donor[first] & model.is_acceptor[second]) | (model.is_donor[second] & model.is_acceptor[first])


def _conformers_meet(model: AllAtomModel, first: IntArray | int, second: IntArray | int) -> np.ndarray:
    a, b = model.altloc[first], model.altloc[second]
    return (a == 0) | (b == 0) | (a == b)


def _candidate_pairs(model: AllAtomModel, tree: cKDTree, counted: np.ndarray) -> IntArray:
    """Pairs whose spheres overlap by enough, not bonded, not both waters."""
    pairs = tree.query_pairs(2.0 * float(model.radius.max()) - CLASH_OVERLAP, output_type="ndarray")
    i, j = pairs[:, 0], pairs[:, 1]
    distance = np.linalg.norm(model.xyz[i] - model.xyz[j], axis=1)
    deep = model.radius[i] + model.radius[j] - distance >= CLASH_OVERLAP
    keep = deep & counted[i] & counted[j] & ~(model.is_water[i] & model.is_water[j]) & _conformers_meet(model, i, j)
    pairs = pairs[keep]
    if len(pairs) == 0:
        return pairs
    bonded = np.asarray(model.excluded[pairs[:, 0], pairs[:, 1]]).reshape(-1)
    return pairs[~bonded]


def _dot_overlaps(
    model: AllAtomModel, tree: cKDTree, atom: int, partners: IntArray, counted: np.ndarray
) -> list[tuple[int, float, bool]]:
    """What the dots of one atom inside its partners lie in: the other atom, the deepest dot, and whether it is a bond.

    Dots that lie in none of `partners`, the atoms that it overlaps by enough, are left out.
    """
    centre, radius = model.xyz[atom], model.radius[atom]
    dots = centre + radius * _unit_dots(round(4.0 * np.pi * radius**2 * DOTS_PER_SQUARE_ANGSTROM))
    dots = dots[(_distances(dots, model.xyz[partners]) < model.radius[partners]).any(axis=1)]
    near = np.array(tree.query_ball_point(centre, radius + float(model.radius.max())), dtype=np.int64)
    near = near[counted[near] & _conformers_meet(model, atom, near) & (near != atom)]
    near = near[np.linalg.norm(model.xyz[near] - centre, axis=1) < radius + model.radius[near]]
    start, end = model.excluded.indptr[atom], model.excluded.indptr[atom + 1]
    bonded = np.isin(near, model.excluded.indices[start:end])
    inside, others = near[bonded], near[~bonded]
    if len(inside):
        dots = dots[(_distances(dots, model.xyz[inside]) >= model.radius[inside]).all(axis=1)]
    if len(dots) == 0 or len(others) == 0:
        return []
    gap = _distances(dots, model.xyz[others]) - model.radius[others]
    cause = gap.argmin(axis=1)
    depth = -gap[np.arange(len(dots)), cause]
    found = []
    for k in np.unique(cause[depth > 0]):
        there = depth[(cause == k) & (depth > 0)]
        other, deepest = int(others[k]), float(there.max())
        charges = model.charge[atom] * model.charge[other]
        if charges <= 0 and is_hydrogen_bond(model, atom, other):
            allowed = SALT_BRIDGE_OVERLAP if charges < 0 else HYDROGEN_BOND_OVERLAP
            through_water = model.is_water[other] and not model.is_hydrogen[atom]  # whose hydrogen is not in the model
            if (deepest if through_water else there.min()) <= allowed:
                found.append((other, deepest, True))
                continue
            deepest -= 0.0 if through_water else allowed
        found.append((other, deepest, False))
    return found


def _distances(first: FloatArray, second: FloatArray) -> FloatArray:
    """Distances of all points (n, 3) from all others (m, 3). (n, m)"""
    return np.asarray(np.linalg.norm(first[:, None] - second, axis=2))


@cache
def _unit_dots(number: int) -> FloatArray:
    """Points spread evenly on the unit sphere (a Fibonacci spiral)."""
    k = np.arange(number) + 0.5
    z = 1.0 - 2.0 * k / number
    around = np.pi * (1.0 + 5.0**0.5) * k
    rho = np.sqrt(1.0 - z**2)
    return np.stack([rho * np.cos(around), rho * np.sin(around), z], axis=1)
