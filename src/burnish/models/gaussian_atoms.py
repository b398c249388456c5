"""Atoms as sums of anisotropic Gaussians in real space, ready to be spread on a grid.

The density of an atom with displacement tensor U at distance d from its centre is

    ρ(d) = q Σ_g a_g (2π)^(−3/2) |S_g|^(−1/2) exp(−½ dᵀ S_g⁻¹ d),     S_g = U + (b_g + b_blur) / 8π² · 1

the transform of q Σ a_g exp(−b_g s²/4) exp(−2π² hᵀUh) (Trueblood 1996), smeared by the blur that lets the grid be
coarse (Ten Eyck 1977). Isotropic atoms are the case U = B/8π² · 1. Spreading and its adjoint need only S_g⁻¹ and the
height of each term, so that one kernel serves both kinds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from burnish.core.units import EIGHT_PI_SQUARED
from burnish.data.atoms import Atoms
from burnish.scattering.form_factors import FormFactors

PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
MIN_VARIANCE = (
    0.5 / EIGHT_PI_SQUARED
)  # of a term along any axis, Å²: keeps a negative B from becoming a singular density


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianAtoms:
    """Gaussian terms of each atom.

    Attributes
    ----------
    xyz : centres, Å. (n, 3) float64
    precision : S_g⁻¹ as 11 22 33 12 13 23, Å⁻². (n, terms, 6) float64
    height : value at the centre for unit occupancy, e⁻/Å³; 0 for terms that are not there. (n, terms) float64
    isotropic : whether all S_g of an atom are multiples of the unit matrix. (n,) bool
    occ : occupancy, with the share of a special position. (n,) float64
    radius : beyond which the density counts as zero, Å. (n,) float64
    """

    xyz: np.ndarray
    precision: np.ndarray
    height: np.ndarray
    isotropic: np.ndarray
    occ: np.ndarray
    radius: np.ndarray


def displacement_tensors(atoms: Atoms) -> np.ndarray:
    """U of each atom in the Cartesian frame, isotropic ones from their B, Å². (n, 6)"""
    isotropic = np.zeros((len(atoms), 6))
    isotropic[:, :3] = atoms.b_iso.detach().cpu().numpy()[:, None] / EIGHT_PI_SQUARED
    return np.where(atoms.is_aniso.cpu().numpy()[:, None], atoms.u_aniso.detach().cpu().numpy(), isotropic)


def invert_symmetric(tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse and determinant of symmetric 3 × 3 matrices given as 11 22 33 12 13 23. (…, 6), (…,)"""
    xx, yy, zz, xy, xz, yz = np.moveaxis(tensor, -1, 0)
    cofactors = (
        yy * zz - yz**2,
        xx * zz - xz**2,
        xx * yy - xy**2,
        xz * yz - xy * zz,
        xy * yz - xz * yy,
        xy * xz - xx * yz,
    )
    determinant = xx * cofactors[0] + xy * cofactors[3] + xz * cofactors[4]
    return np.stack(cofactors, axis=-1) / determinant[..., None], determinant


def _positive(u: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """U with eigenvalues not below floor; only tensors that need it are decomposed."""
    suspicious = np.flatnonzero(u[:, :3].min(axis=1) - np.abs(u[:, 3:]).sum(axis=1) < floor)
    if len(suspicious) == 0:
        return u
    full = u[suspicious][:, [0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(-1, 3, 3)
    values, vectors = np.linalg.eigh(full)
    repaired = (vectors * np.maximum(values, floor[suspicious, None])[:, None, :]) @ vectors.transpose(0, 2, 1)
    out = u.copy()
    out[suspicious] = np.stack([repaired[:, i, j] for i, j in PAIRS], axis=1)
    return out


def _anisotropic_terms(u: np.ndarray, added: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """S⁻¹ (n, g, 6), determinant of S and largest variance along any direction (n, g) of S = U + added · 1.

    Parameters
    ----------
    u : Å². (n, 6)
    added : Å². (n, g)
    """
    variance = np.repeat(u[:, None, :], added.shape[1], axis=1)
    variance[:, :, :3] += added[:, :, None]
    precision, determinant = invert_symmetric(variance)
    # by Gershgorin: an upper bound, exact for isotropic atoms
    spread = np.max(
        variance[:, :, [0, 1, 2]] + np.abs(variance[:, :, [3, 3, 4]]) + np.abs(variance[:, :, [4, 5, 5]]), axis=2
    )
    return precision, determinant, spread


def _isotropic_terms(u: np.ndarray, added: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same where every U is a multiple of the unit matrix, in a tenth of the time."""
    variance = u[:, :1] + added
    cofactor = variance * variance
    determinant = variance * cofactor
    precision = np.zeros((*variance.shape, 6))
    precision[:, :, :3] = (cofactor / determinant)[:, :, None]
    return precision, determinant, variance


PART = 4096  # atoms that are made into Gaussians together, so that their terms stay in cache and need little memory


def gaussian_parts(
    atoms: Atoms, factors: FormFactors, occ: np.ndarray, blur: float, cutoff: float
) -> Iterator[tuple[slice, GaussianAtoms]]:
    """Gaussian terms of all atoms, some thousands at a time, with the atoms that they belong to."""
    for start in range(0, len(atoms), PART):
        part = slice(start, min(start + PART, len(atoms)))
        yield part, gaussian_atoms(atoms, factors, occ, blur, cutoff, part)


def gaussian_atoms(
    atoms: Atoms, factors: FormFactors, occ: np.ndarray, blur: float, cutoff: float, part: slice = slice(None)
) -> GaussianAtoms:
    """Gaussian terms of a model.

    Parameters
    ----------
    atoms : the model.
    factors : form factors of its atoms.
    occ : occupancies to use. (n,)
    blur : B added to every atom, Å².
    cutoff : the density is cut where every term has fallen below this fraction of the atom's peak.
    part : atoms to take; all by default.
    """
    kind = factors.kind[part]
    width, amplitude = factors.width[kind], factors.amplitude[kind]
    smallest = np.where(amplitude != 0.0, width, np.inf).min(axis=1)
    u = _positive(displacement_tensors(atoms)[part], MIN_VARIANCE - (smallest + blur) / EIGHT_PI_SQUARED)
    if atoms.is_aniso[part].any():
        precision, determinant, spread = _anisotropic_terms(u, (width + blur) / EIGHT_PI_SQUARED)
    else:
        precision, determinant, spread = _isotropic_terms(u, (width + blur) / EIGHT_PI_SQUARED)
    present = amplitude != 0.0
    height = np.where(present, amplitude, 0.0) * (2.0 * np.pi) ** -1.5 / np.sqrt(determinant)
    relative = np.abs(height) / np.maximum(np.abs(height.sum(axis=1)), 1e-30)[:, None]
    reach2 = 2.0 * spread * np.log(np.maximum(relative / cutoff, 1.0))
    return GaussianAtoms(
        xyz=atoms.xyz[part].detach().cpu().numpy().astype(np.float64),
        precision=np.where(present[:, :, None], precision, 0.0),
        height=height,
        isotropic=~atoms.is_aniso[part].cpu().numpy(),
        occ=np.asarray(occ, np.float64)[part],
        radius=np.sqrt(np.max(np.where(present, reach2, 0.0), axis=1)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AtomGradient:
    """Derivatives of a scalar with respect to the parameters of each atom.

    Attributes
    ----------
    xyz : Å⁻¹. (n, 3)
    b_iso : of isotropic atoms, zero for anisotropic ones, Å⁻². (n,)
    u_aniso : of anisotropic atoms, zero for isotropic ones; the off-diagonal ones count both places, Å⁻². (n, 6)
    occ : (n,)
    """

    xyz: torch.Tensor
    b_iso: torch.Tensor
    u_aniso: torch.Tensor
    occ: torch.Tensor


def atom_gradient(atoms: Atoms, wrt_xyz: np.ndarray, wrt_u: np.ndarray, wrt_occ: np.ndarray) -> AtomGradient:
    """Sort the derivatives of general Gaussians by the kind of each atom.

    Parameters
    ----------
    wrt_u : derivative with respect to 11 22 33 12 13 23, the off-diagonal ones counted twice. (n, 6)
    """
    u = torch.as_tensor(wrt_u, dtype=torch.float64)
    return AtomGradient(
        xyz=torch.as_tensor(wrt_xyz, dtype=torch.float64),
        b_iso=torch.where(atoms.is_aniso, 0.0, u[:, :3].sum(dim=1) / EIGHT_PI_SQUARED),
        u_aniso=torch.where(atoms.is_aniso[:, None], u, 0.0),
        occ=torch.as_tensor(wrt_occ, dtype=torch.float64),
    )
