"""Protons of hydrogens, which lie beyond their electrons: what an electron sees of it.

Bonds pull the electron of a hydrogen towards the heavier atom: X–H is about .13 Å longer to the nucleus than to the
middle of the cloud. A beam of electrons is scattered by the electrostatic potential of both, so that to the form factor
of an atom whose parts lie in one place there comes a dipole. A charge scatters with 1/(2π² a₀ s²) (Mott 1930,
Proc. R. Soc. A 127, 658; Bethe 1930, Ann. Phys. 397, 325; in refinement Murshudov 2016, Methods Enzymol. 579, 277), so

    ΔF(h) = q / (2π² a₀ s²) · [exp(2πi h·x_proton) − exp(2πi h·x_electron)] · exp(−B s²/4)

At 10 Å it is larger than the form factor of hydrogen itself, at 4 Å about three quarters of it. Charges that are cut
where atoms are, at 10⁻⁴ of the peak, give it to .1 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from burnish.data.atoms import Atoms
from burnish.data.restraints import Restraints
from burnish.models.gaussian_atoms import AtomGradient
from burnish.models.structure_factors import (
    StructureFactorPlan,
    structure_factor_gradient,
    structure_factors,
)
from burnish.scattering.form_factors import FormFactors

BOHR_RADIUS = 0.529177210903  # Å, CODATA 2018
MOTT_BETHE = 1.0 / (2.0 * math.pi**2 * BOHR_RADIUS)  # Å⁻¹
LEAST_RATIO = 1.001  # of the two distances; below it nothing is displaced


@dataclass(frozen=True, slots=True, kw_only=True)
class Protons:
    """Where the protons of a model lie, x_proton = x_parent + ratio · (x_hydrogen − x_parent).

    Attributes
    ----------
    hydrogen, parent : indices of the atoms; hydrogens lie at their electrons. (n,) int64
    ratio : of the distances of nucleus and electrons from the parent. (n,)
    """

    hydrogen: Tensor
    parent: Tensor
    ratio: Tensor

    def __len__(self) -> int:
        return len(self.hydrogen)


def find_protons(restraints: Restraints) -> Protons:
    """Hydrogens whose dictionary says how far nucleus and electrons are from the atom that they are bonded to."""
    bonds, hydrogen = restraints.bonds, restraints.contacts.is_hydrogen
    ends = hydrogen[bonds.atoms]
    ratio = bonds.target_nucleus / bonds.target
    chosen = (ends[:, 0] ^ ends[:, 1]) & (bonds.image == 0) & (ratio > LEAST_RATIO)
    first = ends[chosen, 0]
    one, other = bonds.atoms[chosen].unbind(1)
    return Protons(
        hydrogen=torch.where(first, one, other),
        parent=torch.where(first, other, one),
        ratio=ratio[chosen].double(),
    )


def repeated(protons: Protons, copies: int, n_atoms: int) -> Protons:
    """The same of every copy of a model, whose atoms follow one another."""
    first = (n_atoms * torch.arange(copies))[:, None]
    return Protons(
        hydrogen=(protons.hydrogen + first).reshape(-1),
        parent=(protons.parent + first).reshape(-1),
        ratio=protons.ratio.repeat(copies),
    )


def dipole_factors(atoms: Atoms, protons: Protons, occ: np.ndarray, plan: StructureFactorPlan) -> Tensor:
    """ΔF of all hydrogens, Å. (reflections,) complex64

    Parameters
    ----------
    atoms : hydrogens at their electrons, in the cell of the plan.
    occ : occupancy of each atom with its share of a special position. (n,)
    plan : without F(000).
    """
    charges, share = _charges(atoms, protons, occ)
    found = structure_factors(charges, _points(len(charges)), share, plan)
    return found * (MOTT_BETHE / plan.s2)


def add_dipole_gradient(
    gradient: AtomGradient,
    atoms: Atoms,
    protons: Protons,
    occ: np.ndarray,
    plan: StructureFactorPlan,
    coefficient: Tensor,
) -> AtomGradient:
    """A gradient with that through ΔF added.

    Parameters
    ----------
    coefficient : ∂T/∂Re F + i ∂T/∂Im F of each reflection. (reflections,) complex64
    """
    charges, share = _charges(atoms, protons, occ)
    scaled = coefficient * (MOTT_BETHE / plan.s2)
    found = structure_factor_gradient(charges, _points(len(charges)), share, plan, scaled)
    n, h = len(protons), protons.hydrogen
    far = found.xyz[:n] * protons.ratio[:, None]
    near = found.xyz[:n] - far
    return AtomGradient(
        xyz=gradient.xyz.index_add(0, h, far + found.xyz[n:]).index_add(0, protons.parent, near),
        b_iso=gradient.b_iso.index_add(0, h, found.b_iso[:n] + found.b_iso[n:]),
        u_aniso=gradient.u_aniso.index_add(0, h, found.u_aniso[:n] + found.u_aniso[n:]),
        occ=gradient.occ.index_add(0, h, found.occ[:n] - found.occ[n:]),
    )


def _charges(atoms: Atoms, protons: Protons, occ: np.ndarray) -> tuple[Atoms, np.ndarray]:
    """Protons, then what is taken away at the electrons, as atoms, and the charge of each."""
    h = protons.hydrogen
    parent = atoms.xyz[protons.parent]
    nuclei = parent + protons.ratio[:, None] * (atoms.xyz[h] - parent)
    charges = replace(atoms.subset([*h.tolist(), *h.tolist()]), xyz=torch.cat([nuclei, atoms.xyz[h]]))
    share = occ[h.numpy()]
    return charges, np.concatenate([share, -share])


def _points(n: int) -> FormFactors:
    """Unit charges without extent."""
    kind = np.zeros(n, dtype=np.int64)
    return FormFactors(amplitude=np.ones((1, 1)), width=np.zeros((1, 1)), kind=kind, dispersion=np.zeros(1))
