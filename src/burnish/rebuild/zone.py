"""A few atoms with their restraints and neighbours, everything else held, and what they are refined against.

Energy of a zone, in units of −log probability:

    ½ Σ z² of every restraint that touches it + ½ Σ z² of its contacts − w Σ (Z/6) occ ρ(x)/σ

minimised by damped Gauss–Newton steps on a dense matrix: zones have tens of atoms (see `zone_refinement`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from burnish.data.particle_symmetry import Symmetry
from burnish.data.restraints import ContactTypes
from burnish.maps.sampling import SplineMap
from burnish.models.restraints.nonbonded import contact_distances
from burnish.models.restraints.planes import PlaneBatch
from burnish.models.restraints.ramachandran import Backbone
from burnish.models.restraints.side_chains import SideChains
from burnish.models.restraints.stereochemistry import Stereochemistry
from burnish.symmetry.images import images_near

Array = NDArray[np.float64]
Index = NDArray[np.int64]

DENSITY_WEIGHT = 2.0  # of one σ at a carbon atom: a difference of 1σ of 2mFo − DFc is about 3σ of mFo − DFc
CONTACT_REACH = 4.2  # Å; no contact distance between atoms without hydrogens is longer
SLACK = 1.5  # Å; how far a zone may move before its list of neighbours would have to be made anew
PEAK_WIDTH2 = 0.35  # Å²; curvature of density at an atom, for the damping of steps only
LONGEST_STEP = 0.4  # Å


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Every atom of a model and of its symmetry mates near it.

    Attributes
    ----------
    xyz : Å. (m, 3)
    source : atom of the model that each is a copy of. (m,)
    is_own : whether it is that atom itself. (m,)
    tree : of `xyz`.
    """

    xyz: Array
    source: Index
    is_own: NDArray[np.bool_]
    tree: cKDTree


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSystem:
    """What zones of one model share.

    Attributes
    ----------
    stereochemistry : restraints of the whole model.
    contacts : radii and roles of its atoms.
    electrons : of each atom. (n,)
    occ : (n,)
    crystal : for symmetry mates; None without.
    backbone : residues whose φ and ψ are drawn to where they usually are; None without.
    side_chains : the same of their χ; None without.
    """

    stereochemistry: Stereochemistry
    contacts: ContactTypes
    electrons: Array
    occ: Array
    crystal: Symmetry | None
    backbone: Backbone | None = None
    side_chains: SideChains | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneEnergy:
    """Energy of a zone by kind, −log probability; `density` is minus the weighted sum of density.

    `torsions` is that of φ, ψ and χ, which helps refinement find its way; moves are judged by their own torsion term.
    """

    geometry: float
    contact: float
    density: float
    torsions: float = 0.0

    @property
    def total(self) -> float:
        return self.geometry + self.contact + self.density + self.torsions


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A map to fit.

    Attributes
    ----------
    spline : the density.
    sigma : its unit: rms of the 2mFo − DFc map.
    weight : of one σ at a carbon atom.
    """

    spline: SplineMap
    sigma: float
    weight: float = DENSITY_WEIGHT


def surroundings(xyz: Array, crystal: Symmetry | None) -> Surroundings:
    """Copies of all atoms within reach of the model."""
    if crystal is None:
        own = np.ones(len(xyz), dtype=bool)
        return Surroundings(xyz=xyz.copy(), source=np.arange(len(xyz)), is_own=own, tree=cKDTree(xyz))
    images = images_near(crystal, xyz, xyz, CONTACT_REACH + SLACK)
    return Surroundings(xyz=images.xyz, source=images.source, is_own=images.is_identity, tree=cKDTree(images.xyz))


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """Some atoms with the restraints and neighbours that they have.

    Attributes
    ----------
    atoms : indices of the atoms that move. (m,)
    local : the atoms that move, then those that restraints tie them to. (l,)
    restraints : those that touch moving atoms, their atoms as indices into `local`.
    backbone, side_chains : residues with a moving atom in their φ or ψ, or in a χ, likewise.
    pair_moving : index into `atoms` of the first of each pair in contact. (p,)
    pair_other : the second, an index into `atoms`, or −1 where it is held. (p,)
    held : position of the second where it is held. (p, 3)
    distance : shortest distance without repulsion. (p,)
    """

    atoms: Index
    local: Index
    restraints: Stereochemistry
    backbone: Backbone
    side_chains: SideChains
    pair_moving: Index
    pair_other: Index
    held: Array
    distance: Array


def make_zone(system: ZoneSystem, around: Surroundings, atoms: Index, candidates: Array) -> Zone:
    """Collect what a zone needs.

    Parameters
    ----------
    system, around : of the whole model.
    atoms : that move. (m,)
    candidates : positions that they may start from; neighbours of all of them are found. (c, m, 3)
    """
    place = np.full(len(system.occ), -1, dtype=np.int64)
    place[atoms] = np.arange(len(atoms))
    points = candidates.reshape(-1, 3)
    near: Any = around.tree.query_ball_point(points, CONTACT_REACH + SLACK)  # a list of indices for each point
    others = np.concatenate([np.array(n, dtype=np.int64) for n in near])
    moving = np.repeat(np.tile(np.arange(len(atoms)), len(candidates)), [len(n) for n in near])
    found = np.unique(moving * len(around.xyz) + others)
    k: Index = found // len(around.xyz)
    j: Index = found % len(around.xyz)
    source, own = around.source[j], around.is_own[j]
    other = np.where(own, place[source], -1)
    keep = ~((other >= 0) & (other <= k))  # pairs inside the zone once
    k, source, own, other, j = k[keep], source[keep], own[keep], other[keep], j[keep]
    near_bonds = _near_bonds(system.contacts, atoms[k], source, own)
    conformer = system.contacts.conformer.numpy()
    a, b = conformer[atoms[k]], conformer[source]
    keep = ((a == b) | (a == 0) | (b == 0)) & ((near_bonds < 0) | (near_bonds == 3))
    keep &= own | (source != atoms[k])  # an atom's own image: special positions
    k, source, other, j, near_bonds = k[keep], source[keep], other[keep], j[keep], near_bonds[keep]
    local, restraints, backbone, side_chains = _localised(system, atoms, place >= 0)
    return Zone(
        atoms=atoms,
        local=local,
        restraints=restraints,
        backbone=backbone,
        side_chains=side_chains,
        pair_moving=k,
        pair_other=other,
        held=around.xyz[j],
        distance=contact_distances(system.contacts, np.stack([atoms[k], source], axis=1), near_bonds),
    )


def _near_bonds(types: ContactTypes, first: Index, second: Index, own: NDArray[np.bool_]) -> Index:
    """Bonds between atoms, 1 to 3; −1 where there are more or the second is a symmetry mate."""
    near, bonds = types.near.numpy(), types.near_bonds.numpy()
    result = np.full(len(first), -1, dtype=np.int64)
    if len(near) == 0 or len(first) == 0:
        return result
    n = len(types)
    code = near[:, 0] * n + near[:, 1]
    wanted = np.minimum(first, second) * n + np.maximum(first, second)
    at = np.minimum(np.searchsorted(code, wanted), len(code) - 1)
    found = (code[at] == wanted) & own
    result[found] = bonds[at[found]]
    return result


def _touching(s: Stereochemistry, moving: NDArray[np.bool_]) -> Stereochemistry:
    """The restraints with at least one moving atom; bonds across symmetry are left out."""
    b = moving[s.bond_atoms].any(axis=1) & (s.bond_image == 0)
    a, t, c = (moving[x].any(axis=1) for x in (s.angle_atoms, s.torsion_atoms, s.chiral_atoms))
    planes = []
    for batch in s.planes:
        touched = moving[batch.atoms].any(axis=1)
        if touched.any():
            planes.append(PlaneBatch(atoms=batch.atoms[touched], sigma=batch.sigma[touched]))
    return replace(
        s,
        bond_atoms=s.bond_atoms[b],
        bond_target=s.bond_target[b],
        bond_sigma=s.bond_sigma[b],
        bond_image=s.bond_image[b],
        angle_atoms=s.angle_atoms[a],
        angle_target=s.angle_target[a],
        angle_sigma=s.angle_sigma[a],
        torsion_atoms=s.torsion_atoms[t],
        torsion_target=s.torsion_target[t],
        torsion_sigma=s.torsion_sigma[t],
        torsion_period=s.torsion_period[t],
        chiral_atoms=s.chiral_atoms[c],
        chiral_target=s.chiral_target[c],
        chiral_sigma=s.chiral_sigma[c],
        chiral_either=s.chiral_either[c],
        planes=tuple(planes),
    )


def _localised(
    system: ZoneSystem, atoms: Index, moving: NDArray[np.bool_]
) -> tuple[Index, Stereochemistry, Backbone, SideChains]:
    """The atoms that restraints touch, the moving ones first, and the restraints in terms of them."""
    s, backbone, chi = _touching(system.stereochemistry, moving), system.backbone, system.side_chains or SideChains()
    if backbone is None:
        backbone = Backbone(atoms=np.zeros((0, 5), dtype=np.int64), kind=np.zeros(0, dtype=np.int64))
    near = moving[backbone.atoms].any(axis=1)
    backbone = Backbone(atoms=backbone.atoms[near], kind=backbone.kind[near])
    turned = [(n, a[moving[a].any(axis=1)]) for n, a in zip(chi.names, chi.atoms, strict=True)]
    turned = [(name, chains) for name, chains in turned if len(chains)]
    kinds = ("bond_atoms", "angle_atoms", "torsion_atoms", "chiral_atoms")
    touched = [getattr(s, kind).reshape(-1) for kind in kinds] + [batch.atoms.reshape(-1) for batch in s.planes]
    touched += [backbone.atoms.reshape(-1), *(chains.reshape(-1) for _, chains in turned)]
    held = np.setdiff1d(np.concatenate(touched), atoms)
    local = np.concatenate([atoms, held]).astype(np.int64)
    place = np.full(len(moving), -1, dtype=np.int64)
    place[local] = np.arange(len(local))
    planes = tuple(PlaneBatch(atoms=place[batch.atoms], sigma=batch.sigma) for batch in s.planes)
    here = replace(s, **{kind: place[getattr(s, kind)] for kind in kinds}, planes=planes)
    side_chains = SideChains(names=tuple(n for n, _ in turned), atoms=tuple(place[chains] for _, chains in turned))
    return local, here, Backbone(atoms=place[backbone.atoms], kind=backbone.kind), side_chains


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneResult:
    """A refined zone.

    Attributes
    ----------
    xyz : of its atoms. (m, 3)
    energy : by kind.
    density : at each atom, σ. (m,)
    """

    xyz: Array
    energy: ZoneEnergy
    density: Array
