"""Other conformations of a residue: side chains turned about their bonds, backrubs, peptides turned over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from burnish.chemistry.residues import ResidueView
from burnish.chemistry.rotamers import CHI_ATOMS

Array = NDArray[np.float64]
Graph = Mapping[int, Sequence[int]]

BACKBONE = ("N", "CA", "C", "O", "OXT", "H", "HA", "H1", "H2", "H3")


def bond_graph(pairs: NDArray[np.int64]) -> dict[int, list[int]]:
    """Neighbours of each atom through bonds."""
    graph: dict[int, list[int]] = {}
    for i, j in pairs.tolist():
        graph.setdefault(i, []).append(j)
        graph.setdefault(j, []).append(i)
    return graph


def beyond(graph: Graph, near: int, far: int, inside: set[int]) -> list[int]:
    """Atoms on the far side of the bond near–far, `far` itself left out, without leaving `inside`."""
    seen, waiting = {near, far}, [far]
    while waiting:
        for other in graph.get(waiting.pop(), ()):
            if other in inside and other not in seen:
                seen.add(other)
                waiting.append(other)
    return sorted(seen - {near, far})


def turn(xyz: Array, atoms: Sequence[int], origin: Array, axis: Array, angle: float) -> Array:
    """All positions with some atoms turned by `angle`, rad, right-handed about a line. (n, 3)"""
    moved = xyz.copy()
    moved[list(atoms)] = origin + (xyz[list(atoms)] - origin) @ _rotations(axis, np.array([angle]))[0].T
    return moved


def _rotations(axis: Array, angles: Array) -> Array:
    """Matrices of right-handed turns about one direction. (k, 3, 3)"""
    x, y, z = (axis / math.sqrt(float(axis @ axis))).tolist()
    crossed = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    sin, cos = np.sin(angles)[:, None, None], np.cos(angles)[:, None, None]
    return np.asarray(np.eye(3) + sin * crossed + (1.0 - cos) * (crossed @ crossed))


def torsion(xyz: Array, atoms: Sequence[int]) -> float:
    """A torsion angle, rad, in (−π, π], IUPAC sign."""
    a, b, c, d = (xyz[i] for i in atoms)
    (fx, fy, fz), (gx, gy, gz), (hx, hy, hz) = (a - b).tolist(), (b - c).tolist(), (d - c).tolist()
    mx, my, mz = fy * gz - fz * gy, fz * gx - fx * gz, fx * gy - fy * gx
    nx, ny, nz = hy * gz - hz * gy, hz * gx - hx * gz, hx * gy - hy * gx
    sine = (ny * mz - nz * my) * gx + (nz * mx - nx * mz) * gy + (nx * my - ny * mx) * gz
    return math.atan2(sine / math.sqrt(gx * gx + gy * gy + gz * gz), mx * nx + my * ny + mz * nz)


def chi_of(xyz: Array, view: ResidueView) -> tuple[float, ...] | None:
    """Side-chain torsions, rad; None where an atom is missing."""
    atoms = [view.indices(*names) for names in CHI_ATOMS.get(view.name, ())]
    if not atoms or any(a is None for a in atoms):
        return None
    return tuple(torsion(xyz, a) for a in atoms if a is not None)


def with_chi(xyz: Array, view: ResidueView, graph: Graph, chi: Sequence[float]) -> Array:
    """All positions with the side chain at the torsions `chi`, rad. (n, 3)"""
    moved = xyz.copy()
    moved[list(view.atoms.values())] = chi_positions(xyz, view, graph, np.array([chi]))[0]
    return moved


def chi_positions(xyz: Array, view: ResidueView, graph: Graph, chi: Array) -> Array:
    """The atoms of one residue, in the order of `view.atoms`, at many sets of torsions, rad. chi: (k, d) → (k, m, 3)

    Turning about one bond leaves the torsions about the others; what lies beyond several is turned about the outermost
    first, so that every axis is where it was.
    """
    own = list(view.atoms.values())
    place, inside = {a: k for k, a in enumerate(own)}, set(own)
    moved = np.repeat(xyz[own][None], len(chi), axis=0)
    bonds = []
    for names in CHI_ATOMS[view.name][: chi.shape[1]]:
        atoms = view.indices(*names)
        if atoms is None:
            break
        bonds.append(atoms)
    for k, atoms in reversed(list(enumerate(bonds))):
        _, b, c, _ = atoms
        beyond_it = [place[a] for a in beyond(graph, b, c, inside)]
        rotation = _rotations(xyz[c] - xyz[b], chi[:, k] - torsion(xyz, atoms))
        moved[:, beyond_it] = xyz[c] + (moved[:, beyond_it] - xyz[c]) @ rotation.transpose(0, 2, 1)
    return moved


def with_backrub(
    xyz: Array, views: Sequence[ResidueView], index: int, angle: float, peptide_share: float = 0.7
) -> Array | None:
    """All positions after a backrub of one residue; None where a neighbour is missing.

    The residue turns about the line between the Cα atoms before and after it; the peptides on both sides turn back
    about their own Cα–Cα lines, so that their oxygens nearly stay (Davis et al. 2006, Structure 14, 265).
    """
    view = views[index]
    if view.previous < 0 or view.next < 0:
        return None
    before, after = views[view.previous], views[view.next]
    ends = before.indices("CA", "C", "O"), view.indices("CA"), after.indices("CA", "N")
    if any(e is None for e in ends):
        return None
    (ca0, c0, o0), (ca1,), (ca2, n2) = ends  # type: ignore[misc]
    moving = [*view.atoms.values(), c0, o0, n2]
    moved = turn(xyz, moving, xyz[ca0], xyz[ca2] - xyz[ca0], angle)
    c1, o1 = view.atoms["C"], view.atoms["O"]
    n1 = view.atoms["N"]
    moved = turn(moved, [c0, o0, n1], moved[ca0], moved[ca1] - moved[ca0], -peptide_share * angle)
    return turn(moved, [c1, o1, n2], moved[ca1], moved[ca2] - moved[ca1], -peptide_share * angle)


def with_peptide_turned(xyz: Array, views: Sequence[ResidueView], index: int, angle: float) -> Array | None:
    """All positions with the peptide after one residue turned about Cα–Cα; None where an atom is missing."""
    view = views[index]
    if view.next < 0:
        return None
    own, other = view.indices("CA", "C", "O"), views[view.next].indices("CA", "N")
    if own is None or other is None or views[view.next].name == "PRO":
        return None
    ca1, c, o = own
    ca2, n = other
    return turn(xyz, [c, o, n], xyz[ca1], xyz[ca2] - xyz[ca1], angle)
