"""Operations of a space group as arrays, and what follows from them for reflections, atoms and tensors."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

from burnish.data.reflections import Crystal


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Operations x' = R x + t on fractional coordinates, without those of lattice centring.

    Attributes
    ----------
    rotation : (n, 3, 3) int64
    translation : fractions of the cell. (n, 3) float64
    centring : translations of the lattice, the zero one first. (m, 3) float64
    """

    rotation: np.ndarray
    translation: np.ndarray
    centring: np.ndarray

    def __len__(self) -> int:
        return len(self.rotation)

    def all_operations(self) -> tuple[np.ndarray, np.ndarray]:
        """Rotations and translations with every centring vector applied. (n·m, 3, 3), (n·m, 3)"""
        rotation = np.tile(self.rotation, (len(self.centring), 1, 1))
        translation = (self.centring[:, None, :] + self.translation[None]).reshape(-1, 3)
        return rotation, translation % 1.0


def operations(crystal: Crystal) -> Operations:
    """Operations of the crystal's space group.

    Examples
    --------
    >>> group = operations(Crystal(cell=(30, 40, 50, 90, 90, 90), space_group="C 2 2 21"))
    >>> len(group), len(group.centring)
    (4, 2)
    """
    group = crystal.group.operations()
    den = gemmi.Op.DEN
    return Operations(
        rotation=np.array([op.rot for op in group.sym_ops], dtype=np.int64) // den,
        translation=np.array([op.tran for op in group.sym_ops], dtype=np.float64) / den,
        centring=np.array(list(group.cen_ops), dtype=np.float64) / den,
    )


def orthogonalisation(crystal: Crystal) -> np.ndarray:
    """Matrix from fractional to Cartesian coordinates, Å: a along x, b in the xy plane (PDB convention). (3, 3)"""
    return np.array(crystal.unit_cell.orth.mat.tolist(), dtype=np.float64)


def fractionalisation(crystal: Crystal) -> np.ndarray:
    """Matrix from Cartesian to fractional coordinates, Å⁻¹. (3, 3)"""
    return np.array(crystal.unit_cell.frac.mat.tolist(), dtype=np.float64)


def cartesian_rotations(crystal: Crystal) -> np.ndarray:
    """Rotation of each operation in the Cartesian frame. (n, 3, 3)"""
    orth, frac = orthogonalisation(crystal), fractionalisation(crystal)
    return orth @ operations(crystal).rotation @ frac


def reflection_properties(crystal: Crystal, hkl: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centric flag, epsilon (without centring) and 1/d² of reflections.

    Parameters
    ----------
    hkl : Miller indices. (n, 3)

    Returns
    -------
    centric : (n,) bool
    epsilon : (n,) float64
    s2 : Å⁻². (n,) float64
    """
    group = crystal.group.operations()
    indices = np.ascontiguousarray(hkl, dtype=np.int32)
    centric = np.asarray(group.centric_flag_array(indices), dtype=bool)
    epsilon = np.asarray(group.epsilon_factor_without_centering_array(indices), dtype=np.float64)
    s2 = np.sum((indices.astype(np.float64) @ fractionalisation(crystal)) ** 2, axis=1)
    return centric, epsilon, s2


def restricted_phases(crystal: Crystal, hkl: np.ndarray) -> np.ndarray:
    """One of the two phases, π apart, that a centric reflection may have, rad; NaN for acentric ones. (n,)

    An operation with hR = −h makes F(h) = exp(2πi h·t) F(−h), so that φ = π h·t (mod π).
    """
    group = operations(crystal)
    phase = np.full(len(hkl), np.nan)
    for rotation, translation in zip(group.rotation, group.translation, strict=True):
        inverted = np.all(hkl @ rotation == -hkl, axis=1)
        phase = np.where(inverted & np.isnan(phase), np.pi * (hkl @ translation), phase)
    return np.mod(phase, np.pi)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialPositions:
    """Atoms that some operation maps onto themselves.

    Attributes
    ----------
    multiplicity : number of operations that keep the atom in place, 1 for a general position. (n,) int64
    """

    multiplicity: np.ndarray

    def weight(self, occ: np.ndarray) -> np.ndarray:
        """What the occupancy is multiplied by, so that the sum over all operations counts each site once. (n,)

        Files follow two conventions: the occupancy of a site on an n-fold element is at most 1/n (wwPDB, REFMAC), or it
        is that of the site itself (phenix, small-molecule files). One above 1/n can only be of the second kind.
        """
        share = 1.0 / self.multiplicity
        return np.where(occ > share + 0.05, share, 1.0)


def special_positions(crystal: Crystal, xyz: np.ndarray, tolerance: float = 0.4) -> SpecialPositions:
    """Find the atoms on special positions.

    Parameters
    ----------
    xyz : Cartesian positions, Å. (n, 3)
    tolerance : largest distance between an atom and its own image, Å. Twice the distance from the element of symmetry.
    """
    orth, frac = orthogonalisation(crystal), xyz @ fractionalisation(crystal).T
    rotation, translation = operations(crystal).all_operations()
    count = np.ones(len(xyz), dtype=np.int64)
    for r, t in zip(rotation[1:], translation[1:], strict=True):
        shift = frac @ r.T + t - frac
        shift -= np.round(shift)
        count += np.sum((shift @ orth.T) ** 2, axis=1) < tolerance**2
    return SpecialPositions(multiplicity=count)


def symmetric_tensors(crystal: Crystal) -> np.ndarray:
    """Orthonormal basis of the symmetric Cartesian tensors that the point group leaves unchanged.

    Components are in the order 11 22 33 12 13 23; the number of them is 1 (cubic) to 6 (triclinic). (k, 6)
    """
    pairs = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
    rotations = cartesian_rotations(crystal)
    projector = np.zeros((6, 6))
    for column, (i, j) in enumerate(pairs):
        unit = np.zeros((3, 3))
        unit[i, j] = unit[j, i] = 1.0
        mean = np.mean(rotations @ unit @ rotations.transpose(0, 2, 1), axis=0)
        projector[:, column] = [mean[p] for p in pairs]
    u, singular, _ = np.linalg.svd(projector)
    return u[:, singular > 1e-6].T.copy()
