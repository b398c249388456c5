"""Symmetry images of positions: those near a model, and the one nearest to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from burnish.data.particle_symmetry import ParticleSymmetry, Symmetry
from burnish.symmetry.space_groups import fractionalisation, operations, orthogonalisation


@dataclass(frozen=True, slots=True, kw_only=True)
class SymmetryImages:
    """Images of some positions near a model.

    Attributes
    ----------
    xyz : Å. (m, 3)
    source : index of the position that each is an image of. (m,)
    is_identity : whether it is the position itself. (m,)
    """

    xyz: np.ndarray
    source: np.ndarray
    is_identity: np.ndarray


def images_near(crystal: Symmetry | None, xyz: np.ndarray, around: np.ndarray, reach: float) -> SymmetryImages:
    """Every symmetry image of `xyz` that lies within `reach` of the box about the positions `around`.

    Parameters
    ----------
    crystal : cell and space group, or symmetry of a particle; None without.
    xyz : positions, Å. (n, 3)
    around : positions that the images should be near, Å. (k, 3)
    reach : Å.
    """
    low, high = around.min(axis=0) - reach, around.max(axis=0) + reach
    if crystal is None or isinstance(crystal, ParticleSymmetry):
        return _copies_near(crystal, xyz, low, high)
    frac_matrix, orth = fractionalisation(crystal), orthogonalisation(crystal)
    corners = np.array([[(low, high)[i][0], (low, high)[j][1], (low, high)[k][2]] for i, j, k in np.ndindex(2, 2, 2)])
    corner_frac = corners @ frac_matrix.T
    frac_low, frac_high = corner_frac.min(axis=0), corner_frac.max(axis=0)
    frac = xyz @ frac_matrix.T
    found, source, identity = [], [], []
    for k, (rotation, translation) in enumerate(zip(*operations(crystal).all_operations(), strict=True)):
        moved = frac @ rotation.T + translation
        first = np.ceil(frac_low - moved.max(axis=0)).astype(int)
        last = np.floor(frac_high - moved.min(axis=0)).astype(int)
        for shift in np.ndindex(*np.maximum(last - first + 1, 0)):
            lattice = np.array(shift) + first
            image = (moved + lattice) @ orth.T
            keep = ((image >= low) & (image <= high)).all(axis=1)
            found.append(image[keep])
            source.append(np.nonzero(keep)[0])
            same = k == 0 and not lattice.any()
            identity.append(np.full(int(keep.sum()), same))
    if not found:
        return SymmetryImages(xyz=np.zeros((0, 3)), source=np.zeros(0, dtype=int), is_identity=np.zeros(0, dtype=bool))
    return SymmetryImages(
        xyz=np.concatenate(found), source=np.concatenate(source), is_identity=np.concatenate(identity)
    )


def _copies_near(
    particle: ParticleSymmetry | None, xyz: np.ndarray, low: np.ndarray, high: np.ndarray
) -> SymmetryImages:
    """Copies in a particle of the positions that lie between two corners."""
    rotations = np.eye(3)[None] if particle is None else particle.rotation
    shifts = np.zeros((1, 3)) if particle is None else particle.shift
    images = np.einsum("kij,nj->kni", rotations, xyz) + shifts[:, None]
    copy, source = np.nonzero(((images >= low) & (images <= high)).all(axis=2))
    return SymmetryImages(xyz=images[copy, source], source=source, is_identity=copy == 0)


def nearest_images(
    crystal: Symmetry | None, xyz: np.ndarray, model: np.ndarray, reach: float = 12.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Move each position to the image nearest to an atom of a model.

    Parameters
    ----------
    crystal : None for no symmetry.
    xyz : positions, Å. (n, 3)
    model : positions of its atoms, Å. (k, 3)
    reach : positions farther from every atom than that stay where they are.

    Returns
    -------
    Positions (n, 3), the nearest atom of each (n,), and the distance to it, Å (n,).
    """
    from scipy.spatial import cKDTree  # takes long to import

    tree = cKDTree(model)
    best = xyz.copy()
    distance, atom = (np.array(a) for a in tree.query(best.reshape(-1, 3)))
    if crystal is None or len(xyz) == 0:
        return best, atom, distance
    images = images_near(crystal, xyz, model, reach)
    away, near = (np.array(a) for a in tree.query(images.xyz.reshape(-1, 3)))
    order = np.argsort(-away, kind="stable")  # the nearest is written last
    source = images.source[order]
    closer = away[order] < distance[source] - 1e-9
    source, order = source[closer], order[closer]
    best[source], distance[source], atom[source] = images.xyz[order], away[order], near[order]
    return best, atom, distance
