"""Riding hydrogens: how their positions follow from heavier atoms, and how forces on them pass to those.

gemmi places the hydrogens once from the dictionary; afterwards the functions here move them with their parents in every
cycle, which costs a few milliseconds for thousands of atoms and has an exact adjoint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from burnish.data.hydrogens import Riders
from burnish.data.restraints import Restraints

MAX_TILT_AXIS = math.sin(math.radians(45.0))  # of C–H from the axis of three neighbours: beyond, kept as placed
MAX_TILT_PLANE = math.sin(math.radians(15.0))  # out of the plane of two neighbours: beyond, not a planar group
TINY = 1e-12


def make_riders(
    restraints: Restraints, xyz: Tensor, *, distance: Literal["electron", "nucleus"] = "electron"
) -> Riders:
    """Find out how each bonded hydrogen rides.

    Parameters
    ----------
    restraints : whose bonds say what is bonded to what.
    xyz : positions with the hydrogens placed, Å. (n, 3) float64
    distance : whether the hydrogens sit at their electron clouds (X-rays) or at their nuclei (neutrons).

    Notes
    -----
    Three kinds. A parent with three heavy neighbours: along minus the sum of their directions (tetrahedral C–H). With
    two: in the frame of their bisector and difference (CH₂, planar C–H and N–H). With one: in the frame of the bond to
    it and a further atom bonded to that one, so that a methyl group turns with its torsion. A hydrogen whose parent has
    no further atoms to go by (a water's) is not listed: it is a free atom.
    """
    neighbours, lengths = _bonded(restraints, distance)
    is_hydrogen = restraints.contacts.is_hydrogen.tolist()
    conformer = restraints.contacts.conformer.tolist()
    parents = restraints.contacts.parent.tolist()
    x = xyz.detach().cpu().numpy()
    rows: list[tuple[int, int, list[int], list[int], list[float], list[float], float]] = []
    for hydrogen, parent in enumerate(parents):
        if parent == hydrogen:
            continue
        own = (conformer[hydrogen], conformer[parent])
        ways = _frame(hydrogen, parent, own, neighbours, is_hydrogen, conformer, x)
        if ways is not None:
            rows.append((hydrogen, parent, *ways, lengths[(min(hydrogen, parent), max(hydrogen, parent))]))
    if not rows:
        return _no_riders(xyz)
    hydrogens, on, tip, base, first, second, length = zip(*rows, strict=True)
    riders = Riders(
        hydrogen=torch.tensor(hydrogens),
        parent=torch.tensor(on),
        tip=torch.tensor(tip),
        base=torch.tensor(base),
        first=torch.tensor(first, dtype=torch.float64),
        second=torch.tensor(second, dtype=torch.float64),
        offset=torch.zeros(len(rows), 3, dtype=torch.float64),
    )
    return _with_offsets(riders, xyz.detach().cpu().double(), torch.tensor(length, dtype=torch.float64))


def place_hydrogens(xyz: Tensor, riders: Riders) -> Tensor:
    """Positions with every riding hydrogen where its parents put it; differentiable.

    Parameters
    ----------
    xyz : positions, Å; those of the hydrogens themselves do not matter. (n, 3)
    riders : how they ride.
    """
    if len(riders) == 0:
        return xyz.clone()
    return xyz.index_copy(0, riders.hydrogen, _positions(*_gather(xyz, riders), riders))


def riding_jacobians(xyz: Tensor, riders: Riders) -> tuple[Tensor, Tensor]:
    """Derivatives of each hydrogen's position with respect to the atoms that it follows.

    Returns
    -------
    Indices of the atoms: the parent, tips, bases (an atom may occur more than once: its parts add up). (n, 7) int64
    Matrices ∂x_hydrogen,i / ∂x_atom,j. (n, 7, 3, 3)
    """
    atoms = torch.cat([riders.parent[:, None], riders.tip, riders.base], dim=1)
    points = xyz.detach()[atoms]

    def positions(moved: Tensor) -> Tensor:
        return _positions(moved[:, 0], moved[:, 1:4], moved[:, 4:7], riders)

    with torch.enable_grad():
        moved = points.clone().requires_grad_()
        placed = positions(moved)
        rows = [torch.autograd.grad(placed[:, i].sum(), moved, retain_graph=True)[0] for i in range(3)]
    return atoms, torch.stack(rows, dim=2)


def _gather(xyz: Tensor, riders: Riders) -> tuple[Tensor, Tensor, Tensor]:
    return xyz[riders.parent], xyz[riders.tip], xyz[riders.base]


def _positions(parent: Tensor, tip: Tensor, base: Tensor, riders: Riders) -> Tensor:
    offset = riders.offset.to(parent)
    axes = _axes(tip, base, riders)
    return parent + (offset[:, :, None] * axes).sum(1)


def _axes(tip: Tensor, base: Tensor, riders: Riders) -> Tensor:
    """Rows e₁ e₂ e₃ of each hydrogen's frame. (n, 3, 3)"""
    vectors = tip - base
    used = (riders.first.abs() + riders.second.abs()) > 0
    length = torch.where(used, vectors.square().sum(-1), 1.0).sqrt().clamp_min(TINY)
    unit = vectors / length[..., None]
    v1 = (riders.first.to(tip)[..., None] * unit).sum(1)
    v2 = (riders.second.to(tip)[..., None] * unit).sum(1)
    e1 = v1 / v1.square().sum(-1, keepdim=True).clamp_min(TINY).sqrt()
    across = v2 - e1 * (e1 * v2).sum(-1, keepdim=True)
    e2 = across / across.square().sum(-1, keepdim=True).clamp_min(TINY).sqrt()
    return torch.stack([e1, e2, torch.linalg.cross(e1, e2)], dim=1)


def _with_offsets(riders: Riders, xyz: Tensor, length: Tensor) -> Riders:
    """Take the offsets from the hydrogens as placed, made ideal where symmetry of the neighbours allows."""
    parent, tip, base = _gather(xyz, riders)
    axes = _axes(tip, base, riders)
    bond = xyz[riders.hydrogen] - parent
    placed = (axes * bond[:, None, :]).sum(-1)
    placed = placed / placed.norm(dim=1, keepdim=True).clamp_min(TINY)
    n_heavy = (riders.first != 0).sum(1)
    near_axis = placed[:, 1:].norm(dim=1) < MAX_TILT_AXIS
    on_axis = (n_heavy == 3) & near_axis & (placed[:, 0] > 0)
    in_plane = (n_heavy == 2) & (placed[:, 2].abs() < MAX_TILT_PLANE)
    ideal = placed.clone()
    ideal[on_axis] = torch.tensor([1.0, 0.0, 0.0], dtype=ideal.dtype)
    ideal[in_plane, 2] = 0.0
    ideal = ideal / ideal.norm(dim=1, keepdim=True) * length[:, None]
    return Riders(
        hydrogen=riders.hydrogen,
        parent=riders.parent,
        tip=riders.tip,
        base=riders.base,
        first=riders.first,
        second=riders.second,
        offset=ideal,
    )


def _bonded(
    restraints: Restraints, distance: Literal["electron", "nucleus"]
) -> tuple[list[list[int]], dict[tuple[int, int], float]]:
    """Neighbours of each atom inside the model, and the lengths of bonds to hydrogen."""
    bonds = restraints.bonds
    neighbours: list[list[int]] = [[] for _ in range(restraints.n_atoms)]
    target = bonds.target if distance == "electron" else bonds.target_nucleus
    inside = bonds.image == 0
    with_hydrogen = restraints.contacts.is_hydrogen[bonds.atoms].any(1)
    lengths = {}
    rows = zip(bonds.atoms[inside].tolist(), target[inside].tolist(), with_hydrogen[inside].tolist(), strict=True)
    for (i, j), ideal, riding in rows:
        neighbours[i].append(j)
        neighbours[j].append(i)
        if riding:
            lengths[(min(i, j), max(i, j))] = ideal
    return neighbours, lengths


def _frame(
    hydrogen: int,
    parent: int,
    own: tuple[int, int],
    neighbours: Sequence[Sequence[int]],
    is_hydrogen: Sequence[bool],
    conformer: Sequence[int],
    x: np.ndarray,
) -> tuple[list[int], list[int], list[float], list[float]] | None:
    """Tips, bases and weights of the unit vectors that a hydrogen's frame is made of; None where there are too few."""
    letters = {0, *(letter for letter in own if letter)}
    heavy = [k for k in neighbours[parent] if not is_hydrogen[k] and conformer[k] in letters]
    if not heavy:
        heavy = [k for k in neighbours[parent] if not is_hydrogen[k]][:1]  # conformers of the neighbours only
    if len(heavy) >= 3:
        return heavy[:3], [parent] * 3, [-1.0, -1.0, -1.0], [1.0, -1.0, 0.0]
    if len(heavy) == 2:
        a, b = heavy
        return [a, b, b], [parent] * 3, [-1.0, -1.0, 0.0], [1.0, -1.0, 0.0]
    if not heavy:
        return None
    pivot = heavy[0]
    seen = letters | {conformer[pivot]}
    beyond = [k for k in neighbours[pivot] if k != parent and not is_hydrogen[k] and conformer[k] in seen]
    for far in beyond:
        bond, further = x[pivot] - x[parent], x[far] - x[pivot]
        if np.linalg.norm(np.cross(bond, further)) > 0.1:  # a straight line gives no frame
            return [pivot, far, far], [parent, pivot, pivot], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    return None


def _no_riders(xyz: Tensor) -> Riders:
    empty = torch.zeros(0, dtype=torch.int64)
    real = torch.zeros(0, 3, dtype=torch.float64)
    none = torch.zeros(0, 3, dtype=torch.int64)
    return Riders(hydrogen=empty, parent=empty, tip=none, base=none, first=real, second=real, offset=real)
