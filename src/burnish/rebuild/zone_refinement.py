"""Refinement of zones, many starts of one zone at once.

Every start is a copy of the zone among the same held atoms; copies do not see each other. All copies are evaluated
together, one after another in the same arrays, since a zone of tens of atoms spends its time in calls and not in
arithmetic; each has its own damping, and leaves when it has come to rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from burnish.maps.sampling import sample, sample_with_gradient
from burnish.models.restraints.nonbonded import SIGMA as CONTACT_SIGMA
from burnish.models.restraints.planes import PlaneBatch, plane_blocks, plane_distances
from burnish.models.restraints.ramachandran import backbone_mixture
from burnish.models.restraints.side_chains import side_chain_mixture
from burnish.models.restraints.stereochemistry import Stereochemistry, covalent_residuals
from burnish.models.restraints.torsion_chains import Mixture, chain_energy, stack_mixtures
from burnish.rebuild.zone import LONGEST_STEP, PEAK_WIDTH2, Target, Zone, ZoneEnergy, ZoneResult, ZoneSystem

Array = NDArray[np.float64]
Index = NDArray[np.int64]

LEAST_GAIN = 0.02  # −log probability of a step; less ends the refinement
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 0.05, 1e-4, 1e4
KINDS = ("bond_atoms", "angle_atoms", "torsion_atoms", "chiral_atoms")  # in the order of `covalent_residuals`
VALUES = (
    *("bond_target", "bond_sigma", "bond_image", "angle_target", "angle_sigma", "torsion_target", "torsion_sigma"),
    *("torsion_period", "chiral_target", "chiral_sigma", "chiral_either"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Some copies of a zone at their positions.

    Attributes
    ----------
    geometry, contact, density, torsions : energies of each copy, as in `ZoneEnergy`. (c,)
    rho : density at its atoms, σ. (c, m)
    gradient : of the energy. (c, 3m)
    normal : Gauss–Newton matrix. (c, 3m, 3m)
    """

    geometry: Array
    contact: Array
    density: Array
    torsions: Array
    rho: Array
    gradient: Array
    normal: Array

    @property
    def total(self) -> Array:
        """Energy of each copy. (c,)"""
        return np.asarray(self.geometry + self.contact + self.density + self.torsions)

    def energy(self, k: int) -> ZoneEnergy:
        """That of one copy."""
        return ZoneEnergy(
            geometry=float(self.geometry[k]),
            contact=float(self.contact[k]),
            density=float(self.density[k]),
            torsions=float(self.torsions[k]),
        )


class Copies:
    """A zone with its restraints written out for several copies of it.

    Parameters
    ----------
    system, zone, target : what is refined against what.
    xyz : positions of all atoms, Å; those of the zone are not used, none is changed. (n, 3)
    """

    def __init__(self, system: ZoneSystem, zone: Zone, xyz: Array, target: Target) -> None:
        self.zone, self.target = zone, target
        self.held = xyz[zone.local[len(zone.atoms) :]]
        self.share = target.weight * system.electrons[zone.atoms] / 6.0 * system.occ[zone.atoms]
        self.chains = _chains(zone)
        self._written: dict[int, tuple[Stereochemistry, list[tuple[Index, Mixture]]]] = {}

    def evaluate(self, at: Array) -> Evaluation:
        """Energy and its derivatives at positions of the zone's atoms, Å. at: (c, m, 3)"""
        zone, (count, m, _) = self.zone, at.shape
        local = np.concatenate([at, np.broadcast_to(self.held, (count, *self.held.shape))], axis=1).reshape(-1, 3)
        restraints, chains = self._for(count)
        gradient, normal = np.zeros((count, 3 * m)), np.zeros((count, 3 * m, 3 * m))
        geometry = self._covalent(local, restraints, gradient, normal)
        geometry += self._planes(local, restraints, gradient, normal)
        torsions = self._torsions(local, chains, gradient, normal)
        contact = np.zeros(count)
        _add_contacts(
            at, zone.pair_moving, zone.pair_other, zone.held, zone.distance, CONTACT_SIGMA, contact, gradient, normal
        )
        value, slope = sample_with_gradient(self.target.spline, torch.from_numpy(at.reshape(-1, 3)))
        rho = value.numpy().reshape(count, m) / self.target.sigma
        gradient -= (self.share[:, None] * slope.numpy().reshape(count, m, 3) / self.target.sigma).reshape(count, -1)
        _mirror(normal)
        each = np.arange(3 * m)
        normal[:, each, each] += np.repeat(self.share * np.maximum(rho, 0.5) / PEAK_WIDTH2, 3, axis=1)
        return Evaluation(
            geometry=geometry,
            contact=contact,
            density=-(rho @ self.share),
            torsions=torsions,
            rho=rho,
            gradient=gradient,
            normal=normal,
        )

    def _for(self, count: int) -> tuple[Stereochemistry, list[tuple[Index, Mixture]]]:
        """Restraints and torsions of the first `count` copies, whose atoms follow each other."""
        if count not in self._written:
            step = len(self.zone.local)
            chains = [(_shifted(atoms, count, step), _repeated(m, count)) for atoms, m in self.chains]
            self._written[count] = _written_out(self.zone.restraints, count, step), chains
        return self._written[count]

    def _covalent(self, local: Array, restraints: Stereochemistry, gradient: Array, normal: Array) -> Array:
        count = len(gradient)
        energy = np.zeros(count)
        for kind, found in zip(KINDS, covalent_residuals(local, restraints).values(), strict=True):
            atoms = getattr(self.zone.restraints, kind)
            if len(atoms) == 0:
                continue
            z = found.z.reshape(count, -1)
            energy += 0.5 * (z**2).sum(axis=1)
            _add_rows(atoms, found.jacobian.reshape(count, *atoms.shape, 3), z, gradient, normal)
        return energy

    def _planes(self, local: Array, restraints: Stereochemistry, gradient: Array, normal: Array) -> Array:
        count = len(gradient)
        energy = np.zeros(count)
        for batch, one in zip(restraints.planes, self.zone.restraints.planes, strict=True):
            distance, direction, relative = plane_distances(local, batch)
            z = (distance / batch.sigma).reshape(count, -1)
            energy += 0.5 * (z**2).sum(axis=1)
            n, size = one.atoms.shape
            rows = plane_blocks(batch, direction, relative).reshape(count, n * size, size, 3)
            _add_rows(np.repeat(one.atoms, size, axis=0), rows, z, gradient, normal)
        return energy

    def _torsions(self, local: Array, chains: list[tuple[Index, Mixture]], gradient: Array, normal: Array) -> Array:
        count = len(gradient)
        energy = np.zeros(count)
        for (atoms, mixture), (one, _) in zip(chains, self.chains, strict=True):
            value, slope, rows = chain_energy(local, atoms, mixture)
            energy += value.reshape(count, -1).sum(axis=1)
            n, length = one.shape
            flat = np.zeros((count, n * (length - 3)))
            rows = rows.reshape(count, n * (length - 3), length, 3)
            _add_rows(np.repeat(one, length - 3, axis=0), rows, flat, gradient, normal)
            _add_slopes(one, slope.reshape(count, n, length, 3), gradient)
        return energy


def _chains(zone: Zone) -> list[tuple[Index, Mixture]]:
    """Backbones and side chains of a zone by their number of torsions, with the density of each."""
    rows: dict[int, list[tuple[Index, Mixture]]] = {}
    for atoms, kind in zip(zone.backbone.atoms, zone.backbone.kind.tolist(), strict=True):
        rows.setdefault(len(atoms), []).append((atoms, backbone_mixture(kind)))
    for name, group in zip(zone.side_chains.names, zone.side_chains.atoms, strict=True):
        for atoms in group:
            rows.setdefault(len(atoms), []).append((atoms, side_chain_mixture(name)))
    return [(np.stack([a for a, _ in same]), stack_mixtures([m for _, m in same])) for same in rows.values()]


def _shifted(atoms: Index, count: int, step: int) -> Index:
    """Atoms of restraints (n, k) for copies that follow each other in steps. (count n, k)"""
    return np.asarray((atoms[None] + step * np.arange(count)[:, None, None]).reshape(-1, atoms.shape[1]))


def _repeated(m: Mixture, count: int) -> Mixture:
    values = (m.fold, m.mean, m.kappa, m.coupling, m.log_weight)
    return Mixture(*(np.concatenate([v] * count) for v in values))


def _written_out(s: Stereochemistry, count: int, step: int) -> Stereochemistry:
    """The restraints of one copy for several, whose atoms follow each other in steps."""
    written: dict[str, Any] = {kind: _shifted(getattr(s, kind), count, step) for kind in KINDS}
    written |= {name: np.tile(getattr(s, name), count) for name in VALUES}
    written["planes"] = tuple(
        PlaneBatch(atoms=_shifted(b.atoms, count, step), sigma=np.tile(b.sigma, (count, 1))) for b in s.planes
    )
    return replace(s, **written)


@numba.njit(cache=True)
def _add_rows(atoms, rows, z, gradient, normal):
    """Add rows of the Gauss–Newton factor of each copy: Jᵀz to the gradient, the lower half of JᵀJ to the matrix.

    atoms (r, k), rows (c, r, k, 3), z (c, r); atoms beyond those that move have no place in gradient and matrix.
    """
    moving = gradient.shape[1] // 3
    for c in range(rows.shape[0]):
        for r in range(rows.shape[1]):
            for p in range(atoms.shape[1]):
                a = atoms[r, p]
                if a >= moving:
                    continue
                for i in range(3):
                    u = rows[c, r, p, i]
                    gradient[c, 3 * a + i] += u * z[c, r]
                    for q in range(atoms.shape[1]):
                        b = atoms[r, q]
                        if b <= a:
                            for j in range(3):
                                normal[c, 3 * a + i, 3 * b + j] += u * rows[c, r, q, j]


@numba.njit(cache=True)
def _add_slopes(atoms, slopes, gradient):
    """Add derivatives by atoms (n, k) of each copy, (c, n, k, 3), to the gradient; those of held atoms are dropped."""
    moving = gradient.shape[1] // 3
    for c in range(slopes.shape[0]):
        for r in range(atoms.shape[0]):
            for p in range(atoms.shape[1]):
                if atoms[r, p] < moving:
                    for i in range(3):
                        gradient[c, 3 * atoms[r, p] + i] += slopes[c, r, p, i]


@numba.njit(cache=True)
def _add_contacts(at, first, second, held, shortest, sigma, energy, gradient, normal):
    """Add the repulsion of pairs that are too close: ½ ((d − shortest)/σ)² each."""
    for c in range(at.shape[0]):
        for k in range(len(first)):
            a, b = first[k], second[k]
            dx, dy, dz = at[c, a, 0], at[c, a, 1], at[c, a, 2]
            if b >= 0:
                dx, dy, dz = dx - at[c, b, 0], dy - at[c, b, 1], dz - at[c, b, 2]
            else:
                dx, dy, dz = dx - held[k, 0], dy - held[k, 1], dz - held[k, 2]
            square = dx * dx + dy * dy + dz * dz
            if square >= shortest[k] * shortest[k]:
                continue
            distance = np.sqrt(square)
            z = (distance - shortest[k]) / sigma
            scale = 1.0 / (max(distance, 1e-3) * sigma)
            unit = (dx * scale, dy * scale, dz * scale)
            energy[c] += 0.5 * z * z
            for i in range(3):
                gradient[c, 3 * a + i] += unit[i] * z
                for j in range(3):
                    normal[c, 3 * a + i, 3 * a + j] += unit[i] * unit[j]
                if b >= 0:
                    gradient[c, 3 * b + i] -= unit[i] * z
                    for j in range(3):
                        normal[c, 3 * b + i, 3 * b + j] += unit[i] * unit[j]
                        normal[c, 3 * max(a, b) + i, 3 * min(a, b) + j] -= unit[i] * unit[j]


@numba.njit(cache=True)
def _mirror(normal):
    """Fill the upper half of each matrix from the lower."""
    for c in range(normal.shape[0]):
        for i in range(normal.shape[1]):
            for j in range(i):
                normal[c, j, i] = normal[c, i, j]


def refine_zones(
    system: ZoneSystem, zone: Zone, xyz: Array, starts: Array, target: Target, *, steps: int | Sequence[int] = 12
) -> list[ZoneResult]:
    """Refine the atoms of a zone from several starts, each by itself.

    Parameters
    ----------
    system, zone : restraints and neighbours.
    xyz : positions of all atoms, Å; those of the zone are not used, none is changed. (n, 3)
    starts : of the zone's atoms, Å. (c, m, 3)
    target : density to fit.
    steps : most Gauss–Newton steps, of all or of each.
    """
    count, m = starts.shape[:2]
    if count == 0:
        return []
    copies = Copies(system, zone, xyz, target)
    most = np.broadcast_to(np.asarray(steps), (count,))
    now, damping = starts.copy(), np.full(count, FIRST_DAMPING)
    first = copies.evaluate(now)
    total, gradient, normal = first.total, first.gradient, first.normal
    energies, rho = [first.energy(k) for k in range(count)], first.rho.copy()
    each = np.arange(3 * m)
    going = np.flatnonzero(most > 0)
    for step in range(1, int(most.max(initial=0)) + 1):
        if len(going) == 0:
            break
        matrix = normal[going]
        matrix[:, each, each] += damping[going, None] * matrix[:, each, each] + 1e-3
        move = np.linalg.solve(matrix, -gradient[going][..., None]).reshape(-1, m, 3)
        longest = np.sqrt((move**2).sum(axis=2)).max(axis=1)
        move *= np.minimum(1.0, LONGEST_STEP / np.maximum(longest, 1e-9))[:, None, None]
        trial = copies.evaluate(now[going] + move)
        found = trial.total
        better = found < total[going]
        at_rest = better & (total[going] - found < LEAST_GAIN)
        taken = going[better]
        now[taken] += move[better]
        total[taken], gradient[taken], normal[taken] = found[better], trial.gradient[better], trial.normal[better]
        rho[taken] = trial.rho[better]
        for k in np.flatnonzero(better):
            energies[going[k]] = trial.energy(int(k))
        damping[going] = np.where(better, np.maximum(damping[going] / 3.0, LEAST_DAMPING), damping[going] * 5.0)
        going = going[~at_rest & (damping[going] <= MOST_DAMPING) & (step < most[going])]
    return [ZoneResult(xyz=now[k], energy=energies[k], density=rho[k]) for k in range(count)]


def refine_zone(
    system: ZoneSystem, zone: Zone, xyz: Array, start: Array, target: Target, *, steps: int = 12
) -> ZoneResult:
    """Refine the atoms of a zone from one start (m, 3); see `refine_zones`."""
    return refine_zones(system, zone, xyz, start[None], target, steps=steps)[0]


def zone_energy(system: ZoneSystem, zone: Zone, xyz: Array, at: Array, target: Target) -> tuple[ZoneEnergy, Array]:
    """Energy of a zone at positions (m, 3), and the density at its atoms, σ."""
    found = Copies(system, zone, xyz, target).evaluate(at[None])
    return found.energy(0), found.rho[0]


def first_scores(
    system: ZoneSystem, zone: Zone, candidates: Array, target: Target, worst_contact: float
) -> NDArray[np.float64]:
    """Density and contacts of many positions of a zone, by which candidates are sorted out. (c,)

    Parameters
    ----------
    candidates : (c, m, 3).
    worst_contact : contacts are counted up to this energy: refinement resolves what is only a little too close.
    """
    count, m = candidates.shape[:2]
    rho = sample(target.spline, torch.from_numpy(candidates.reshape(-1, 3))).numpy().reshape(count, m) / target.sigma
    score = -(rho @ (target.weight * system.electrons[zone.atoms] / 6.0 * system.occ[zone.atoms]))
    if len(zone.pair_moving) == 0:
        return np.asarray(score)
    inside = zone.pair_other >= 0
    other = np.where(inside[:, None], candidates[:, zone.pair_other], zone.held)
    distance = np.sqrt(((candidates[:, zone.pair_moving] - other) ** 2).sum(axis=2))
    z = np.minimum(distance - zone.distance, 0.0) / CONTACT_SIGMA
    return np.asarray(score + np.minimum(0.5 * (z**2).sum(axis=1), worst_contact))
