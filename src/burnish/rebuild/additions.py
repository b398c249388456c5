"""What a model lacks beside its polymer is added: the model grows, and what is new is refined where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.add_residues import make_residue, nearest_chain, with_residue
from burnish.chemistry.conformers import Shapes, ligand_shapes
from burnish.chemistry.edit_model import without_atoms
from burnish.chemistry.links import Linking
from burnish.chemistry.topology import build_topology
from burnish.data.atoms import Atoms
from burnish.models.restraints.stereochemistry import stereochemistry
from burnish.rebuild.atom_rows import difference
from burnish.rebuild.evidence import zone_target
from burnish.rebuild.move import Judgement, MoveRecord
from burnish.rebuild.moves.ligands import (
    LigandFit,
    LigandPose,
    LigandRules,
    Unexplained,
    decide_ligand,
    displaced_waters,
    judge_fit,
    propose_ligand,
    unexplained,
)
from burnish.rebuild.scene import Change, Scene
from burnish.rebuild.zone import Target, ZoneResult, ZoneSystem, make_zone, refine_zone, surroundings

Array = NDArray[np.float64]
Index = NDArray[np.int64]

REFINED_POSES = 4
B_REACH = 6.0  # Å; atoms within it say what B a new neighbour starts with


def add_ligand(scene: Scene, name: str, rules: LigandRules | None = None, seed: int = 0) -> Change:
    """Place a component of the dictionary where the density shows it.

    Parameters
    ----------
    scene : the model and its maps.
    name : of the component.
    rules : what it must show.
    seed : of conformers and random turns.
    """
    rules = rules or LigandRules()
    shapes = ligand_shapes(scene.monlib.monomers[name], rules.conformers, seed)
    free = unexplained(scene.evidence, scene.views)
    poses = propose_ligand(shapes, free, scene.crystal, rules, seed)
    what = f"conformers from {shapes.source}"
    if not poses:
        reason = "no unexplained density is large enough"
        return Change(structure=scene.structure, records=(_record(name, what, False, reason, None),))
    tried = [_tried(scene, free, shapes, pose) for pose in _first(poses)]
    best = max(tried, key=lambda t: t.fit.correlation)
    accepted, reason = decide_ligand(best.fit, rules)
    what = f"blob of {best.pose.blob.volume:.0f} Å³, highest {best.pose.blob.weights.max():.1f} σ; {what}"
    if not accepted:
        return Change(structure=scene.structure, records=(_record(name, what, False, reason, best.judgement),))
    if best.displaced:
        reason += f"; {len(best.displaced)} waters give way"
    added, removed = difference(scene.structure, best.structure)
    record = _record(best.label, what, True, reason, best.judgement)
    return Change(structure=best.structure, records=(replace(record, added=added, removed=removed),))


def _first(poses: Sequence[LigandPose]) -> list[LigandPose]:
    """The best poses, the best one of each blob among them."""
    blobs: list[int] = []
    chosen = list(poses[:REFINED_POSES])
    for pose in poses:
        if id(pose.blob) not in blobs:
            blobs.append(id(pose.blob))
            if not any(pose is other for other in chosen):
                chosen.append(pose)
    return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """A pose refined in the model."""

    structure: gemmi.Structure
    label: str
    fit: LigandFit
    judgement: Judgement
    displaced: tuple[int, ...]
    pose: LigandPose


def _tried(scene: Scene, free: Unexplained, shapes: Shapes, pose: LigandPose) -> _Tried:
    """Put a pose into the model, refine it there and judge it."""
    evidence = scene.evidence
    displaced = displaced_waters(pose.pose.xyz, free, evidence.atoms, scene.crystal)
    b_iso = surrounding_b(evidence.atoms, pose.pose.xyz)
    residue = make_residue(shapes.name, shapes.atoms, shapes.elements, pose.pose.xyz, b_iso)
    room = without_atoms(scene.structure, displaced)
    grown, label = with_residue(room, residue, nearest_chain(room, pose.pose.xyz))
    target = zone_target(evidence, np.array(displaced, dtype=np.int64))
    structure, done = settled(scene, grown, label, target)
    fit = judge_fit(evidence, new_atoms(shapes.elements, done.xyz, b_iso), displaced)
    return _Tried(
        structure=structure,
        label=label,
        fit=fit,
        judgement=judgement_of(label, done),
        displaced=tuple(displaced),
        pose=pose,
    )


def settled(
    scene: Scene,
    grown: gemmi.Structure,
    label: str,
    target: Target,
    *,
    also: Sequence[str] = (),
    find_links: bool = False,
    steps: int = 40,
) -> tuple[gemmi.Structure, ZoneResult]:
    """Refine a new residue in its place.

    Parameters
    ----------
    scene : of the model before.
    grown : the model with it.
    label : what it is called.
    target : density for it.
    also : other atoms that may move, by name.
    find_links : make the links that distances show; without, only recorded ones.

    Returns
    -------
    The grown model with it refined, and the result; the residue's atoms come first in it.
    """
    topology = build_topology(grown, scene.monlib, hydrogens="remove", linking=Linking(find=find_links))
    sites = list(topology.structure[0].all())
    places = [f"{c.chain.name} {c.residue.seqid} {c.residue.name}" for c in sites]
    own = [k for k, place in enumerate(places) if place == label]
    extra = [k for k, (place, c) in enumerate(zip(places, sites, strict=True)) if f"{place} {c.atom.name}" in also]
    moving = np.array([*own, *extra], dtype=np.int64)
    xyz = np.array([c.atom.pos.tolist() for c in sites])
    system = ZoneSystem(
        stereochemistry=stereochemistry(topology.restraints),
        contacts=topology.restraints.contacts,
        electrons=np.array([float(c.atom.element.atomic_number) for c in sites]),
        occ=np.array([c.atom.occ for c in sites]),
        crystal=scene.crystal,
    )
    zone = make_zone(system, surroundings(xyz, scene.crystal), moving, xyz[moving][None])
    done = refine_zone(system, zone, xyz, xyz[moving], target, steps=steps)
    moved = dict(zip(moving.tolist(), done.xyz, strict=True))
    result = grown.clone()
    for k, site in enumerate(result[0].all()):
        if k in moved:
            site.atom.pos = gemmi.Position(*moved[k])
    kept = len(own)
    return result, replace(done, xyz=done.xyz[:kept], density=done.density[:kept])


def new_atoms(elements: Sequence[str], xyz: Array, b_iso: float, occ: float = 1.0) -> Atoms:
    """Atoms of one residue that the model does not have yet."""
    n = len(elements)
    return Atoms(
        xyz=torch.from_numpy(np.ascontiguousarray(xyz)),
        b_iso=torch.full((n,), b_iso, dtype=torch.float64),
        u_aniso=torch.zeros(n, 6, dtype=torch.float64),
        is_aniso=torch.zeros(n, dtype=torch.bool),
        occ=torch.full((n,), occ, dtype=torch.float64),
        elements=tuple(elements),
        charges=torch.zeros(n, dtype=torch.int64),
        altloc=("",) * n,
        residue=torch.zeros(n, dtype=torch.int64),
    )


def surrounding_b(atoms: Atoms, xyz: Array) -> float:
    """Mean B of the atoms near some positions, Å²; of all atoms where none is near."""
    away = torch.cdist(atoms.xyz, torch.from_numpy(xyz)).min(dim=1).values
    near = away < B_REACH
    return float((atoms.b_iso[near] if bool(near.any()) else atoms.b_iso).mean())


def judgement_of(name: str, done: ZoneResult) -> Judgement:
    """The numbers of a refined zone, as records keep them."""
    return Judgement(
        name=name,
        energy=done.energy.total,
        geometry=done.energy.geometry,
        contact=done.energy.contact,
        density=done.energy.density,
        torsions=0.0,
        mean_density=float(done.density.mean()),
        least_density=float(done.density.min()),
    )


def _record(residue: str, why: str, accepted: bool, reason: str, after: Judgement | None) -> MoveRecord:
    return MoveRecord(
        kind="ligand", residue=residue, why=why, accepted=accepted, reason=reason, before=None, after=after
    )
