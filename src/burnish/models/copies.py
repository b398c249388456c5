"""A model and its copies by the strict symmetry of a particle: density of all from the parameters of one.

The copies x′ = R_k·x + t_k, U′ = R_k·U·R_kᵀ are atoms as any other to the structure factors. What they feel is turned
back and summed: ∂/∂x = Σ_k R_kᵀ·g_k, ∂/∂U = Σ_k R_kᵀ·G_k·R_k.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from burnish.data.atoms import Atoms
from burnish.data.particle_symmetry import ParticleSymmetry
from burnish.models.gaussian_atoms import AtomGradient

_FULL = [0, 3, 4, 3, 1, 5, 4, 5, 2]  # 11 22 33 12 13 23 as a matrix


def copied_positions(xyz: Tensor, particle: ParticleSymmetry) -> Tensor:
    """Positions of every copy, the model itself first. (k·n, 3)"""
    rotation, shift = torch.from_numpy(particle.rotation), torch.from_numpy(particle.shift)
    return (torch.einsum("kij,nj->kni", rotation, xyz.double()) + shift[:, None]).reshape(-1, 3)


def with_copies(atoms: Atoms, particle: ParticleSymmetry) -> Atoms:
    """The atoms of every copy, the model itself first."""
    k, n = len(particle), len(atoms)
    u = atoms.u_aniso.repeat(k, 1)
    if bool(atoms.is_aniso.any()):
        rotation = torch.from_numpy(particle.rotation)
        full = atoms.u_aniso[:, _FULL].reshape(n, 3, 3)
        turned = torch.einsum("kij,njl,kml->knim", rotation, full, rotation)
        u = turned.reshape(k * n, 9)[:, [0, 4, 8, 1, 2, 5]]
    residues = int(atoms.residue.max()) + 1 if n else 0
    return replace(
        atoms,
        xyz=copied_positions(atoms.xyz, particle),
        b_iso=atoms.b_iso.repeat(k),
        u_aniso=u,
        is_aniso=atoms.is_aniso.repeat(k),
        occ=atoms.occ.repeat(k),
        elements=atoms.elements * k,
        charges=atoms.charges.repeat(k),
        altloc=atoms.altloc * k,
        residue=(atoms.residue + residues * torch.arange(k)[:, None]).reshape(-1),
    )


def folded_gradient(gradient: AtomGradient, particle: ParticleSymmetry) -> AtomGradient:
    """Derivatives by the parameters of the model, from those by the parameters of every copy."""
    k = len(particle)
    rotation = torch.from_numpy(particle.rotation)
    xyz = torch.einsum("kij,kni->nj", rotation, gradient.xyz.reshape(k, -1, 3))
    u = gradient.u_aniso.reshape(k, -1, 6)
    if bool(u.any()):
        half = torch.tensor([1.0, 1.0, 1.0, 0.5, 0.5, 0.5], dtype=torch.float64)  # off-diagonal ones count both places
        full = (u * half)[..., _FULL].reshape(k, -1, 3, 3)
        back = torch.einsum("kij,knil,klm->njm", rotation, full, rotation).reshape(-1, 9)
        summed = back[:, [0, 4, 8, 1, 2, 5]] / half
    else:
        summed = u.sum(0)
    return AtomGradient(
        xyz=xyz,
        b_iso=gradient.b_iso.reshape(k, -1).sum(0),
        u_aniso=summed,
        occ=gradient.occ.reshape(k, -1).sum(0),
    )
