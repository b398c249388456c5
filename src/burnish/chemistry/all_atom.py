"""A model with every hydrogen, and what all-atom contacts need to know of its atoms.

Radii and rules are those of Probe (Word et al. 1999, J. Mol. Biol. 285, 1711), with hydrogens at the centre of their
electron clouds as Probe has them since 2012, so that clash scores mean what the field means by them. Its radii of atoms
that are not metals are Gavezzotti's (1983, J. Am. Chem. Soc. 105, 5220) or Bondi's (1964, J. Phys. Chem. 68, 441);
metals have Pauling's ionic radii.
"""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from burnish.chemistry.edit_model import without_atoms
from burnish.chemistry.links import Linking, complete_links, mend_polymers
from burnish.core.errors import DataError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

RADII = {
    "C": 1.70, "N": 1.55, "O": 1.40, "S": 1.80, "P": 1.80, "Se": 1.90, "As": 2.00, "H": 1.22, "D": 1.22,
    "F": 1.30, "Cl": 1.77, "Br": 1.95, "I": 2.10,
    "Li": 0.60, "Na": 0.95, "Mg": 0.65, "K": 1.33, "Ca": 0.99, "Mn": 0.80, "Fe": 0.74, "Co": 0.70, "Ni": 0.66,
    "Cu": 0.72, "Zn": 0.71, "Cd": 0.91,
}  # fmt: skip
AROMATIC_RADIUS, CARBONYL_RADIUS, POLAR_H_RADIUS, AROMATIC_H_RADIUS = 1.75, 1.65, 1.05, 1.05  # Å
AROMATIC_TYPE = "CR"  # how energy types of carbons in flat rings begin: CR6, CR16, CR5, CR56 …
CARBONYL_CARBONS = {("ASP", "CG"), ("ASN", "CG"), ("GLU", "CD"), ("GLN", "CD")}
BASE_ATOMS = {"N1", "N3", "N7", "N9", "C2", "C4", "C5", "C6", "C8"}
RING_ACCEPTORS = {  # the face of a ring takes hydrogen bonds; not that of a ring of five atoms in a protein
    "PHE": {"CG", "CD1", "CD2", "CE1", "CE2", "CZ"},
    "TYR": {"CG", "CD1", "CD2", "CE1", "CE2", "CZ"},
    "TRP": {"CD2", "CE2", "CE3", "CZ2", "CZ3", "CH2"},
    "HIS": {"ND1", "NE2"},
    **dict.fromkeys(("A", "C", "G", "U", "DA", "DC", "DG", "DT"), BASE_ATOMS),
}
NEGATIVE = {("ASP", "OD1"), ("ASP", "OD2"), ("GLU", "OE1"), ("GLU", "OE2")}
POSITIVE = {("LYS", "NZ"), ("ARG", "NE"), ("ARG", "NH1"), ("ARG", "NH2")}
TURNING = {"SER": "OG", "THR": "OG1", "TYR": "OH", "CYS": "SG", "LYS": "NZ"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotor:
    """Hydrogens that turn freely about the bond from `axis[0]` to `axis[1]`."""

    axis: tuple[int, int]
    hydrogens: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AllAtomModel:
    """Every atom of a model with its hydrogens.

    Attributes
    ----------
    structure : the model with hydrogens; atoms in the order of the arrays.
    xyz : Å. (n, 3)
    radius : van der Waals radius, Å. (n,)
    is_donor : hydrogens on N, O or S, and oxygens of waters without hydrogens. (n,)
    is_acceptor : (n,)
    charge : −1, 0 or 1, for salt bridges. (n,)
    is_hydrogen, is_water : (n,)
    altloc : code of the conformer letter, 0 where there is none. (n,)
    occ : of hydrogens that of the atom that carries them. (n,)
    excluded : pairs that are never contacts, as a symmetric matrix: three bonds apart or less, four where one is a
        hydrogen. (n, n)
    rotors : freely turning hydrogens.
    """

    structure: gemmi.Structure
    xyz: FloatArray
    radius: FloatArray
    is_donor: BoolArray
    is_acceptor: BoolArray
    charge: IntArray
    is_hydrogen: BoolArray
    is_water: BoolArray
    altloc: IntArray
    occ: FloatArray
    excluded: sparse.csr_array
    rotors: tuple[Rotor, ...]


def all_atom_model(structure: gemmi.Structure, library: gemmi.MonLib) -> AllAtomModel:
    """Add every hydrogen anew and describe the atoms for contacts.

    Parameters
    ----------
    structure : the model; it is not changed.
    library : dictionaries of its components. Components that it lacks keep the hydrogens that they have.
    """
    model = structure.clone()
    model.setup_entities()
    mend_polymers(model)
    model.setup_cell_images()
    complete_links(model, library, Linking())
    try:
        topology = gemmi.prepare_topology(
            model,
            library,
            0,
            gemmi.HydrogenChange.ReAddButWater,
            reorder=False,
            warnings=lambda text: None,  # hydrogens that cannot be placed are left out below
            ignore_unknown_links=True,
        )
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{structure.name}: hydrogens could not be added: {error}") from error
    for index, site in enumerate(model[0].all()):
        site.atom.serial = index + 1
    bonded = [(b.atoms[0].serial - 1, b.atoms[1].serial - 1) for b in topology.bonds]
    pairs: IntArray = np.array(bonded, dtype=np.int64).reshape(-1, 2)
    del topology  # it points into the model, which loses atoms now
    doomed = _unplaced(model) | _terminal_extras(model)
    if doomed:
        kept = np.array([i not in doomed for i in range(model[0].count_atom_sites())])
        place = np.cumsum(kept) - 1
        pairs = place[pairs[kept[pairs].all(axis=1)]]
        model = without_atoms(model, doomed)
    return _describe(model, pairs, library)


def _unplaced(model: gemmi.Structure) -> set[int]:
    """Hydrogens whose place could not be found, since their neighbours are missing."""
    return {
        i
        for i, site in enumerate(model[0].all())
        if site.atom.is_hydrogen() and (site.atom.calc_flag == gemmi.CalcFlag.Dummy or not np.isfinite(site.atom.pos.x))
    }


def _terminal_extras(model: gemmi.Structure) -> set[int]:
    """Where the file begins in mid-chain (not at residue 1) the nitrogen carries one hydrogen, as Reduce has it."""
    first = set()
    for chain in model[0]:
        polymer = chain.get_polymer()
        if len(polymer) > 0 and polymer[0].seqid.num != 1 and "N" in polymer[0]:
            first.add((chain.name, str(polymer[0].seqid), polymer[0].name))
    return {
        i
        for i, site in enumerate(model[0].all())
        if site.atom.name in ("H2", "H3")
        and site.atom.is_hydrogen()
        and (site.chain.name, str(site.residue.seqid), site.residue.name) in first
    }


def _describe(model: gemmi.Structure, pairs: IntArray, library: gemmi.MonLib) -> AllAtomModel:
    """Radii, roles and exclusions of every atom from the bonds between them."""
    sites = list(model[0].all())
    n = len(sites)
    xyz = np.array([s.atom.pos.tolist() for s in sites]).reshape(n, 3)
    element = [s.atom.element.name for s in sites]
    is_hydrogen = np.array([s.atom.element.is_hydrogen for s in sites])
    is_water = np.array([s.residue.is_water() for s in sites])
    parent, aromatic = _parents(pairs, is_hydrogen), _aromatic_carbons(model, library)
    radius, donor, acceptor, charge = np.empty(n), np.zeros(n, bool), np.zeros(n, bool), np.zeros(n, dtype=np.int64)
    has_hydrogen = np.zeros(n, bool)
    has_hydrogen[parent[is_hydrogen]] = True
    for i, site in enumerate(sites):
        radius[i] = _radius(site, element[i], sites[parent[i]].atom, aromatic)
        name, residue = site.atom.name, site.residue.name
        if is_hydrogen[i]:
            donor[i] = element[parent[i]] in ("N", "O", "S")
            charge[i] = (residue, sites[parent[i]].atom.name) in POSITIVE
        else:
            nitrogen = element[i] == "N" and not has_hydrogen[i] and name != "N" and residue not in ("PRO", "ARG")
            acceptor[i] = element[i] in ("O", "S") or nitrogen or name in RING_ACCEPTORS.get(residue, ())
            donor[i] = is_water[i] and not has_hydrogen[i]
            negative = (residue, name) in NEGATIVE or name in ("OXT", "OP1", "OP2")
            charge[i] = -1 if negative else 0
    return AllAtomModel(
        structure=model,
        xyz=xyz,
        radius=radius,
        is_donor=donor,
        is_acceptor=acceptor,
        charge=charge,
        is_hydrogen=is_hydrogen,
        is_water=is_water,
        altloc=np.array([ord(s.atom.altloc) if s.atom.altloc != "\0" else 0 for s in sites], dtype=np.int64),
        occ=np.array([sites[p].atom.occ for p in parent]),  # gemmi gives hydrogens that turn freely none
        excluded=_excluded(pairs, is_hydrogen),
        rotors=_rotors(sites, pairs, is_hydrogen),
    )


def _aromatic_carbons(model: gemmi.Structure, library: gemmi.MonLib) -> dict[str, set[str]]:
    """Carbons in flat rings, by component."""
    names = {residue.name for chain in model[0] for residue in chain}
    monomers = {name: library.monomers[name] for name in names if name in library.monomers}
    return {n: {a.id for a in c.atoms if a.chem_type.startswith(AROMATIC_TYPE)} for n, c in monomers.items()}


def _radius(site: gemmi.CRA, element: str, parent: gemmi.Atom, aromatic: dict[str, set[str]]) -> float:
    name, residue = site.atom.name, site.residue.name
    if element in ("H", "D"):
        if parent.element.name in ("N", "O", "S"):
            return POLAR_H_RADIUS
        return AROMATIC_H_RADIUS if parent.name in aromatic.get(residue, ()) else RADII["H"]
    if element == "C":
        if name == "C" or (residue, name) in CARBONYL_CARBONS:
            return CARBONYL_RADIUS
        return AROMATIC_RADIUS if name in aromatic.get(residue, ()) else RADII["C"]
    return RADII.get(element, float(site.atom.element.vdw_r))


def _parents(pairs: IntArray, is_hydrogen: BoolArray) -> IntArray:
    parent = np.arange(len(is_hydrogen), dtype=np.int64)
    for hydrogen, heavy in ((pairs[:, 0], pairs[:, 1]), (pairs[:, 1], pairs[:, 0])):
        riding = is_hydrogen[hydrogen] & ~is_hydrogen[heavy]
        parent[hydrogen[riding]] = heavy[riding]
    return parent


def _excluded(pairs: IntArray, is_hydrogen: BoolArray) -> sparse.csr_array:
    """Pairs up to three bonds apart, four where either end is a hydrogen; and every atom with itself."""
    n = len(is_hydrogen)
    ones = np.ones(len(pairs), dtype=bool)
    bonded = sparse.coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(n, n)).tocsr()
    bonded = bonded + bonded.T + sparse.eye_array(n, dtype=bool, format="csr")
    third = bonded @ bonded @ bonded
    fourth = third @ bonded
    ends = sparse.diags_array(is_hydrogen, dtype=bool)
    return (third + ends @ fourth + fourth @ ends).astype(bool).tocsr()


def _rotors(sites: list[gemmi.CRA], pairs: IntArray, is_hydrogen: BoolArray) -> tuple[Rotor, ...]:
    neighbours: dict[int, list[int]] = {}
    for i, j in pairs.tolist():
        neighbours.setdefault(i, []).append(j)
        neighbours.setdefault(j, []).append(i)
    rotors = []
    for i, site in enumerate(sites):
        turns = TURNING.get(site.residue.name) == site.atom.name
        terminal = site.atom.name == "N" and sum(bool(is_hydrogen[j]) for j in neighbours.get(i, ())) == 3
        hydroxyl = site.atom.element.name == "O" and not site.residue.is_water()
        if is_hydrogen[i] or not (turns or terminal or hydroxyl):
            continue
        heavy = [j for j in neighbours.get(i, ()) if not is_hydrogen[j]]
        light = tuple(j for j in neighbours.get(i, ()) if is_hydrogen[j])
        if len(heavy) == 1 and light:
            rotors.append(Rotor(axis=(heavy[0], i), hydrogens=light))
    return tuple(rotors)
