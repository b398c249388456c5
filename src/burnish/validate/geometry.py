"""How far a model is from ideal stereochemistry: rms deviations, rms Z, outliers of all that its topology lists."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np
import torch
from torch import Tensor

from burnish.chemistry.topology import build_topology
from burnish.data.restraints import Origin, Restraints
from burnish.geometry.torsions import bond_angles, torsion_angles

OUTLIER_Z = 5.0
FULL_TURN = 2.0 * math.pi


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviations:
    """Deviations of all restraints of one kind.

    Attributes
    ----------
    atoms : indices of the atoms of each; in planes of the one atom that deviates. (n, k) int64
    value, target, sigma : Å, rad or Å³; the value of a plane is the distance of the atom from it. (n,)
    deviation : value − target, for torsions the shortest way to the nearest equivalent minimum. (n,)
    origin : an `Origin`. (n,) int64
    """

    atoms: Tensor
    value: Tensor
    target: Tensor
    sigma: Tensor
    deviation: Tensor
    origin: Tensor

    def __len__(self) -> int:
        return len(self.value)

    @property
    def z(self) -> Tensor:
        return self.deviation / self.sigma

    def only(self, chosen: Tensor) -> Deviations:
        """Those of a mask."""
        return Deviations(
            atoms=self.atoms[chosen],
            value=self.value[chosen],
            target=self.target[chosen],
            sigma=self.sigma[chosen],
            deviation=self.deviation[chosen],
            origin=self.origin[chosen],
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """Number of restraints of one kind, rms deviation (Å, degrees or Å³), rms Z and mean sigma in the same unit."""

    count: int
    rmsd: float
    rmsz: float
    mean_sigma: float


@dataclass(frozen=True, slots=True)
class Outlier:
    """One restraint far from its ideal: kind, names of its atoms, value and ideal (Å, degrees or Å³), and Z."""

    kind: str
    atoms: tuple[str, ...]
    value: float
    target: float
    z: float
    link: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometryReport:
    """Summary of each kind of restraint by name, and the outliers, worst first.

    Kinds: bond, angle, torsion, chiral, plane (without hydrogens, as the field counts); bond_h, angle_h with hydrogens;
    bond_link and angle_link for the links between residues alone.
    """

    summaries: Mapping[str, Summary]
    outliers: tuple[Outlier, ...]


def bond_deviations(restraints: Restraints, xyz: Tensor) -> Deviations:
    """Deviations of all bonds, those across symmetry to the image of the second atom."""
    bonds, images = restraints.bonds, restraints.images
    first, second = xyz[bonds.atoms[:, 0]], xyz[bonds.atoms[:, 1]]
    rotation, shift = images.rotation.to(xyz)[bonds.image], images.shift.to(xyz)[bonds.image]
    second = (rotation @ second[:, :, None])[:, :, 0] + shift
    value = (first - second).norm(dim=1)
    return Deviations(
        atoms=bonds.atoms,
        value=value,
        target=bonds.target,
        sigma=bonds.sigma,
        deviation=value - bonds.target,
        origin=bonds.origin,
    )


def angle_deviations(restraints: Restraints, xyz: Tensor) -> Deviations:
    """Deviations of all bond angles, rad."""
    angles = restraints.angles
    value = bond_angles(*(xyz[angles.atoms[:, k]] for k in range(3)))
    return Deviations(
        atoms=angles.atoms,
        value=value,
        target=angles.target,
        sigma=angles.sigma,
        deviation=value - angles.target,
        origin=angles.origin,
    )


def torsion_deviations(restraints: Restraints, xyz: Tensor) -> Deviations:
    """Deviations of the restrained torsions from their nearest minimum, rad."""
    torsions = restraints.torsions
    held = torsions.restrained
    atoms = torsions.atoms[held]
    value = torsion_angles(*(xyz[atoms[:, k]] for k in range(4)))
    target = torsions.target[held]
    step = FULL_TURN / torsions.period[held].clamp_min(1)
    away = value - target
    return Deviations(
        atoms=atoms,
        value=value,
        target=target,
        sigma=torsions.sigma[held],
        deviation=away - step * (away / step).round(),
        origin=torsions.origin[held],
    )


def chiral_deviations(restraints: Restraints, xyz: Tensor) -> Deviations:
    """Deviations of all chiral volumes, Å³."""
    chirals = restraints.chirals
    centre, a, b, c = (xyz[chirals.atoms[:, k]] for k in range(4))
    value = ((a - centre) * torch.linalg.cross(b - centre, c - centre)).sum(1)
    target = torch.where(chirals.either, chirals.target.abs() * torch.sign(value), chirals.target)
    return Deviations(
        atoms=chirals.atoms,
        value=value,
        target=target,
        sigma=chirals.sigma,
        deviation=value - target,
        origin=chirals.origin,
    )


def plane_deviations(restraints: Restraints, xyz: Tensor) -> Deviations:
    """Distance of each atom from the best plane through its group, Å, by the smallest principal axis."""
    planes = restraints.planes
    if len(planes) == 0:
        none = torch.zeros(0, dtype=xyz.dtype)
        no_atoms = torch.zeros(0, 1, dtype=torch.int64)
        return Deviations(atoms=no_atoms, value=none, target=none, sigma=none, deviation=none, origin=planes.origin)
    points, group = xyz[planes.atoms], planes.plane
    count = torch.bincount(group, minlength=len(planes)).to(xyz)[:, None]
    centre = torch.zeros(len(planes), 3, dtype=xyz.dtype).index_add_(0, group, points) / count
    away = points - centre[group]
    moment = torch.zeros(len(planes), 3, 3, dtype=xyz.dtype)
    moment.index_add_(0, group, away[:, :, None] * away[:, None, :])
    normal = torch.linalg.eigh(moment).eigenvectors[:, :, 0]
    value = (away * normal[group]).sum(1)
    return Deviations(
        atoms=planes.atoms[:, None],
        value=value,
        target=torch.zeros_like(value),
        sigma=planes.sigma,
        deviation=value,
        origin=planes.origin[group],
    )


def summarise(deviations: Deviations, unit: float = 1.0) -> Summary:
    """Root mean squares of a set of deviations.

    Parameters
    ----------
    deviations : of one kind.
    unit : what to multiply lengths or angles with, as 180/π for degrees.
    """
    if len(deviations) == 0:
        return Summary(0, 0.0, 0.0, 0.0)
    return Summary(
        count=len(deviations),
        rmsd=float(deviations.deviation.square().mean().sqrt()) * unit,
        rmsz=float(deviations.z.square().mean().sqrt()),
        mean_sigma=float(deviations.sigma.mean()) * unit,
    )


def report_geometry(
    restraints: Restraints, xyz: Tensor, names: Sequence[str], *, outlier_z: float = OUTLIER_Z
) -> GeometryReport:
    """Summaries and outliers of all that the topology lists.

    Parameters
    ----------
    restraints : of the model.
    xyz : positions, Å. (n, 3)
    names : of the atoms, as "A/GLU 41/CA".
    outlier_z : from which |Z| a restraint is listed.
    """
    degrees = float(np.degrees(1.0))
    kinds = {
        "bond": (bond_deviations(restraints, xyz), 1.0),
        "angle": (angle_deviations(restraints, xyz), degrees),
        "torsion": (torsion_deviations(restraints, xyz), degrees),
        "chiral": (chiral_deviations(restraints, xyz), 1.0),
        "plane": (plane_deviations(restraints, xyz), 1.0),
    }
    hydrogen = restraints.contacts.is_hydrogen
    summaries: dict[str, Summary] = {}
    outliers: list[Outlier] = []
    for kind, (all_of_kind, unit) in kinds.items():
        with_hydrogen = hydrogen[all_of_kind.atoms].any(1)
        heavy = all_of_kind.only(~with_hydrogen)
        summaries[kind] = summarise(heavy, unit)
        if kind in ("bond", "angle"):
            summaries[f"{kind}_h"] = summarise(all_of_kind.only(with_hydrogen), unit)
            summaries[f"{kind}_link"] = summarise(heavy.only(heavy.origin != Origin.MONOMER), unit)
        outliers += _outliers(kind, heavy, unit, names, outlier_z)
    outliers.sort(key=lambda outlier: -abs(outlier.z))
    return GeometryReport(summaries=summaries, outliers=tuple(outliers))


def validate_geometry(structure: gemmi.Structure, library: gemmi.MonLib) -> GeometryReport:
    """Geometry of the heavy atoms of the first model of a structure.

    Parameters
    ----------
    structure : the model; it is not changed.
    library : dictionaries of its components.
    """
    topology = build_topology(structure, library, hydrogens="remove")
    sites = list(topology.structure[0].all())
    xyz = torch.tensor(np.array([site.atom.pos.tolist() for site in sites]).reshape(-1, 3))
    names = [
        f"{site.chain.name} {site.residue.seqid} {site.residue.name} {site.atom.name}"
        + (f" {site.atom.altloc}" if site.atom.altloc != "\0" else "")
        for site in sites
    ]
    return report_geometry(topology.restraints, xyz, names)


def geometry_record(report: GeometryReport) -> dict[str, Any]:
    """A report as plain values, Å and degrees, as `validation.json` holds it; restraints of hydrogens left out."""
    return {
        **{
            kind: {
                "count": summary.count,
                "rmsd": round(summary.rmsd, 4),
                "rmsz": round(summary.rmsz, 3),
                "mean_sigma": round(summary.mean_sigma, 4),
            }
            for kind, summary in report.summaries.items()
            if not kind.endswith("_h")
        },
        "outliers": [
            {
                "kind": outlier.kind,
                "atoms": list(outlier.atoms),
                "value": round(outlier.value, 3),
                "ideal": round(outlier.target, 3),
                "z": round(outlier.z, 1),
                "link": outlier.link,
            }
            for outlier in report.outliers
        ],
    }


def _outliers(kind: str, deviations: Deviations, unit: float, names: Sequence[str], limit: float) -> list[Outlier]:
    z = deviations.z
    return [
        Outlier(
            kind=kind,
            atoms=tuple(names[atom] for atom in deviations.atoms[row].tolist()),
            value=float(deviations.value[row]) * unit,
            target=float(deviations.target[row]) * unit,
            z=float(z[row]),
            link=int(deviations.origin[row]) != Origin.MONOMER,
        )
        for row in torch.nonzero(z.abs() >= limit)[:, 0].tolist()
    ]
