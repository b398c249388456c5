"""Restraints of a component from its chemical graph: energy types, planes, torsions, chirality and ideal geometry.

RDKit perceives rings, aromaticity and hybridisation. Ideal bonds and angles are those of the minimum of MMFF94s
(Halgren 1999) without charges, which in a vacuum would pull groups together; van der Waals terms stay, because its
angles count on them. Where MMFF has no parameters the coordinates given stand in, and the sigmas are wider.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdForceFieldHelpers

from burnish.chemistry.component import (
    AngleEntry,
    AtomEntry,
    BondEntry,
    ChiralEntry,
    Component,
    PlaneEntry,
    TorsionEntry,
)

BOND_SIGMA, ANGLE_SIGMA_DEG = 0.02, 3.0
ROUGH_BOND_SIGMA, ROUGH_ANGLE_SIGMA_DEG = 0.04, 5.0  # where the geometry is that of some coordinates only

# Bonds to hydrogen, Å. Electron clouds: riding distances at room temperature of SHELXL (Sheldrick 2008, Acta Cryst.
# A64, 112). Nuclei: means of neutron structures (Allen & Bruno 2010, Acta Cryst. B66, 380).
HYDROGEN_DISTANCES = {
    ("C", 1): (0.93, 1.055),
    ("C", 2): (0.93, 1.082),
    ("C", 3): (0.97, 1.092),
    ("N", 2): (0.86, 1.015),
    ("N", 3): (0.89, 1.036),
    ("O", 3): (0.82, 0.983),
    ("S", 3): (1.20, 1.338),
}
HYDROGEN_DISTANCE_ELSE = (1.0, 1.1)
HYDROGEN_SIGMA, NUCLEUS_SIGMA = 0.02, 0.01

# Groups whose bonds MMFF94s has wrong by more than .02 Å, or unlike what resonance makes equal: SMARTS, pairs of its
# atoms, length. Allen et al. (1987), J. Chem. Soc. Perkin Trans. II, S1-S19, table 3. Later rows win.
PUBLISHED_BONDS: tuple[tuple[str, tuple[tuple[int, int], ...], float], ...] = (
    ("[CX3](=O)[NX3]", ((0, 2),), 1.334),
    ("[CX3](=O)[NX3]", ((0, 1),), 1.231),
    ("[CX3](=O)[OX2][#6]", ((0, 2),), 1.336),
    ("[CX3](=O)[OX2][#6]", ((0, 1),), 1.205),
    ("[CX3](=O)[O-]", ((0, 1), (0, 2)), 1.254),
    ("[NX3][CX3](=[NX3+])[NX3]", ((0, 1), (1, 2), (1, 3)), 1.326),
    ("[PX4](=O)[O-]", ((0, 1), (0, 2)), 1.495),
    ("[PX4][OX2][#6]", ((0, 1),), 1.600),
    ("[SX4](=O)(=O)[O-]", ((0, 1), (0, 2), (0, 3)), 1.455),
    ("[N-]=[N+]=[N-]", ((0, 1), (1, 2)), 1.178),
    ("[S-,SX1]C#N", ((0, 1),), 1.640),
)
PUBLISHED_ANGLES: tuple[tuple[str, tuple[tuple[int, int, int], ...], float], ...] = (
    ("[#6][CX3](=O)[O-]", ((0, 1, 2), (0, 1, 3)), 117.7),
    ("[CX3](=O)[O-]", ((1, 0, 2),), 124.5),
    ("[#6][CX3](=O)[NX3;!R]", ((0, 1, 3),), 116.5),
    ("[#6][CX3](=O)[NX3;!R]", ((2, 1, 3),), 122.2),
    ("[#6][CX3](=O)[NX3;!R]", ((0, 1, 2),), 121.3),
)

ORDERS = {
    Chem.BondType.SINGLE: "single",
    Chem.BondType.DOUBLE: "double",
    Chem.BondType.TRIPLE: "triple",
    Chem.BondType.AROMATIC: "aromatic",
}
HYBRIDS = {Chem.HybridizationType.SP: 1, Chem.HybridizationType.SP2: 2, Chem.HybridizationType.SP3: 3}


def perceive(molecule: Chem.Mol, name: str, title: str, group: str, *, conformer: int = -1) -> Component:
    """All restraints of a molecule.

    Parameters
    ----------
    molecule : with all its hydrogens, one conformer, and the property "name" on each atom.
    name, title, group : of the component, the last as CCP4 spells it ("peptide", "non-polymer").
    conformer : of the molecule whose coordinates give the hands of its chiral centres.
    """
    given = molecule.GetConformer(conformer).GetPositions()
    relaxed = relax_bonded(molecule, given)
    ideal = given if relaxed is None else relaxed
    names = [atom.GetProp("name") for atom in molecule.GetAtoms()]
    rough = relaxed is None
    component = Component(name=name, title=title, group=group)
    for atom, place in zip(molecule.GetAtoms(), given, strict=True):
        component.atoms.append(
            AtomEntry(
                name=atom.GetProp("name"),
                element=atom.GetSymbol(),
                energy_type=energy_type(atom),
                charge=atom.GetFormalCharge(),
                xyz=(float(place[0]), float(place[1]), float(place[2])),
            )
        )
    component.bonds = [_bond(bond, names, ideal, rough=rough) for bond in molecule.GetBonds()]
    component.angles = list(_angles(molecule, names, ideal, rough=rough))
    _set_published(molecule, component, names)
    component.planes = list(_planes(molecule, names))
    component.torsions = list(_torsions(molecule, names, given))
    component.chirals = list(_chirals(molecule, names, given))
    return component


def _set_published(molecule: Chem.Mol, component: Component, names: list[str]) -> None:
    """Put published lengths and angles in the place of computed ones."""
    bonds = {frozenset(bond.atoms): bond for bond in component.bonds}
    for smarts, pairs, length in PUBLISHED_BONDS:
        for match in molecule.GetSubstructMatches(Chem.MolFromSmarts(smarts)):
            for i, j in pairs:
                bond = bonds[frozenset((names[match[i]], names[match[j]]))]
                bond.value = bond.nucleus = length
    angles = {(angle.atoms[1], frozenset(angle.atoms)): angle for angle in component.angles}
    for smarts, triples, value in PUBLISHED_ANGLES:
        for match in molecule.GetSubstructMatches(Chem.MolFromSmarts(smarts)):
            for i, j, k in triples:
                i_name, j_name, k_name = (names[match[index]] for index in (i, j, k))
                angles[(j_name, frozenset((i_name, j_name, k_name)))].value = value


def relax_bonded(molecule: Chem.Mol, xyz: np.ndarray) -> np.ndarray | None:
    """Positions at the minimum of MMFF94s without charges; None where it has no parameters."""
    try:
        properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule, mmffVariant="MMFF94s")
    except (RuntimeError, ValueError):
        return None
    if properties is None:
        return None
    properties.SetMMFFEleTerm(False)
    copy = Chem.Mol(molecule)
    conformer = copy.GetConformer()
    for index, place in enumerate(xyz):
        conformer.SetAtomPosition(index, [float(value) for value in place])
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(copy, properties)
    if field is None:
        return None
    field.Initialize()
    field.Minimize(maxIts=2000)
    moved: np.ndarray = copy.GetConformer().GetPositions()
    return moved


def _hybrid(atom: Chem.Atom) -> int:
    return HYBRIDS.get(atom.GetHybridization(), 3)


def _hydrogens(atom: Chem.Atom) -> int:
    return sum(other.GetAtomicNum() == 1 for other in atom.GetNeighbors())


def energy_type(atom: Chem.Atom) -> str:
    """CCP4's name for the chemical surroundings of an atom."""
    element = atom.GetSymbol()
    if element in ("H", "D"):
        return "H"
    chooser = {"C": _carbon_type, "N": _nitrogen_type, "O": _oxygen_type, "S": _sulphur_type}.get(element)
    if chooser is not None:
        return chooser(atom)
    if element == "P":
        return "P" if atom.GetDegree() >= 4 else "P1"
    return element.upper()


def _in_flat_ring(atom: Chem.Atom) -> bool:
    molecule, index = atom.GetOwningMol(), atom.GetIdx()
    return any(index in ring and _is_planar_ring(molecule, ring) for ring in molecule.GetRingInfo().AtomRings())


def _ring_suffix(atom: Chem.Atom) -> str:
    """5, 6, 55, 56 or 66 from the aromatic rings of 5 and 6 atoms that hold the atom."""
    rings = atom.GetOwningMol().GetRingInfo()
    sizes = sorted(size for size in rings.AtomRingSizes(atom.GetIdx()) if size in (5, 6))
    return "".join(str(size) for size in sizes[:2])


def _carbon_type(atom: Chem.Atom) -> str:
    count, hybrid = _hydrogens(atom), _hybrid(atom)
    if hybrid == 1:
        return "CSP1" if count else "CSP"
    if hybrid == 2:
        ring = _ring_suffix(atom) if _in_flat_ring(atom) else ""
        if ring:
            return f"CR1{ring[0]}" if count else f"CR{ring}"
        return f"C{count}" if count else "C"
    return "CT" if count == 0 else f"CH{min(count, 3)}"


def _nitrogen_type(atom: Chem.Atom) -> str:
    count, hybrid, degree = _hydrogens(atom), _hybrid(atom), atom.GetDegree()
    if hybrid == 1:
        return "NSP1" if count else "NSP"
    if hybrid == 2:
        ring = _ring_suffix(atom) if _in_flat_ring(atom) else ""
        if ring:
            if count:
                return f"NR1{ring[0]}"
            return f"NRD{ring[0]}" if degree == 2 else f"NR{ring}"
        return f"NH{min(count, 2)}" if degree >= 3 else f"N2{min(count, 1)}"
    if degree >= 4:
        return f"NT{count}" if count else "NT"
    return f"N3{count}"


def _oxygen_type(atom: Chem.Atom) -> str:
    count = _hydrogens(atom)
    if count == 2:
        return "OH2"
    if count == 1:
        return "OH1"
    neighbours = atom.GetNeighbors()
    if len(neighbours) >= 2:
        return "OC2" if any(other.GetSymbol() == "P" for other in neighbours) else "O2"
    if neighbours:
        kind = neighbours[0].GetSymbol()
        if kind in ("P", "S", "B"):
            return f"O{kind}"
    return "OC" if atom.GetFormalCharge() < 0 or _is_carboxylate(atom) else "O"


def _is_carboxylate(atom: Chem.Atom) -> bool:
    return any(
        other.GetFormalCharge() < 0 and other.GetSymbol() == "O" and other.GetIdx() != atom.GetIdx()
        for carbon in atom.GetNeighbors()
        for other in carbon.GetNeighbors()
    )


def _sulphur_type(atom: Chem.Atom) -> str:
    if _hydrogens(atom):
        return "SH1"
    return {1: "S1", 2: "S2", 3: "S3"}.get(atom.GetDegree(), "S")


def _bond(bond: Chem.Bond, names: list[str], xyz: np.ndarray, *, rough: bool) -> BondEntry:
    i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
    first, second = bond.GetBeginAtom(), bond.GetEndAtom()
    length = nucleus = float(np.linalg.norm(xyz[i] - xyz[j]))
    sigma = nucleus_sigma = ROUGH_BOND_SIGMA if rough else BOND_SIGMA
    if 1 in (first.GetAtomicNum(), second.GetAtomicNum()):
        heavy = second if first.GetAtomicNum() == 1 else first
        length, nucleus = HYDROGEN_DISTANCES.get((heavy.GetSymbol(), _hybrid(heavy)), HYDROGEN_DISTANCE_ELSE)
        sigma, nucleus_sigma = HYDROGEN_SIGMA, NUCLEUS_SIGMA
    order = ORDERS.get(bond.GetBondType(), "single")
    return BondEntry((names[i], names[j]), order, bond.GetIsAromatic(), length, sigma, nucleus, nucleus_sigma)


def _angles(molecule: Chem.Mol, names: list[str], xyz: np.ndarray, *, rough: bool) -> Iterator[AngleEntry]:
    for atom in molecule.GetAtoms():
        centre = atom.GetIdx()
        others = [other.GetIdx() for other in atom.GetNeighbors()]
        for position, i in enumerate(others):
            for j in others[position + 1 :]:
                value = _angle(xyz[i], xyz[centre], xyz[j])
                sigma = ROUGH_ANGLE_SIGMA_DEG if rough else ANGLE_SIGMA_DEG
                yield AngleEntry((names[i], names[centre], names[j]), value, sigma)


def _angle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    u, v = a - b, c - b
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(u, v)), np.dot(u, v))))


def _dihedral(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> float:
    axis = c - b
    n1, n2 = np.cross(b - a, axis), np.cross(axis, d - c)
    return float(np.degrees(np.arctan2(np.dot(np.cross(n1, n2), axis) / np.linalg.norm(axis), np.dot(n1, n2))))


def _is_planar_ring(molecule: Chem.Mol, ring: tuple[int, ...]) -> bool:
    atoms = [molecule.GetAtomWithIdx(index) for index in ring]
    return all(atom.GetIsAromatic() or _hybrid(atom) == 2 for atom in atoms) and len(ring) <= 7


def _planes(molecule: Chem.Mol, names: list[str]) -> Iterator[PlaneEntry]:
    """A plane for each flat ring with its substituents, and one for each trigonal atom outside such rings."""
    in_ring: set[int] = set()
    for ring in molecule.GetRingInfo().AtomRings():
        if not _is_planar_ring(molecule, ring):
            continue
        in_ring |= set(ring)
        members = list(ring)
        for index in ring:
            members += [
                other.GetIdx()
                for other in molecule.GetAtomWithIdx(index).GetNeighbors()
                if other.GetIdx() not in members
            ]
        yield PlaneEntry(tuple(names[index] for index in members))
    for atom in molecule.GetAtoms():
        if atom.GetIdx() in in_ring or _hybrid(atom) != 2 or atom.GetDegree() != 3:
            continue
        yield PlaneEntry((atom.GetProp("name"), *(other.GetProp("name") for other in atom.GetNeighbors())))


def _lead(molecule: Chem.Mol, centre: int, excluded: int) -> int | None:
    """Neighbour that a torsion starts from: heavy before hydrogen, then in the order of the file."""
    others = [other for other in molecule.GetAtomWithIdx(centre).GetNeighbors() if other.GetIdx() != excluded]
    if not others:
        return None
    chosen: int = min(others, key=lambda other: (other.GetAtomicNum() == 1, other.GetIdx())).GetIdx()
    return chosen


def _torsions(molecule: Chem.Mol, names: list[str], xyz: np.ndarray) -> Iterator[TorsionEntry]:
    counts = {"sp3_sp3": 0, "sp2_sp3": 0, "sp2_sp2": 0, "conj": 0}
    flat_rings = [ring for ring in molecule.GetRingInfo().AtomRings() if _is_planar_ring(molecule, ring)]
    for bond in molecule.GetBonds():
        j, k = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        first, second = bond.GetBeginAtom(), bond.GetEndAtom()
        i, l = _lead(molecule, j, k), _lead(molecule, k, j)
        flat = any(j in ring and k in ring for ring in flat_rings)
        if i is None or l is None or flat or 1 in (_hybrid(first), _hybrid(second)):
            continue
        now = _dihedral(xyz[i], xyz[j], xyz[k], xyz[l])
        kind, value, sigma, period = _torsion_kind(bond, _hybrid(first), _hybrid(second), now)
        counts[kind] += 1
        atoms = (names[i], names[j], names[k], names[l])
        yield TorsionEntry(f"{kind}_{counts[kind]}", atoms, value, sigma, period)


def _torsion_kind(bond: Chem.Bond, hybrid1: int, hybrid2: int, now: float) -> tuple[str, float, float, int]:
    """Name, value, sigma and period of the torsion about a bond, from what it joins."""
    in_ring = bond.IsInRing()
    if hybrid1 == 2 and hybrid2 == 2:
        if bond.GetBondType() == Chem.BondType.DOUBLE:
            return "sp2_sp2", 0.0 if abs(now) < 90.0 else 180.0, 5.0, 1
        if bond.GetIsConjugated() and "N" in (bond.GetBeginAtom().GetSymbol(), bond.GetEndAtom().GetSymbol()):
            return "sp2_sp2", 180.0, 5.0, 2  # amides and guanidines
        return "conj", 180.0, 20.0, 2
    if hybrid1 == 3 and hybrid2 == 3:
        return "sp3_sp3", now if in_ring else 180.0, 10.0, 3
    return "sp2_sp3", 0.0, 20.0, 6


def _chirals(molecule: Chem.Mol, names: list[str], xyz: np.ndarray) -> Iterator[ChiralEntry]:
    Chem.AssignStereochemistryFrom3D(molecule)
    for index, label in Chem.FindMolChiralCenters(molecule, includeUnassigned=False):
        del label  # the hand is that of the coordinates
        atom = molecule.GetAtomWithIdx(index)
        others = sorted(atom.GetNeighbors(), key=lambda other: (other.GetAtomicNum() == 1, other.GetIdx()))
        if len(others) < 3:
            continue
        a, b, c = (other.GetIdx() for other in others[:3])
        volume = float(np.dot(xyz[a] - xyz[index], np.cross(xyz[b] - xyz[index], xyz[c] - xyz[index])))
        yield ChiralEntry(names[index], (names[a], names[b], names[c]), "positive" if volume > 0 else "negative")
