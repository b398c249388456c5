"""Alternate conformers as moves: proposed, refined, judged; dropped again where refinement leaves them empty."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.edit_conformers import Split, with_conformers, without_conformer
from burnish.maps.sampling import sample, spline_map
from burnish.rebuild.additions import judgement_of, settled_apart
from burnish.rebuild.atom_rows import difference
from burnish.rebuild.evidence import separate_zones, zone_target
from burnish.rebuild.move import MoveRecord
from burnish.rebuild.moves.alternates import (
    Alternate,
    AlternateRules,
    decide_alternate,
    faint_conformers,
    find_alternates,
    occupancies_of,
    split_of,
)
from burnish.rebuild.scene import Change, Scene
from burnish.rebuild.zone import ZoneResult

Array = NDArray[np.float64]
Index = NDArray[np.int64]

MOST_CONTACT = 20.0  # energy of contacts, −log probability, that a second conformer may have after refinement


def add_conformers(scene: Scene, rules: AlternateRules | None = None) -> Change:
    """Second conformers where the difference map shows them."""
    rules = rules or AlternateRules()
    proposed = find_alternates(scene, rules)
    if not proposed:
        return Change(structure=scene.structure)
    splits = [split_of(a, scene.views[a.view], 0.3) for a in proposed]
    grown = with_conformers(scene.structure, splits)
    xyz = scene.evidence.atoms.xyz.numpy()
    groups = separate_zones(xyz, [_atoms_of(scene, a) for a in proposed])
    targets = {}
    for group in groups:
        together = zone_target(scene.evidence, np.concatenate([_atoms_of(scene, proposed[k]) for k in group]))
        targets.update(dict.fromkeys(group, together))
    zones = [(_names_of(scene, a), targets[k]) for k, a in enumerate(proposed)]
    refined = settled_apart(scene, grown, zones)
    at = [np.array([refined[k][1][name] for name in _names_of(scene, a)]) for k, a in enumerate(proposed)]
    occupancy = np.zeros(len(proposed))
    for group in groups:
        occupancy[group] = occupancies_of(
            scene.evidence, [_atoms_of(scene, proposed[k]) for k in group], [at[k] for k in group]
        )
    records, kept = [], []
    for k, alternate in enumerate(proposed):
        record, split = _decided(scene, alternate, at[k], float(occupancy[k]), refined[k][2], rules)
        records.append(record)
        kept += [split] if record.accepted else []
    return Change(structure=with_conformers(scene.structure, kept) if kept else scene.structure, records=tuple(records))


def _atoms_of(scene: Scene, alternate: Alternate) -> Index:
    return np.array([scene.views[alternate.view].atoms[n] for n in alternate.names], dtype=np.int64)


def _names_of(scene: Scene, alternate: Alternate) -> list[str]:
    """What the atoms of the second conformer are called."""
    return [f"{scene.views[alternate.view].label} {n} B" for n in alternate.names]


def _decided(
    scene: Scene, alternate: Alternate, xyz: Array, occupancy: float, done: ZoneResult, rules: AlternateRules
) -> tuple[MoveRecord, Split]:
    """Judge a second conformer where refinement has put it."""
    evidence, view = scene.evidence, scene.views[alternate.view]
    first = evidence.atoms.xyz.numpy()[list(view.atoms.values())]
    apart = np.linalg.norm(xyz[:, None] - first[None], axis=2).min(axis=1) > rules.apart
    z = sample(spline_map(evidence.maps.difference), torch.from_numpy(xyz[apart])).numpy() / evidence.difference_sigma
    settled = replace(
        alternate,
        xyz=xyz,
        apart=int(apart.sum()),
        mean_z=float(z.mean()) if len(z) else 0.0,
        least_z=float(z.min()) if len(z) else 0.0,
    )
    accepted, reason = decide_alternate(settled, occupancy, rules)
    if accepted and done.energy.contact > MOST_CONTACT:
        accepted, reason = False, f"{reason}; but it bumps into others ({done.energy.contact:.0f})"
    split = split_of(settled, view, min(max(occupancy, 0.01), 0.99))
    record = MoveRecord(
        kind="second conformer",
        residue=view.label,
        why=f"difference density of {alternate.mean_z:.1f} σ beside the side chain",
        accepted=accepted,
        reason=reason,
        before=None,
        after=judgement_of(alternate.rotamer, done),
    )
    if accepted:
        added, removed = difference(scene.structure, with_conformers(scene.structure, [split]))
        record = replace(record, added=added, removed=removed)
    return record, split


def drop_conformers(scene: Scene) -> Change:
    """Conformers that refinement has left nearly empty go."""
    structure, records = scene.structure, []
    gone: set[int] = set()
    for view, occupancy in faint_conformers(scene):
        if view.residue in gone:
            continue
        gone.add(view.residue)
        left = without_conformer(structure, (view.chain, view.number, view.name), view.altloc)
        added, removed = difference(structure, left)
        reason = f"occupancy {occupancy:.2f} after refinement"
        records.append(
            MoveRecord(
                kind="conformer dropped",
                residue=view.label,
                why=reason,
                accepted=True,
                reason=reason,
                before=None,
                after=None,
                added=added,
                removed=removed,
            )
        )
        structure = left
    return Change(structure=structure, records=tuple(records))
