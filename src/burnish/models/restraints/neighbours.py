"""Restraints on distances between neighbours that no dictionary knows: like another copy, like a reference, or as
they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from burnish.data.labels import AtomLabels
from burnish.data.restraints import ContactTypes
from burnish.geometry.near_points import near_pairs
from burnish.models.restraints.covalent import bond_residuals
from burnish.models.restraints.term import Array, Index, Mask, Residuals, Term, robust_term, sparse_rows

REACH = 4.2  # Å; neighbours are this near
NCS_SIGMA = 0.05  # Å
REFERENCE_SIGMA = 0.1  # Å
_ALPHA = -2.0  # of the robust loss: pairs that truly differ let go
_LEAST_RESIDUES = 12  # a shorter match is chance
_LEAST_IDENTITY = 0.8  # of residue names among those matched
_LEAST_OVERLAP = 0.5  # of the shorter chain


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Atoms that correspond between two copies of a chain.

    Attributes
    ----------
    chains : names of the two chains.
    atoms : (n, 2).
    """

    chains: tuple[str, str]
    atoms: Index


def find_copies(labels: AtomLabels, types: ContactTypes) -> tuple[Copies, ...]:
    """Copies of chains with the same sequence, whatever their numbering.

    For each two chains the shift of residue numbers that makes most names agree; kept when at least 80 % of the
    residues matched agree and half of the shorter chain is matched.
    """
    chains: dict[str, dict[int, str]] = {}
    polymer = _polymer_residues(labels, types)
    for chain, number, name, use in zip(labels.chain, labels.number, labels.residue_name, polymer, strict=True):
        if use:
            chains.setdefault(chain, {})[number] = name
    place = {
        (c, n, r, a, k): i
        for i, (c, n, r, a, k) in enumerate(
            zip(
                labels.chain,
                labels.number,
                labels.residue_name,
                labels.atom_name,
                types.conformer.tolist(),
                strict=True,
            )
        )
    }
    names = sorted(chains)
    found = []
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            shift = _best_shift(chains[first], chains[second])
            if shift is None:
                continue
            pairs = [
                (i, j)
                for (c, n, r, a, k), i in place.items()
                if c == first and n in chains[first] and (j := place.get((second, n + shift, r, a, k))) is not None
            ]
            heavy = ~types.is_hydrogen.numpy()
            kept = [p for p in pairs if heavy[p[0]]]
            if kept:
                found.append(Copies(chains=(first, second), atoms=np.array(kept, dtype=np.int64)))
    return tuple(found)


def _polymer_residues(labels: AtomLabels, types: ContactTypes) -> Mask:
    """Atoms of residues with at least four heavy atoms: neither waters nor ions are matched by number."""
    key = list(zip(labels.chain, labels.number, strict=True))
    counts: dict[tuple[str, int], int] = {}
    for k, hydrogen in zip(key, types.is_hydrogen.tolist(), strict=True):
        counts[k] = counts.get(k, 0) + (not hydrogen)
    return np.array([counts[k] >= 4 for k in key], dtype=bool)


def _best_shift(first: dict[int, str], second: dict[int, str]) -> int | None:
    """Shift of residue numbers from one chain to another that makes most residue names agree."""
    by_name: dict[str, list[int]] = {}
    for number, name in second.items():
        by_name.setdefault(name, []).append(number)
    votes: dict[int, int] = {}
    for number, name in first.items():
        for other in by_name.get(name, []):
            votes[other - number] = votes.get(other - number, 0) + 1
    if not votes:
        return None
    shift = max(votes, key=lambda s: (votes[s], -abs(s)))
    matched = sum(1 for number in first if number + shift in second)
    shorter = min(len(first), len(second))
    enough = votes[shift] >= max(_LEAST_RESIDUES, _LEAST_OVERLAP * shorter, _LEAST_IDENTITY * matched)
    return shift if enough else None


def neighbour_pairs(xyz: Array, types: ContactTypes, chosen: Mask | None = None) -> Index:
    """Heavy atoms within 4.2 Å that are more than two bonds apart and may be present together. (n, 2)"""
    heavy = ~types.is_hydrogen.numpy()
    if chosen is not None:
        heavy = heavy & chosen
    index = np.flatnonzero(heavy)
    if len(index) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    pairs = index[near_pairs(xyz[index], REACH)]
    conformer = types.conformer.numpy()
    a, b = conformer[pairs[:, 0]], conformer[pairs[:, 1]]
    pairs = pairs[(a == b) | (a == 0) | (b == 0)]
    near = types.near.numpy()[types.near_bonds.numpy() < 3]
    n = len(xyz)
    bonded = np.isin(pairs.min(axis=1) * n + pairs.max(axis=1), near[:, 0] * n + near[:, 1])
    return pairs[~bonded]


def ncs_residuals(xyz: Array, copies: Sequence[Copies], types: ContactTypes) -> Residuals:
    """Differences between a distance in one copy and the same distance in another, for neighbours in the first copy."""
    rows = []
    for copy in copies:
        partner = np.full(len(xyz), -1, dtype=np.int64)
        partner[copy.atoms[:, 0]] = copy.atoms[:, 1]
        pairs = neighbour_pairs(xyz, types, partner >= 0)
        rows.append(np.concatenate([pairs, partner[pairs]], axis=1))
    atoms = np.concatenate(rows) if rows else np.zeros((0, 4), dtype=np.int64)
    zero, sigma = np.zeros(len(atoms)), np.full(len(atoms), NCS_SIGMA)
    first = bond_residuals(xyz, atoms[:, :2], zero, sigma)
    second = bond_residuals(xyz, atoms[:, 2:], zero, sigma)
    deviation = first.value - second.value
    return Residuals(
        value=first.value,
        deviation=deviation,
        z=deviation / sigma,
        atoms=atoms,
        jacobian=np.concatenate([first.jacobian, -second.jacobian], axis=1),
    )


def ncs_term(xyz: Array, copies: Sequence[Copies], types: ContactTypes, weight: float = 1.0) -> Term:
    """Local similarity of copies: each environment is like that of its mate, whole domains may move."""
    return robust_term("NCS", ncs_residuals(xyz, copies, types), len(xyz), _ALPHA, weight)


def jelly_term(xyz: Array, types: ContactTypes, sigma: float) -> Term:
    """Resistance to changes of the distances between neighbours: curvature without energy or gradient.

    Notes
    -----
    Every cycle takes the present distances for ideal ones, so that nothing is pulled back but sudden local changes cost
    (Murshudov et al. 2011, Acta Cryst. D67, 355, §4.5).
    """
    pairs = neighbour_pairs(xyz, types)
    residuals = bond_residuals(xyz, pairs, np.zeros(len(pairs)), np.full(len(pairs), sigma))
    factor = sparse_rows(pairs, residuals.jacobian, len(xyz))
    return Term(name="jelly body", energy=0.0, gradient=np.zeros(3 * len(xyz)), factor=factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceDistances:
    """Distances between neighbours in a better model of the same molecule.

    Attributes
    ----------
    atoms : (n, 2).
    distance : in the reference, Å. (n,)
    """

    atoms: Index
    distance: Array


def reference_distances(
    labels: AtomLabels, types: ContactTypes, reference: AtomLabels, reference_xyz: Array
) -> ReferenceDistances:
    """Distances of a reference model for the atoms that carry the same labels here.

    Parameters
    ----------
    reference_xyz : positions of the reference, Å. (m, 3)
    """
    place = {label: i for i, label in reversed(list(enumerate(reference.keys())))}
    here = [(i, place[label]) for i, label in enumerate(labels.keys()) if label in place]
    if not here:
        return ReferenceDistances(atoms=np.zeros((0, 2), dtype=np.int64), distance=np.zeros(0))
    matched = np.array(here)
    positions = np.full((len(labels), 3), 1e6) + 1e3 * np.arange(len(labels))[:, None]
    positions[matched[:, 0]] = reference_xyz[matched[:, 1]]
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[matched[:, 0]] = True
    pairs = neighbour_pairs(positions, types, chosen)
    distance = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    return ReferenceDistances(atoms=pairs, distance=distance)


def reference_term(xyz: Array, reference: ReferenceDistances, weight: float = 1.0) -> Term:
    """Local distances like those of a reference, given up where the data contradict."""
    sigma = np.full(len(reference.distance), REFERENCE_SIGMA)
    residuals = bond_residuals(xyz, reference.atoms, reference.distance, sigma)
    return robust_term("reference", residuals, len(xyz), _ALPHA, weight)
