"""Shapes of a ligand: which of its bonds turn, and a set of conformers to start a search from."""

from __future__ import annotations

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
    """Single bonds outside of rings with something to turn on both sides, amides left out."""
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
        is_amide = any(a in carbonyl and heavy[b].el.name == "N" for a, b in ((i, j), (j, i)))
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
    orders = {
        gemmi.BondType.Double: "double",
        gemmi.BondType.Triple: "triple",
        gemmi.BondType.Aromatic: "aromatic",
        gemmi.BondType.Deloc: "aromatic",
    }
    drawing = Drawing(
        title=component.name,
        kind="",
        atoms=tuple(
            DrawnAtom(name=a.id, element=a.el.name, charge=round(a.charge), xyz=(a.xyz.x, a.xyz.y, a.xyz.z))
            for a in component.atoms
        ),
        bonds=tuple((b.id1.atom, b.id2.atom, orders.get(b.type, "single")) for b in component.rt.bonds),
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
