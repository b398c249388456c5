"""Helices and strands held together where the data do not show their hydrogen bonds.

Which residues belong to them is read from the model by the hydrogen bonds that it has (Kabsch & Sander 1983,
Biopolymers 22, 2577): two turns one after the other make a helix, two bridges a ladder of strands. Their hydrogen bonds
and torsions are then restrained, with a loss that lets go where the data contradict.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from burnish.data.labels import AtomLabels
from burnish.data.restraints import Origin, Restraints
from burnish.geometry.near_points import near_pairs
from burnish.models.restraints.covalent import bond_residuals, torsion_residuals
from burnish.models.restraints.term import Array, Index, Term, robust_term

WEAKEST = -0.5  # kcal/mol; a hydrogen bond is stronger
_COUPLING = 0.084 * 332.0  # kcal Å/mol
_REACH = 5.2  # Å from N to O; farther apart nothing is bonded
_BREAK = 100  # by which the places of residues jump where the chain is broken
HELIX_N_O, STRAND_N_O = 2.99, 2.91  # Å (Baker & Hubbard 1984, Prog. Biophys. Mol. Biol. 44, 97)
N_O_SIGMA = 0.1  # Å
HELIX_TORSIONS, STRAND_TORSIONS = (-63.0, -43.0), (-120.0, 130.0)  # φ, ψ, °
HELIX_SIGMA, STRAND_SIGMA = 10.0, 25.0  # °
_ALPHA = -2.0  # of the robust loss


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainResidues:
    """Residues with a complete backbone, along their chains.

    Attributes
    ----------
    atoms : N, CA, C, O. (n, 4)
    place : along the chain: neighbours differ by one, breaks by more. (n,)
    """

    atoms: Index
    place: Index


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondaryStructure:
    """What is restrained.

    Attributes
    ----------
    pairs, distance : N and O of hydrogen bonds, and how far apart, Å. (m, 2), (m,)
    torsions, angle, sigma : four atoms of φ or ψ, ideal and σ, rad. (k, 4), (k,), (k,)
    helix, strand : numbers of residues.
    """

    pairs: Index
    distance: Array
    torsions: Index
    angle: Array
    sigma: Array
    helix: int
    strand: int


def chain_residues(labels: AtomLabels, restraints: Restraints) -> ChainResidues:
    """Residues in the order of their peptide bonds; of several conformers the first."""
    names = labels.atom_name
    keys = list(zip(labels.chain, labels.number, labels.insertion, strict=True))
    found: dict[tuple[str, int, str], dict[str, int]] = {}
    for i, (key, name) in enumerate(zip(keys, names, strict=True)):
        if name in ("N", "CA", "C", "O"):
            found.setdefault(key, {}).setdefault(name, i)
    bonds = restraints.bonds
    use = (bonds.origin == Origin.PEPTIDE) & (bonds.image == 0)
    after = {}
    for first, second in bonds.atoms[use].tolist():
        c, n = (first, second) if names[first] == "C" else (second, first)
        if (names[c], names[n]) == ("C", "N"):
            after[keys[c]] = keys[n]
    starts = [key for key in found if key not in set(after.values())]
    rows, places, place, seen = [], [], 0, set()
    for start in starts:
        here: tuple[str, int, str] | None = start
        while here is not None and here in found and here not in seen:
            seen.add(here)
            if len(found[here]) == 4:
                rows.append([found[here][name] for name in ("N", "CA", "C", "O")])
                places.append(place)
            place += 1
            here = after.get(here)
        place += _BREAK
    return ChainResidues(atoms=np.array(rows, dtype=np.int64).reshape(-1, 4), place=np.array(places, dtype=np.int64))


def hydrogen_bonds(xyz: Array, residues: ChainResidues) -> set[tuple[int, int]]:
    """Places (of the C=O, of the N–H) of the hydrogen bonds between backbones.

    Notes
    -----
    E = 0.084 · 332 (1/r_ON + 1/r_CH − 1/r_OH − 1/r_CN) kcal/mol below −0.5; the hydrogen lies 1 Å from N, opposite to
    the C=O before it (Kabsch & Sander 1983).
    """
    if len(residues.place) < 2:
        return set()
    n, _, c, o = (xyz[residues.atoms[:, k]] for k in range(4))
    before = {place + 1: i for i, place in enumerate(residues.place.tolist())}
    donors = [(i, before[p]) for i, p in enumerate(residues.place.tolist()) if p in before]
    bonds = set()
    near = _oxygens_near(n, o)
    for i, previous in donors:
        along = c[previous] - o[previous]
        h = n[i] + along / max(float(np.linalg.norm(along)), 1e-6)
        for j in near[i]:
            if abs(int(residues.place[i] - residues.place[j])) < 2:
                continue
            r_on, r_ch, r_oh, r_cn = (
                max(float(np.linalg.norm(a - b)), 0.5) for a, b in ((o[j], n[i]), (c[j], h), (o[j], h), (c[j], n[i]))
            )
            if _COUPLING * (1.0 / r_on + 1.0 / r_ch - 1.0 / r_oh - 1.0 / r_cn) < WEAKEST:
                bonds.add((int(residues.place[j]), int(residues.place[i])))
    return bonds


def _oxygens_near(n: Array, o: Array) -> list[list[int]]:
    """Oxygens within reach of each nitrogen."""
    near: list[list[int]] = [[] for _ in n]
    for i, j in near_pairs(np.concatenate([n, o]), _REACH).tolist():
        if i < len(n) <= j:
            near[i].append(j - len(n))
    return near


def helix_places(bonds: set[tuple[int, int]]) -> set[int]:
    """Residues of α-helices: two turns of four, one after the other, make the four after the first helical."""
    turns = {a for a, b in bonds if b == a + 4}
    return {i + k for i in turns if i - 1 in turns for k in range(4)}


def strand_bridges(bonds: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Pairs of residues in ladders of at least two bridges, the lower place first."""
    near = {a + s for a, _ in bonds for s in (-1, 0, 1)}
    partners: dict[int, set[int]] = {}
    for a, b in bonds:
        for i in (a - 1, a, a + 1):
            partners.setdefault(i, set()).update((b - 1, b, b + 1))
        for i in (b - 1, b, b + 1):
            partners.setdefault(i, set()).update((a - 1, a, a + 1))
    parallel, anti = set(), set()
    for i in sorted(near | set(partners)):
        for j in partners.get(i, ()):
            if j < i + 3:
                continue
            if ((i - 1, j) in bonds and (j, i + 1) in bonds) or ((j - 1, i) in bonds and (i, j + 1) in bonds):
                parallel.add((i, j))
            if ((i, j) in bonds and (j, i) in bonds) or ((i - 1, j + 1) in bonds and (j - 1, i + 1) in bonds):
                anti.add((i, j))
    # ladders: the next bridge lies one or two residues on
    kept = {(i, j) for i, j in parallel if any((i + s, j + s) in parallel for s in (-2, -1, 1, 2))}
    return kept | {(i, j) for i, j in anti if any((i + s, j - s) in anti for s in (-2, -1, 1, 2))}


def find_secondary_structure(labels: AtomLabels, restraints: Restraints, xyz: Array) -> SecondaryStructure:
    """Hydrogen bonds and torsions of the helices and strands that a model has.

    Parameters
    ----------
    xyz : positions, Å. (n_atoms, 3)
    """
    residues = chain_residues(labels, restraints)
    bonds = hydrogen_bonds(xyz, residues)
    helix = helix_places(bonds)
    bridges = strand_bridges(bonds)
    strand = {place for bridge in bridges for place in bridge} - helix
    row = dict(zip(residues.place.tolist(), residues.atoms.tolist(), strict=True))
    pairs, distance = [], []
    for a, b in sorted(bonds):
        in_helix = b == a + 4 and {a + 1, a + 2, a + 3} <= helix
        in_sheet = any((min(p, q), max(p, q)) in bridges for p in (a - 1, a, a + 1) for q in (b - 1, b, b + 1))
        if in_helix or in_sheet:
            pairs.append((row[b][0], row[a][3]))
            distance.append(HELIX_N_O if in_helix else STRAND_N_O)
    torsions, angle, sigma = [], [], []
    for place in sorted(helix | strand):
        ideal, width = (HELIX_TORSIONS, HELIX_SIGMA) if place in helix else (STRAND_TORSIONS, STRAND_SIGMA)
        here, before, after = row.get(place), row.get(place - 1), row.get(place + 1)
        if here is None:
            continue
        if before is not None:
            torsions.append((before[2], here[0], here[1], here[2]))
            angle.append(ideal[0])
            sigma.append(width)
        if after is not None:
            torsions.append((here[0], here[1], here[2], after[0]))
            angle.append(ideal[1])
            sigma.append(width)
    return SecondaryStructure(
        pairs=np.array(pairs, dtype=np.int64).reshape(-1, 2),
        distance=np.array(distance, dtype=np.float64),
        torsions=np.array(torsions, dtype=np.int64).reshape(-1, 4),
        angle=np.radians(np.array(angle, dtype=np.float64)),
        sigma=np.radians(np.array(sigma, dtype=np.float64)),
        helix=len(helix & row.keys()),
        strand=len(strand & row.keys()),
    )


def secondary_structure_terms(xyz: Array, found: SecondaryStructure, weight: float = 1.0) -> tuple[Term, Term]:
    """Hydrogen bonds and torsions, each given up where the data contradict."""
    bonds = bond_residuals(xyz, found.pairs, found.distance, np.full(len(found.distance), N_O_SIGMA))
    period = np.ones(len(found.angle), dtype=np.int64)
    torsions = torsion_residuals(xyz, found.torsions, found.angle, found.sigma, period)
    return (
        robust_term("hydrogen bonds", bonds, len(xyz), _ALPHA, weight),
        robust_term("torsions of helices and strands", torsions, len(xyz), _ALPHA, weight),
    )
