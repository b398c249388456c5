"""Refinement of any number of atoms against a map while some of them are pulled to where a person wants them.

The energy is that of `burnish.rebuild.zone` plus ½ Σ |x − goal|²/σ² over the pulls. Zones of automated moves have tens
of atoms and a dense matrix; here the matrix is sparse, so that a chain of a thousand residues is refined as well as one
side chain, in steps of conjugate gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import cg, spsolve

from burnish.maps.sampling import sample_with_gradient
from burnish.models.restraints.nonbonded import SIGMA as CONTACT_SIGMA
from burnish.models.restraints.planes import PlaneBatch, plane_term
from burnish.models.restraints.stereochemistry import Stereochemistry, covalent_residuals
from burnish.models.restraints.term import harmonic_term
from burnish.rebuild.zone import (
    LONGEST_STEP,
    PEAK_WIDTH2,
    Surroundings,
    Target,
    Zone,
    ZoneEnergy,
    ZoneSystem,
    make_zone,
)

Array = NDArray[np.float64]
Index = NDArray[np.int64]

DIRECT = 900  # parameters up to which the matrix is factorised; conjugate gradients beyond
PULL_SIGMA = 0.05  # Å; strong: the atom goes where the hand is unless its bonds forbid it
LEAST_GAIN = 0.02  # −log probability of a step; less ends the refinement


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """An atom drawn to a place.

    Attributes
    ----------
    atom : its index in the model.
    goal : Å. (3,)
    sigma : Å.
    """

    atom: int
    goal: Array
    sigma: float = PULL_SIGMA


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimised:
    """Atoms after refinement.

    Attributes
    ----------
    xyz : Å. (m, 3)
    energy : by kind, the pulls left out.
    density : at each atom, σ. (m,)
    steps : that lowered the energy.
    """

    xyz: Array
    energy: ZoneEnergy
    density: Array
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Some atoms of a model with all that acts on them, in indices of their own.

    Attributes
    ----------
    system, target : of the whole model.
    zone : the atoms and their contacts.
    restraints : those that touch them, by index into `local`.
    local : positions of the moving atoms, then of those that restraints tie them to. (l, 3)
    pulled : index into the moving atoms of each pull. (p,)
    goals : (p, 3)
    stiffness : 1/σ of each pull. (p,)
    """

    system: ZoneSystem
    target: Target
    zone: Zone
    restraints: Stereochemistry
    local: Array
    pulled: Index
    goals: Array
    stiffness: Array


def make_problem(
    system: ZoneSystem, around: Surroundings, xyz: Array, atoms: Index, target: Target, pulls: Sequence[Pull] = ()
) -> Problem:
    """Collect what acts on some atoms.

    Parameters
    ----------
    system, around : of the whole model.
    xyz : all positions; those of `atoms` decide on neighbours. (n, 3)
    atoms : that move, each once. (m,)
    target : density to fit.
    pulls : on moving atoms; those on others are left out.
    """
    place = np.full(len(xyz), -1, dtype=np.int64)
    place[atoms] = np.arange(len(atoms))
    restraints, held = _local_restraints(system.stereochemistry, place, atoms)
    acting = [p for p in pulls if place[p.atom] >= 0]
    return Problem(
        system=system,
        target=target,
        zone=make_zone(system, around, atoms, xyz[atoms][None]),
        restraints=restraints,
        local=xyz[np.concatenate([atoms, held])].copy(),
        pulled=np.array([place[p.atom] for p in acting], dtype=np.int64),
        goals=np.array([p.goal for p in acting]).reshape(-1, 3),
        stiffness=np.array([1.0 / p.sigma for p in acting]),
    )


def _local_restraints(s: Stereochemistry, place: Index, atoms: Index) -> tuple[Stereochemistry, Index]:
    """Restraints with a moving atom, renumbered, and the atoms that they hold on to; none across symmetry."""
    moving = place >= 0
    b = moving[s.bond_atoms].any(axis=1) & (s.bond_image == 0)
    a, t, c = (moving[x].any(axis=1) for x in (s.angle_atoms, s.torsion_atoms, s.chiral_atoms))
    planes = [(p.atoms[near], p.sigma[near]) for p in s.planes if (near := moving[p.atoms].any(axis=1)).any()]
    lists = [s.bond_atoms[b], s.angle_atoms[a], s.torsion_atoms[t], s.chiral_atoms[c], *(p for p, _ in planes)]
    held = np.setdiff1d(np.concatenate([x.reshape(-1) for x in lists]), atoms)
    number = place.copy()
    number[held] = len(atoms) + np.arange(len(held))
    return replace(
        s,
        bond_atoms=number[s.bond_atoms[b]],
        bond_target=s.bond_target[b],
        bond_sigma=s.bond_sigma[b],
        bond_image=s.bond_image[b],
        angle_atoms=number[s.angle_atoms[a]],
        angle_target=s.angle_target[a],
        angle_sigma=s.angle_sigma[a],
        torsion_atoms=number[s.torsion_atoms[t]],
        torsion_target=s.torsion_target[t],
        torsion_sigma=s.torsion_sigma[t],
        torsion_period=s.torsion_period[t],
        chiral_atoms=number[s.chiral_atoms[c]],
        chiral_target=s.chiral_target[c],
        chiral_sigma=s.chiral_sigma[c],
        chiral_either=s.chiral_either[c],
        planes=tuple(PlaneBatch(atoms=number[p], sigma=sigma) for p, sigma in planes),
    ), held


def minimise(problem: Problem, start: Array, *, steps: int = 20) -> Minimised:
    """Damped Gauss–Newton from `start`, the positions of the moving atoms. (m, 3)"""
    now, damping, done = start.copy(), 0.05, 0
    value, energy, density, gradient, normal = evaluate(problem, now)
    for _ in range(steps):
        step = _solve(normal, gradient, damping).reshape(-1, 3)
        longest = float(np.sqrt((step**2).sum(axis=1)).max(initial=0.0))
        step *= min(1.0, LONGEST_STEP / max(longest, 1e-9))
        trial = evaluate(problem, now + step)
        if trial[0] < value:
            gained = value - trial[0]
            now, done = now + step, done + 1
            value, energy, density, gradient, normal = trial
            damping = max(damping / 3.0, 1e-4)
            if gained < LEAST_GAIN:
                break
        else:
            damping *= 5.0
            if damping > 1e4:
                break
    return Minimised(xyz=now, energy=energy, density=density, steps=done)


def _solve(normal: sp.csr_matrix, gradient: Array, damping: float) -> Array:
    diagonal = damping * normal.diagonal() + 1e-3
    matrix = (normal + sp.diags(diagonal)).tocsc()
    if len(gradient) <= DIRECT:
        return np.asarray(spsolve(matrix, -gradient))
    scale = sp.diags(1.0 / matrix.diagonal())
    step, _ = cg(matrix, -gradient, rtol=1e-2, maxiter=80, M=scale)
    return np.asarray(step)


def evaluate(problem: Problem, at: Array) -> tuple[float, ZoneEnergy, Array, Array, sp.csr_matrix]:
    """Value with the pulls, energy without, density at the atoms, gradient (3m,) and matrix (3m, 3m)."""
    m = len(at)
    local = problem.local.copy()
    local[:m] = at
    terms = [harmonic_term(k, r, len(local)) for k, r in covalent_residuals(local, problem.restraints).items()]
    terms.append(plane_term(local, problem.restraints.planes))
    factors = [t.factor[:, : 3 * m] for t in terms]
    gradient = sum((t.gradient[: 3 * m] for t in terms), np.zeros(3 * m))
    contact, contact_rows, contact_z = _contacts(problem.zone, at)
    gradient = gradient + contact_rows.T @ contact_z
    rho, slope = sample_with_gradient(problem.target.spline, torch.from_numpy(at))
    density = rho.numpy() / problem.target.sigma
    atoms = problem.zone.atoms
    share = problem.target.weight * problem.system.electrons[atoms] / 6.0 * problem.system.occ[atoms]
    gradient -= (share[:, None] * slope.numpy() / problem.target.sigma).reshape(-1)
    away = (at[problem.pulled] - problem.goals) * problem.stiffness[:, None]
    pulls = np.zeros((m, 3))
    np.add.at(pulls, problem.pulled, away * problem.stiffness[:, None])
    curvature = np.repeat(share * np.maximum(density, 0.5) / PEAK_WIDTH2, 3).reshape(m, 3)
    np.add.at(curvature, problem.pulled, np.repeat(problem.stiffness[:, None] ** 2, 3, axis=1))
    rows = sp.vstack([*factors, contact_rows], format="csr")
    normal = (rows.T @ rows + sp.diags(curvature.reshape(-1))).tocsr()
    energy = ZoneEnergy(geometry=sum(t.energy for t in terms), contact=contact, density=-float(share @ density))
    value = energy.total + 0.5 * float((away**2).sum())
    return value, energy, density, gradient + pulls.reshape(-1), normal


def _contacts(zone: Zone, at: Array) -> tuple[float, sp.csr_matrix, Array]:
    """Energy, derivatives of z (r, 3m) and z of the pairs that are too close. (r,)"""
    m = len(at)
    inside = zone.pair_other >= 0
    other = np.where(inside[:, None], at[zone.pair_other], zone.held)
    delta = at[zone.pair_moving] - other
    distance = np.sqrt((delta**2).sum(axis=1))
    close = np.flatnonzero(distance < zone.distance)
    z = (distance[close] - zone.distance[close]) / CONTACT_SIGMA
    unit = delta[close] / np.maximum(distance[close], 1e-3)[:, None] / CONTACT_SIGMA
    row = np.repeat(np.arange(len(close)), 3)
    columns = (3 * zone.pair_moving[close][:, None] + np.arange(3)).reshape(-1)
    both = inside[close]
    far = (3 * zone.pair_other[close][both][:, None] + np.arange(3)).reshape(-1)
    values = np.concatenate([unit.reshape(-1), -unit[both].reshape(-1)])
    place = (np.concatenate([row, row.reshape(-1, 3)[both].reshape(-1)]), np.concatenate([columns, far]))
    return 0.5 * float(z @ z), sp.csr_matrix((values, place), shape=(len(close), 3 * m)), z
