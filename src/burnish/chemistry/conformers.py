"""Shapes of a ligand: which of its bonds turn, and a set of conformers to start a search from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np
from numpy.typing import NDArray

from burnish.chemistry.drawings import Drawing, DrawnAtom
from burnish.core.errors import DataError

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """A component's heavy atoms, bonds and conformers.

    Attributes
    ----------
    name : of the component.
    atoms, elements : names and elements. m of each
    bonds : pairs of atoms. (b, 2)
    turning : bonds that can be turned. (t, 2)
    xyz : conformers, Å. (c, m, 3)
    source : how the conformers were made.
    """

    name: str
    atoms: tuple[str, ...]
    elements: tuple[str, ...]
    bonds: Index
    turning: Index
    xyz: Array
    source: str


def ligand_shapes(component: gemmi.ChemComp, count: int, seed: int) -> Shapes:
    """Shapes of a component from its dictionary.

    Parameters
    ----------
    component : with restraints; hydrogens are left out of what is returned.
    count : conformers wanted from RDKit; without RDKit there is the dictionary's one.
    seed : of the conformer search.

    Raises
    ------
    DataError : the dictionary has no coordinates and RDKit is not there to make some.
    """
    heavy = [a for a in component.atoms if not a.is_hydrogen()]
    index = {a.id: k for k, a in enumerate(heavy)}
    bonds = [
        (index[b.id1.atom], index[b.id2.atom], b.type)
        for b in component.rt.bonds
        if b.id1.atom in index and b.id2.atom in index
    ]
    pairs = np.array([(i, j) for i, j, _ in bonds], dtype=np.int64).reshape(-1, 2)
    own = np.array([a.xyz.tolist() for a in heavy]).reshape(-1, 3)
    xyz, source = _embedded(component, count, seed), "RDKit"
    if xyz is None:
        if not np.isfinite(own).all():
            raise DataError(
                f"{component.name}: its dictionary has no coordinates; install RDKit (pip install burnish[ligands]) or "
                "give a dictionary with coordinates"
            )
        xyz, source = own[None], "dictionary"
    return Shapes(
        name=component.name,
        atoms=tuple(a.id for a in heavy),
        elements=tuple(a.el.name for a in heavy),
        bonds=pairs,
        turning=_turning(heavy, bonds),
        xyz=xyz,
        source=source,
    )


def _turning(heavy: list[Any], bonds: list[tuple[int, int, Any]]) -> Index:
    """Single bonds outside of rings with something to turn on both sides, amides left out.

    Amides and ureas whose nitrogen has no hydrogen are no less often cis than trans: they turn.
    """
    graph: dict[int, set[int]] = {}
    for i, j, _ in bonds:
        graph.setdefault(i, set()).add(j)
        graph.setdefault(j, set()).add(i)
    carbonyl = {
        i
        for a, b, kind in bonds
        for i, o in ((a, b), (b, a))
        if kind in (gemmi.BondType.Double, gemmi.BondType.Deloc)
        and heavy[o].el.name in ("O", "S")
        and heavy[i].el.name == "C"
    }
    found = []
    for i, j, kind in bonds:
        is_amide = any(a in carbonyl and heavy[b].el.name == "N" and len(graph[b]) < 3 for a, b in ((i, j), (j, i)))
        if kind != gemmi.BondType.Single or is_amide or min(len(graph[i]), len(graph[j])) < 2:
            continue
        if not _connected_without(graph, i, j):
            found.append((i, j))
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _connected_without(graph: dict[int, set[int]], first: int, second: int) -> bool:
    """Whether two bonded atoms are connected by another way: their bond is in a ring."""
    seen, waiting = {first}, [first]
    while waiting:
        atom = waiting.pop()
        for other in graph[atom]:
            if {atom, other} == {first, second} or other in seen:
                continue
            seen.add(other)
            waiting.append(other)
    return second in seen


def drawn_bonds(component: gemmi.ChemComp) -> tuple[tuple[tuple[str, str, str], ...], dict[str, int]]:
    """Bonds of a dictionary as a chemist draws them, and the charges that go with them.

    Dictionaries call the bonds of carboxylates, phosphates, sulphates and guanidines delocalised, which RDKit knows in
    rings alone: outside of rings, some of those about an atom become double, the others single to charged oxygens.

    Returns
    -------
    Pairs of names with "single", "double", "triple" or "aromatic", and the charge of every atom.
    """
    orders = {
        gemmi.BondType.Double: "double",
        gemmi.BondType.Triple: "triple",
        gemmi.BondType.Aromatic: "aromatic",
        gemmi.BondType.Deloc: "aromatic",
    }
    names = [a.id for a in component.atoms]
    element = {a.id: a.el.name for a in component.atoms}
    charges = {a.id: round(a.charge) for a in component.atoms}
    index = {name: k for k, name in enumerate(names)}
    graph: dict[int, set[int]] = {k: set() for k in range(len(names))}
    for b in component.rt.bonds:
        graph[index[b.id1.atom]].add(index[b.id2.atom])
        graph[index[b.id2.atom]].add(index[b.id1.atom])
    drawn = [(b.id1.atom, b.id2.atom, orders.get(b.type, "single")) for b in component.rt.bonds]
    open_bonds = [
        k
        for k, (b, (one, two, _)) in enumerate(zip(component.rt.bonds, drawn, strict=True))
        if b.type == gemmi.BondType.Deloc and not _connected_without(graph, index[one], index[two])
    ]
    often = Counter(name for k in open_bonds for name in drawn[k][:2])
    shared: dict[str, list[int]] = {}
    for k in open_bonds:
        centre = max(drawn[k][:2], key=lambda name: (often[name], len(graph[index[name]])))
        shared.setdefault(centre, []).append(k)
    for centre, bonds in shared.items():
        ends = {k: next(n for n in drawn[k][:2] if n != centre) for k in bonds}
        double = 2 if element[centre] == "S" and len(graph[index[centre]]) == 4 else 1
        if element[centre] == "N" and len(graph[index[centre]]) == 3:
            charges[centre] = 1

        def order(k: int, ends: dict[int, str] = ends) -> tuple[bool, int, bool, int]:
            """Where a chemist draws a double bond first: oxygens without charge, few neighbours."""
            end = ends[k]
            return charges[end] < 0, -charges[end], element[end] != "O", len(graph[index[end]])

        for rank, k in enumerate(sorted(bonds, key=order)):
            end = ends[k]
            drawn[k] = (centre, end, "double" if rank < double else "single")
            if element[end] == "O" and len(graph[index[end]]) == 1:
                charges[end] = 0 if rank < double else -1
            if rank < double and element[end] == "N" and len(graph[index[end]]) == 3:
                charges[end] = 1
    return tuple(drawn), charges


def _embedded(component: gemmi.ChemComp, count: int, seed: int) -> Array | None:
    """Conformers by RDKit's distance geometry, hands as in the dictionary; None without RDKit or where it fails."""
    try:
        from rdkit import Chem, rdBase
        from rdkit.Chem import rdDistGeom

        from burnish.chemistry.ligands import molecule_of
    except ImportError:
        return None
    if any(not np.isfinite(a.xyz.tolist()).all() or a.el.is_metal for a in component.atoms):
        return None  # RDKit needs coordinates for the hands, and knows little of metal clusters
    bonds, charges = drawn_bonds(component)
    drawing = Drawing(
        title=component.name,
        kind="",
        atoms=tuple(
            DrawnAtom(name=a.id, element=a.el.name, charge=charges[a.id], xyz=(a.xyz.x, a.xyz.y, a.xyz.z))
            for a in component.atoms
        ),
        bonds=bonds,
    )
    quiet: Any = rdBase.BlockLogs()
    try:
        molecule = molecule_of(drawing)
        Chem.AssignStereochemistryFrom3D(molecule)
        settings: Any = rdDistGeom.ETKDGv3()
        settings.randomSeed = seed + 1
        made = list(rdDistGeom.EmbedMultipleConfs(molecule, count, settings))
    except (ValueError, RuntimeError, DataError):
        return None
    finally:
        del quiet
    if not made:
        return None
    place = {a.GetProp("name"): a.GetIdx() for a in molecule.GetAtoms()}
    rows = [place[a.id] for a in component.atoms if not a.is_hydrogen()]
    return np.array([molecule.GetConformer(k).GetPositions()[rows] for k in made])
