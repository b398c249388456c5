"""All stereochemical restraints of a model together: their energy for the optimiser and their deviations for the
report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from burnish.data.restraints import Restraints
from burnish.models.restraints.covalent import angle_residuals, bond_residuals, chiral_residuals, torsion_residuals
from burnish.models.restraints.nonbonded import Contacts, contact_residuals
from burnish.models.restraints.planes import PlaneBatch, batch_planes, plane_distances, plane_term
from burnish.models.restraints.term import Array, Index, Mask, Residuals, Term, harmonic_term
from burnish.models.restraints.weights import GeometryWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class Stereochemistry:
    """Restraints as arrays, made once from the record of tensors.

    Attributes
    ----------
    source : the record.
    bonds, angles, torsions, chirals : atoms, ideal values, σ and what else the residuals need.
    planes : by size.
    """

    source: Restraints
    bond_atoms: Index
    bond_target: Array
    bond_sigma: Array
    bond_image: Index
    angle_atoms: Index
    angle_target: Array
    angle_sigma: Array
    torsion_atoms: Index
    torsion_target: Array
    torsion_sigma: Array
    torsion_period: Index
    chiral_atoms: Index
    chiral_target: Array
    chiral_sigma: Array
    chiral_either: Mask
    planes: tuple[PlaneBatch, ...]
    heavy: Mask

    @property
    def bonded_images(self) -> Index:
        """Pairs of atoms bonded across symmetry. (m, 2)"""
        return self.bond_atoms[self.bond_image > 0]


def stereochemistry(restraints: Restraints, *, nuclei: bool = False) -> Stereochemistry:
    """Arrays of all restraints that refinement holds.

    Parameters
    ----------
    nuclei : bonds to hydrogen end at its nucleus (neutrons) instead of its electron cloud.
    """
    b, a, t, c, p = restraints.bonds, restraints.angles, restraints.torsions, restraints.chirals, restraints.planes
    held = t.restrained.numpy()
    return Stereochemistry(
        source=restraints,
        bond_atoms=b.atoms.numpy(),
        bond_target=(b.target_nucleus if nuclei else b.target).numpy(),
        bond_sigma=(b.sigma_nucleus if nuclei else b.sigma).numpy(),
        bond_image=b.image.numpy(),
        angle_atoms=a.atoms.numpy(),
        angle_target=a.target.numpy(),
        angle_sigma=a.sigma.numpy(),
        torsion_atoms=t.atoms.numpy()[held],
        torsion_target=t.target.numpy()[held],
        torsion_sigma=t.sigma.numpy()[held],
        torsion_period=t.period.numpy()[held],
        chiral_atoms=c.atoms.numpy(),
        chiral_target=c.target.numpy(),
        chiral_sigma=c.sigma.numpy(),
        chiral_either=c.either.numpy(),
        planes=batch_planes(p.atoms.numpy(), p.plane.numpy(), p.sigma.numpy()),
        heavy=~restraints.contacts.is_hydrogen.numpy(),
    )


def _bonds(xyz: Array, s: Stereochemistry) -> Residuals:
    """Bond residuals; the second atom of a bond across symmetry is that of the image."""
    if not (s.bond_image > 0).any():
        return bond_residuals(xyz, s.bond_atoms, s.bond_target, s.bond_sigma)
    rotation = s.source.images.rotation.numpy()[s.bond_image]
    shift = s.source.images.shift.numpy()[s.bond_image]
    n = len(s.bond_atoms)
    moved = np.einsum("nij,nj->ni", rotation, xyz[s.bond_atoms[:, 1]]) + shift
    ends = np.concatenate([xyz[s.bond_atoms[:, 0]], moved])
    plain = bond_residuals(ends, np.stack([np.arange(n), np.arange(n, 2 * n)], axis=1), s.bond_target, s.bond_sigma)
    second = np.einsum("nij,ni->nj", rotation, plain.jacobian[:, 1])
    jacobian = np.stack([plain.jacobian[:, 0], second], axis=1)
    return Residuals(value=plain.value, deviation=plain.deviation, z=plain.z, atoms=s.bond_atoms, jacobian=jacobian)


def covalent_residuals(xyz: Array, s: Stereochemistry) -> dict[str, Residuals]:
    """Residuals of bonds, angles, torsions and chiral volumes by name."""
    return dict(_each_covalent(xyz, s))


def _each_covalent(xyz: Array, s: Stereochemistry) -> Iterator[tuple[str, Residuals]]:
    yield "bond", _bonds(xyz, s)
    yield "angle", angle_residuals(xyz, s.angle_atoms, s.angle_target, s.angle_sigma)
    yield "torsion", torsion_residuals(xyz, s.torsion_atoms, s.torsion_target, s.torsion_sigma, s.torsion_period)
    yield "chiral", chiral_residuals(xyz, s.chiral_atoms, s.chiral_target, s.chiral_sigma, s.chiral_either)


def geometry_terms(xyz: Array, s: Stereochemistry, contacts: Contacts, weights: GeometryWeights) -> Iterator[Term]:
    """Energy, gradient and curvature of every kind of stereochemical restraint, one after the other."""
    n = len(xyz)
    for kind, residuals in _each_covalent(xyz, s):
        yield harmonic_term(kind, residuals, n, getattr(weights, kind))
    yield plane_term(xyz, s.planes, weights.plane)
    yield harmonic_term("contact", contact_residuals(xyz, contacts), n, weights.contact)


def geometry_energy(xyz: Array, s: Stereochemistry, contacts: Contacts, weights: GeometryWeights) -> float:
    """Energy alone, for trial steps."""
    energy = 0.0
    for name, residuals in _each_covalent(xyz, s):
        energy += 0.5 * getattr(weights, name) * float(residuals.z @ residuals.z)
    for batch in s.planes:
        energy += 0.5 * weights.plane * float(((plane_distances(xyz, batch)[0] / batch.sigma) ** 2).sum())
    z = contact_residuals(xyz, contacts).z
    return energy + 0.5 * weights.contact * float(z @ z)


def _rms(values: Array) -> float:
    return float(np.sqrt((values**2).mean())) if len(values) else 0.0


def geometry_statistics(xyz: Array, s: Stereochemistry, contacts: Contacts) -> dict[str, float]:
    """Root mean square deviations (Å, degrees, Å³) and Z of the restraints without hydrogens, with the worst bond
    and angle.

    Everything that the topology lists counts, restrained well or not: a stretched link shows here.
    """
    result: dict[str, float] = {}
    for name, residuals in _each_covalent(xyz, s):
        chosen = s.heavy[residuals.atoms].all(axis=1) if len(residuals.atoms) else np.zeros(0, dtype=bool)
        unit = np.degrees(1.0) if name in ("angle", "torsion") else 1.0
        result[f"{name}_rmsd"] = float(unit) * _rms(residuals.deviation[chosen])
        result[f"{name}_rmsz"] = _rms(residuals.z[chosen])
        if name in ("bond", "angle"):
            result[f"{name}_max_z"] = float(np.abs(residuals.z[chosen]).max(initial=0.0))
    planes = [(plane_distances(xyz, batch)[0], batch) for batch in s.planes]
    chosen_distance = [d[s.heavy[b.atoms]] for d, b in planes]
    chosen_z = [(d / b.sigma)[s.heavy[b.atoms]] for d, b in planes]
    result["plane_rmsd"] = _rms(np.concatenate(chosen_distance)) if planes else 0.0
    result["plane_rmsz"] = _rms(np.concatenate(chosen_z)) if planes else 0.0
    contact = contact_residuals(xyz, contacts)
    result["contact_rmsz"] = _rms(contact.z)
    result["n_close_contacts"] = float((contact.z < -2.0).sum())
    return result
