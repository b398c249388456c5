"""Atoms that symmetry maps onto themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from burnish.data.particle_symmetry import ParticleSymmetry, Symmetry
from burnish.models.restraints.term import Array, Index

NEAR = 0.3  # Å; an atom nearer than this to its own image belongs on the special position

_ROW, _COLUMN = np.array([0, 1, 2, 0, 0, 1]), np.array([0, 1, 2, 1, 2, 2])


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialPositions:
    """Atoms on special positions.

    Attributes
    ----------
    atom : (k,).
    multiplicity : number of operations, the identity among them, that leave the atom in place. (k,)
    position : mean of the atom and its images, Å. (k, 3)
    projector : onto the displacements that symmetry allows. (k, 3, 3)
    tensor_projector : the same for U11 U22 U33 U12 U13 U23. (k, 6, 6)
    """

    atom: Index
    multiplicity: Index
    position: Array
    projector: Array
    tensor_projector: Array


def no_special_positions() -> SpecialPositions:
    """None at all, as without symmetry."""
    return SpecialPositions(
        atom=np.zeros(0, dtype=np.int64),
        multiplicity=np.zeros(0, dtype=np.int64),
        position=np.zeros((0, 3)),
        projector=np.zeros((0, 3, 3)),
        tensor_projector=np.zeros((0, 6, 6)),
    )


def _on_tensors(rotation: Array) -> Array:
    """Matrix of U → R·U·Rᵀ on the six elements of U."""
    full = np.einsum("ik,jl->ijkl", rotation, rotation)[_ROW, _COLUMN]
    return full[:, _ROW, _COLUMN] + np.where(_ROW == _COLUMN, 0.0, 1.0) * full[:, _COLUMN, _ROW]


def _images(xyz: Array, symmetry: Symmetry) -> Iterator[tuple[Array, Array]]:
    """Rotation of each operation but the identity, and the way from each atom to its nearest image by it, Å."""
    if isinstance(symmetry, ParticleSymmetry):
        for rotation, shift in zip(symmetry.rotation[1:], symmetry.shift[1:], strict=True):
            yield rotation, xyz @ rotation.T + shift - xyz
        return
    orthogonal = np.array(symmetry.unit_cell.orth.mat.tolist())
    fractional = np.linalg.inv(orthogonal)
    frac = xyz @ fractional.T
    for op in symmetry.group.operations():
        rot, tran = np.array(op.rot) / op.DEN, np.array(op.tran) / op.DEN
        if np.array_equal(rot, np.eye(3)) and not tran.any():
            continue
        delta = frac @ rot.T + tran - frac
        delta -= np.round(delta)
        yield orthogonal @ rot @ fractional, delta @ orthogonal.T


def find_special_positions(xyz: Array, crystal: Symmetry | None) -> SpecialPositions:
    """Atoms within 0.3 Å of one of their images, with what symmetry allows them."""
    if crystal is None or len(xyz) == 0:
        return no_special_positions()
    images: dict[int, list[tuple[Array, Array]]] = {}
    for rotation, away in _images(xyz, crystal):
        for atom in np.flatnonzero((away**2).sum(axis=1) < NEAR**2):
            images.setdefault(int(atom), []).append((rotation, away[atom]))
    if not images:
        return no_special_positions()
    chosen = sorted(images)
    counts = np.array([len(images[a]) + 1 for a in chosen])
    return SpecialPositions(
        atom=np.array(chosen),
        multiplicity=counts,
        position=np.array([xyz[a] + sum(d for _, d in images[a]) / c for a, c in zip(chosen, counts, strict=True)]),
        projector=np.array(
            [(np.eye(3) + sum(r for r, _ in images[a])) / c for a, c in zip(chosen, counts, strict=True)]
        ),
        tensor_projector=np.array(
            [(np.eye(6) + sum(_on_tensors(r) for r, _ in images[a])) / c for a, c in zip(chosen, counts, strict=True)]
        ),
    )
