"""Ligands placed in density that nothing explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.conformers import Shapes
from burnish.chemistry.residues import ResidueView
from burnish.data.atoms import Atoms
from burnish.data.particle_symmetry import Symmetry
from burnish.data.sampled_map import SampledMap
from burnish.maps.sampling import points_near, sample, spline_map
from burnish.rebuild.blobs import Blob, box_map, evened, find_blobs, near_atoms
from burnish.rebuild.evidence import Evidence, own_density
from burnish.rebuild.flexible import FlexibleBody, flexible_body
from burnish.rebuild.pose_search import Pose, search_poses, varied_shapes
from burnish.symmetry.images import images_near
from burnish.validate.density_fit import mask_radius

Array = NDArray[np.float64]
Index = NDArray[np.int64]

VOLUME_OF_ATOM = 7.0  # Å³ above 2σ that an ordered atom of a ligand shows at usual resolution
ALIKE = 1.3  # of volumes of the same blob with waters and without
WATER_REACH = 2.4  # Å; waters nearer than that to a ligand's atom give way


@dataclass(frozen=True, slots=True, kw_only=True)
class LigandRules:
    """What a ligand must show.

    Attributes
    ----------
    least_correlation : of its own density with the density that is left for it.
    least_z : mean mFo − DFc at its atoms, σ.
    least_share : of its atoms above 1σ of mFo − DFc.
    least_volume : of the blob, as a share of what the ligand would fill.
    most_waters : that give way, as a share of its atoms, one at least: a row of good waters is no ligand.
    conformers : to start from.
    blobs : of density that no water explains, searched one after another.
    water_blobs : searched after them, waters being taken back.
    sure : a correlation at which no other blob is looked at.
    """

    least_correlation: float = 0.70
    least_z: float = 3.0
    least_share: float = 0.8
    least_volume: float = 0.25
    most_waters: float = 0.25
    conformers: int = 40
    blobs: int = 10
    water_blobs: int = 2
    sure: float = 0.80


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexplained:
    """Density that is free for a ligand.

    Attributes
    ----------
    difference : mFo − DFc with the density of waters put back.
    residual : mFo − DFc.
    sigma : of the difference map.
    keep : atoms that a ligand may not touch, Å. (k, 3)
    waters : index of each water's oxygen.
    """

    difference: SampledMap
    residual: SampledMap
    sigma: float
    keep: Array
    waters: Index


@dataclass(frozen=True, slots=True, kw_only=True)
class LigandFit:
    """How a ligand fits where it was placed.

    Attributes
    ----------
    correlation : of its own DFc with the density left for it, near its atoms.
    mean_z : mean mFo − DFc (waters that give way taken out) at its atoms, σ.
    share : of its atoms above 1σ.
    """

    correlation: float
    mean_z: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A blob, and the density that it was found in and is searched."""

    blob: Blob
    density: SampledMap


@dataclass(frozen=True, slots=True, kw_only=True)
class LigandPose:
    """A pose and the blob that it lies in."""

    pose: Pose
    blob: Blob


def unexplained(evidence: Evidence, views: Sequence[ResidueView]) -> Unexplained:
    """Difference density with waters taken back: they may stand in a ligand's place."""
    waters = np.array([v.atoms["O"] for v in views if v.kind == "water" and "O" in v.atoms], dtype=np.int64)
    atoms, difference = evidence.atoms, evidence.maps.difference
    if len(waters):
        share = np.zeros(len(atoms))
        share[waters] = 1.0
        own = own_density(evidence, atoms, share)
        difference = replace(difference, values=difference.values + own.values)
    stays = np.ones(len(atoms), dtype=bool)
    stays[waters] = False
    heavy = np.array([e not in ("H", "D") for e in atoms.elements])
    return Unexplained(
        difference=difference,
        residual=evidence.maps.difference,
        sigma=evidence.difference_sigma,
        keep=atoms.xyz.numpy()[stays & heavy],
        waters=waters,
    )


def ligand_body(shapes: Shapes) -> FlexibleBody:
    """What turns in a ligand, every atom weighted by its electrons."""
    electrons = torch.tensor([float(gemmi.Element(e).atomic_number) for e in shapes.elements])
    return flexible_body(electrons.clamp(max=16.0) / 6.0, shapes.bonds, shapes.turning)


def ligand_blobs(
    free: Unexplained, crystal: Symmetry | None, least: float, extent: float, rules: LigandRules
) -> list[Place]:
    """Where a ligand may be, the likeliest first.

    A model with a thousand good waters has a thousand high peaks where these are taken back, and a ligand is none of
    them: what no water explains either comes first. Where waters have been put into a ligand, little of it is left, and
    the largest blobs with the waters taken back are looked at as well.

    Parameters
    ----------
    free : density for it.
    crystal : for symmetry mates.
    least : volume that a blob must have, Å³.
    extent : largest distance in the ligand, Å.
    rules : how many.
    """
    left = find_blobs(free.residual, free.sigma, crystal, free.keep, extent, most=rules.blobs)
    found = [Place(blob=b, density=free.residual) for b in left if b.volume >= least]
    if len(free.waters) == 0:
        return found
    filled = find_blobs(free.difference, free.sigma, crystal, free.keep, extent, most=rules.blobs)
    new = [b for b in filled if b.volume >= least and not any(_is_alike(b, place.blob) for place in found)]
    return [*found, *(Place(blob=b, density=free.difference) for b in new[: rules.water_blobs])]


def _is_alike(one: Blob, other: Blob) -> bool:
    """Whether two blobs are the same density, hardly changed by waters."""
    return float(np.linalg.norm(one.centre - other.centre)) < 1.5 and one.volume < ALIKE * other.volume


def pose_in_blob(
    body: FlexibleBody, conformers: Array, free: Unexplained, crystal: Symmetry | None, place: Place, seed: int
) -> list[LigandPose]:
    """Poses of a ligand in one blob, the best first.

    Parameters
    ----------
    body : what turns in it.
    conformers : to start from, Å. (c, m, 3)
    free : density for it, with what it may not touch.
    crystal : for symmetry mates.
    place : where.
    seed : of random turns.
    """
    blob, extent = place.blob, extent_of(conformers)
    spread = float(np.linalg.norm(blob.points - blob.centre, axis=1).max())
    radius = min(max(extent, spread) + 2.0, 0.75 * extent + 8.0)
    occupied = near_atoms(crystal, free.keep, blob.centre, radius + 3.0)
    box = evened(box_map(spline_map(place.density), free.sigma, blob.centre, radius, occupied), blob.weights)
    poses = search_poses(body, conformers, box, blob.points, torch.Generator().manual_seed(seed))
    return [LigandPose(pose=p, blob=blob) for p in poses]


def extent_of(conformers: Array) -> float:
    """Largest distance between atoms of a ligand, Å."""
    return float(max(np.linalg.norm(x[:, None] - x[None], axis=2).max(initial=0.0) for x in conformers))


def ligand_conformers(body: FlexibleBody, shapes: Shapes, rules: LigandRules, seed: int) -> Array:
    """Conformers that a search starts from. (c, m, 3)"""
    generator = torch.Generator().manual_seed(seed)
    return varied_shapes(body, shapes.xyz, rules.conformers if len(body.bonds) else 1, generator)


def displaced_waters(xyz: Array, free: Unexplained, atoms: Atoms, crystal: Symmetry | None) -> list[int]:
    """Waters in a ligand's place, by index."""
    if len(free.waters) == 0:
        return []
    oxygens = atoms.xyz.numpy()[free.waters]
    if crystal is None:
        near, source = oxygens, np.arange(len(oxygens))
    else:
        images = images_near(crystal, oxygens, xyz, WATER_REACH)
        near, source = images.xyz, images.source
    if len(near) == 0:
        return []
    away = np.linalg.norm(near[:, None] - xyz[None], axis=2).min(axis=1)
    return sorted({int(free.waters[s]) for s in source[away < WATER_REACH]})


def is_row_of_waters(displaced: int, atoms: int, rules: LigandRules) -> bool:
    """Whether more waters would give way to a ligand than a ligand can have been mistaken for."""
    return displaced > max(1, int(rules.most_waters * atoms))


def judge_fit(evidence: Evidence, ligand: Atoms, displaced: Sequence[int]) -> LigandFit:
    """Fit of one placed ligand; see `judge_fits`."""
    return judge_fits(evidence, [ligand], displaced)[0]


def judge_fits(evidence: Evidence, ligands: Sequence[Atoms], displaced: Sequence[int]) -> list[LigandFit]:
    """Fit of placed ligands, apart from each other, to the density that the rest of the model leaves.

    Parameters
    ----------
    evidence : maps of the model without them.
    ligands : atoms of each.
    displaced : waters of the model that give way.
    """
    if not ligands:
        return []
    maps = evidence.maps
    left = maps.difference
    if len(displaced):
        share = np.zeros(len(evidence.atoms))
        share[list(displaced)] = 1.0
        left = replace(left, values=left.values + own_density(evidence, evidence.atoms, share).values)
    own, spline = own_density(evidence, joined(ligands)).values.reshape(-1), spline_map(left)
    fits = []
    for ligand in ligands:
        _, points, _ = points_near(left, ligand.xyz, mask_radius(maps.d_min) + 0.3)
        points = torch.unique(points)
        o, c = left.values.reshape(-1)[points].double(), own[points].double()
        o, c = o - o.mean(), c - c.mean()
        z = sample(spline, ligand.xyz) / evidence.difference_sigma
        fits.append(
            LigandFit(
                correlation=float((o * c).sum() / (o.norm() * c.norm()).clamp(min=1e-12)),
                mean_z=float(z.mean()),
                share=float((z > 1.0).double().mean()),
            )
        )
    return fits


def joined(parts: Sequence[Atoms]) -> Atoms:
    """Atoms of several residues in one list."""
    return Atoms(
        xyz=torch.cat([p.xyz for p in parts]),
        b_iso=torch.cat([p.b_iso for p in parts]),
        u_aniso=torch.cat([p.u_aniso for p in parts]),
        is_aniso=torch.cat([p.is_aniso for p in parts]),
        occ=torch.cat([p.occ for p in parts]),
        elements=tuple(e for p in parts for e in p.elements),
        charges=torch.cat([p.charges for p in parts]),
        altloc=tuple(a for p in parts for a in p.altloc),
        residue=torch.cat([p.residue for p in parts]),
    )


def decide_ligand(fit: LigandFit, rules: LigandRules) -> tuple[bool, str]:
    """Whether a ligand stays, and why, from its numbers alone."""
    numbers = (
        f"correlation {fit.correlation:.2f}, mean difference density {fit.mean_z:.1f} σ, {fit.share:.0%} above 1 σ"
    )
    if fit.correlation < rules.least_correlation:
        return False, f"{numbers}; a correlation of {rules.least_correlation:.2f} is needed"
    if fit.mean_z < rules.least_z:
        return False, f"{numbers}; {rules.least_z:.1f} σ are needed"
    if fit.share < rules.least_share:
        return False, f"{numbers}; {rules.least_share:.0%} of the atoms are needed"
    return True, numbers
