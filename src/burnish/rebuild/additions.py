"""What a model lacks beside its polymer is added: the model grows, and what is new is refined where it stands."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.add_residues import make_residue, nearest_chain, with_residue
from burnish.chemistry.conformers import Shapes, ligand_shapes
from burnish.chemistry.edit_model import without_atoms
from burnish.chemistry.labels import atom_name
from burnish.chemistry.links import Linking
from burnish.chemistry.topology import build_topology
from burnish.data.atoms import Atoms
from burnish.models.restraints.stereochemistry import stereochemistry
from burnish.rebuild.atom_rows import difference
from burnish.rebuild.evidence import zone_target
from burnish.rebuild.move import Judgement, MoveRecord
from burnish.rebuild.moves.ligands import (
    VOLUME_OF_ATOM,
    LigandFit,
    LigandPose,
    LigandRules,
    Unexplained,
    decide_ligand,
    displaced_waters,
    extent_of,
    is_row_of_waters,
    judge_fit,
    ligand_blobs,
    ligand_body,
    ligand_conformers,
    pose_in_blob,
    unexplained,
)
from burnish.rebuild.scene import Change, Scene
from burnish.rebuild.zone import Target, ZoneResult, ZoneSystem, make_zone, surroundings
from burnish.rebuild.zone_refinement import refine_zone

Array = NDArray[np.float64]
Index = NDArray[np.int64]

REFINED_POSES = 2  # of each blob
NEAR = 12.0  # Å; what a new residue may touch while it is refined
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
    body = ligand_body(shapes)
    conformers = ligand_conformers(body, shapes, rules, seed)
    least = rules.least_volume * VOLUME_OF_ATOM * len(shapes.atoms)
    what = f"conformers from {shapes.source}"
    verdicts: list[tuple[_Tried, bool, str]] = []
    for place in ligand_blobs(free, scene.crystal, least, extent_of(conformers), rules):
        poses = pose_in_blob(body, conformers, free, scene.crystal, place, seed)
        verdicts += [_judged(_tried(scene, free, shapes, pose), rules) for pose in poses[:REFINED_POSES]]
        if any(accepted and tried.fit.correlation >= rules.sure for tried, accepted, _ in verdicts):
            break
    if not verdicts:
        reason = "no unexplained density is large enough"
        return Change(structure=scene.structure, records=(_record(name, what, False, reason, None),))
    best, accepted, reason = max(verdicts, key=lambda v: (v[1], round(v[0].fit.correlation, 2), -v[0].judgement.energy))
    what = f"blob of {best.pose.blob.volume:.0f} Å³, highest {best.pose.blob.weights.max():.1f} σ; {what}"
    if not accepted:
        return Change(structure=scene.structure, records=(_record(name, what, False, reason, best.judgement),))
    if best.displaced:
        reason += f"; {len(best.displaced)} waters give way"
    added, removed = difference(scene.structure, best.structure)
    record = _record(best.label, what, True, reason, best.judgement)
    return Change(structure=best.structure, records=(replace(record, added=added, removed=removed),))


def _judged(tried: _Tried, rules: LigandRules) -> tuple[_Tried, bool, str]:
    """A refined pose, whether it stays, and why."""
    accepted, reason = decide_ligand(tried.fit, rules)
    if is_row_of_waters(len(tried.displaced), len(tried.pose.pose.xyz), rules):
        return tried, False, f"{reason}; but it would take the place of {len(tried.displaced)} waters"
    return tried, accepted, reason


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
    names = [f"{label} {name}" for name in shapes.atoms]
    structure, places, done = settled(scene, grown, names, target, near=pose.pose.xyz)
    xyz = np.array([places[name] for name in names])
    fit = judge_fit(evidence, new_atoms(shapes.elements, xyz, b_iso), displaced)
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
    moving: Collection[str],
    target: Target,
    *,
    near: Array | None = None,
    steps: int = 40,
) -> tuple[gemmi.Structure, dict[str, Array], ZoneResult]:
    """Refine what is new in its place.

    Parameters
    ----------
    scene : of the model before.
    grown : the model with what is new.
    moving : names of the atoms that may move; they count as fully occupied.
    target : density for them.
    near : restraints are made for residues within reach of these positions alone; None for all. Å (k, 3)

    Returns
    -------
    The grown model with them refined, their positions by name, and the result, in file order.
    """
    part = grown if near is None else _residues_near(grown, near)
    _, places, done = settled_apart(scene, part, [(moving, target)], steps=steps)[0]
    return _with_places(grown, places), places, done


def settled_apart(
    scene: Scene,
    grown: gemmi.Structure,
    zones: Sequence[tuple[Collection[str], Target]],
    *,
    steps: int = 40,
) -> list[tuple[gemmi.Structure, dict[str, Array], ZoneResult]]:
    """Several zones of one grown model, each refined by itself; see `settled`."""
    topology = build_topology(grown, scene.monlib, hydrogens="remove", linking=Linking(find=False))
    sites = list(topology.structure[0].all())
    names = [atom_name(c) for c in sites]
    xyz = np.array([c.atom.pos.tolist() for c in sites])
    stereo = stereochemistry(topology.restraints)
    around = surroundings(xyz, scene.crystal)
    results = []
    for wanted, target in zones:
        moving = np.array([k for k, name in enumerate(names) if name in wanted], dtype=np.int64)
        occ = np.array([c.atom.occ for c in sites])
        occ[moving] = 1.0
        system = ZoneSystem(
            stereochemistry=stereo,
            contacts=topology.restraints.contacts,
            electrons=np.array([float(c.atom.element.atomic_number) for c in sites]),
            occ=occ,
            crystal=scene.crystal,
        )
        zone = make_zone(system, around, moving, xyz[moving][None])
        done = refine_zone(system, zone, xyz, xyz[moving], target, steps=steps)
        places = {names[k]: position for k, position in zip(moving.tolist(), done.xyz, strict=True)}
        results.append((_with_places(grown, places), places, done))
    return results


def _residues_near(structure: gemmi.Structure, near: Array) -> gemmi.Structure:
    """The model with the residues that come within reach of some positions alone."""
    part = structure.clone()
    for chain in part[0]:
        for r in reversed(range(len(chain))):
            own = np.array([a.pos.tolist() for a in chain[r]]).reshape(-1, 3)
            if np.linalg.norm(own[:, None] - near[None], axis=2).min(initial=np.inf) > NEAR:
                del chain[r]
    part.remove_empty_chains()
    kept = [c for c in part.connections if all(part[0].find_cra(p, True).atom for p in (c.partner1, c.partner2))]
    part.connections = gemmi.ConnectionList(kept)
    return part


def _with_places(structure: gemmi.Structure, places: Mapping[str, Array]) -> gemmi.Structure:
    """The model with some atoms, by name, at other places."""
    moved = structure.clone()
    for site in moved[0].all():
        position = places.get(atom_name(site))
        if position is not None:
            site.atom.pos = gemmi.Position(*position)
    return moved


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
