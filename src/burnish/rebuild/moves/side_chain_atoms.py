"""Side chains completed where density shows the missing atoms, and cut back where the data deny them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from burnish.chemistry.edit_model import without_atoms
from burnish.chemistry.edit_residues import NewAtom, with_new_atoms
from burnish.chemistry.residues import ResidueView
from burnish.data.atoms import Atoms
from burnish.maps.sampling import SplineMap, sample, spline_map
from burnish.rebuild.additions import new_atoms
from burnish.rebuild.conformations import BACKBONE
from burnish.rebuild.move import SHOWN_LEAST, SHOWN_MEAN, MoveRecord
from burnish.rebuild.moves.ligands import joined
from burnish.rebuild.scene import Change, Scene
from burnish.rebuild.side_chains import (
    Fitted,
    Template,
    clashes,
    fit_side_chain,
    side_chain_rotamers,
    side_chain_template,
)
from burnish.symmetry.images import images_near

Array = NDArray[np.float64]

LEAST_DENSITY = 0.8  # σ of 2mFo − DFc, mean of atoms that are added together
LEAST_DIFFERENCE = 1.0  # σ of mFo − DFc, likewise
NO_DENSITY, DENIED = 0.3, -3.0  # σ of 2mFo − DFc and of mFo − DFc at which atoms are cut off
MOST_COMPARED = 6  # rotamers whose atoms are weighed together, of those that are best atom by atom
FARTHEST = 12.0  # Å; other atoms beyond that are not hit by a side chain
WHOLE = ("PHE", "TYR", "TRP", "HIS", "PRO")  # rings are built whole or not at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Maps:
    """Densities of a scene to sample: observed and difference, with their rms."""

    density: SplineMap
    difference: SplineMap
    sigma: float
    difference_sigma: float


def maps_of(scene: Scene) -> Maps:
    """Both maps of a scene."""
    maps = scene.evidence.maps
    return Maps(
        density=spline_map(maps.density),
        difference=spline_map(maps.difference),
        sigma=scene.evidence.sigma,
        difference_sigma=scene.evidence.difference_sigma,
    )


def complete_side_chains(scene: Scene) -> Change:
    """Add the missing atoms of side chains in the rotamer that lies best in density."""
    incomplete = []
    templates: dict[str, Template | None] = {}
    for view in scene.views:
        if view.kind != "protein" or view.altloc or view.indices("N", "CA", "C") is None:
            continue
        if view.name not in templates:
            templates[view.name] = side_chain_template(scene.monlib, view.name)
        template = templates[view.name]
        if template is not None and any(n not in view.atoms for n in template.side):
            incomplete.append((view, template))
    if not incomplete:
        return Change(structure=scene.structure)
    maps, added, dropped, records = maps_of(scene), {}, {}, []
    for view, template in incomplete:
        record, atoms = _completed(scene, view, template, maps)
        records.append(record)
        if atoms:
            added[view.residue] = atoms
            dropped[view.residue] = {n for n in view.atoms if n not in BACKBONE}
    structure = with_new_atoms(scene.structure, added, dropped=dropped) if added else scene.structure
    return Change(structure=structure, records=tuple(records))


def _completed(
    scene: Scene, view: ResidueView, template: Template, maps: Maps
) -> tuple[MoveRecord, tuple[NewAtom, ...]]:
    """The whole new side chain of a residue, or nothing where the missing atoms have no density."""
    xyz = scene.evidence.atoms.xyz.numpy()
    present = {n: xyz[a] for n, a in view.atoms.items()}
    backbone = np.stack([present[n] for n in ("N", "CA", "C")])
    others = others_near(scene, view, backbone[1])
    missing = np.array([n not in view.atoms for n in template.side])
    gain = np.zeros(0)
    if scene.evidence.likelihood is None:
        fitted = fit_side_chain(template, backbone, maps.density, maps.sigma, others, present)
    else:
        fitted, gain = _likeliest(scene, view, template, maps, others)
    difference = sample(maps.difference, torch.from_numpy(fitted.xyz)).numpy() / maps.difference_sigma
    kept = _supported(template, fitted, difference, missing) | _paid_for(template, gain)
    names = [n for n, k in zip(template.side, kept, strict=True) if k]
    new = [n for n in names if n not in view.atoms]
    seen = float(fitted.density[missing].mean()), float(difference[missing].mean())
    evidence = f"density {seen[0]:.1f} σ, difference density {seen[1]:.1f} σ"
    evidence += f", log likelihood {gain[-1]:+.1f}" if len(gain) else ""
    absent = ", ".join(n for n, m in zip(template.side, missing, strict=True) if m)
    label = f"{view.chain} {view.number} {view.name}"
    if not new:
        return record_of("side chain completed", view.label, f"no {absent}", False, evidence), ()
    b_iso = dict(zip(template.side, _new_b(scene, view, template).tolist(), strict=True))
    by_name = dict(zip(template.side, fitted.xyz, strict=True))
    element = dict(zip(template.names, template.elements, strict=True))
    atoms = tuple(NewAtom(name=n, element=element[n], xyz=by_name[n], b_iso=b_iso[n]) for n in names)
    undo = tuple((f"{label} {n}", triple(present[n])) for n in template.side if n in view.atoms)
    added = tuple(f"{label} {n}" for n in new)
    reason = f"{', '.join(new)} as {fitted.rotamer or 'in the dictionary'}: {evidence}"
    return record_of("side chain completed", view.label, f"no {absent}", True, reason, undo, added), atoms


def _new_b(scene: Scene, view: ResidueView, template: Template) -> Array:
    """B that the atoms of a new side chain start with, Å²: that of Cα, and more the farther out. (m,)"""
    depth = np.array(depths(template), dtype=np.float64)
    return float(scene.evidence.atoms.b_iso[view.atoms["CA"]]) * (1.0 + 0.1 * depth) + 2.0 * depth


def _likeliest(
    scene: Scene, view: ResidueView, template: Template, maps: Maps, others: cKDTree
) -> tuple[Fitted, Array]:
    """The rotamer that the data ask for most, and the gain of log likelihood by its atoms up to each step from Cβ.

    The density of a hole is below the mean of the cell, by how much depends on the place: where an atom is missing, the
    likelihood compares rotamers that density does not.
    """
    assert scene.evidence.likelihood is not None
    likelihood, atoms = scene.evidence.likelihood(), scene.evidence.atoms
    xyz = atoms.xyz.numpy()
    present = {n: xyz[a] for n, a in view.atoms.items()}
    backbone = np.stack([present[n] for n in ("N", "CA", "C")])
    labels, costs, candidates = side_chain_rotamers(template, backbone, present)
    count, m = candidates.shape[:2]
    b_iso = torch.from_numpy(_new_b(scene, view, template))

    def built(places: Array) -> Atoms:
        new = new_atoms(template.elements[3:] * len(places), places.reshape(-1, 3), 1.0)
        return replace(new, b_iso=b_iso.repeat(len(places)))

    each = likelihood.of_each(built(candidates), np.ones(count * m)).reshape(count, m).sum(axis=1)
    energy = each + np.array(costs) + clashes(candidates, others)
    old = [view.atoms[n] for n in template.side if n in view.atoms]
    gone = atoms.subset(old)
    level = np.array(depths(template))

    def gained(places: Array) -> Array:
        """Up to each step from Cβ."""
        both = joined([gone, built(places[None])])
        steps = [np.concatenate([-gone.occ.numpy(), (level <= d).astype(float)]) for d in range(int(level.max()) + 1)]
        return np.array([-likelihood.of_all(both, by) for by in steps])

    best = np.argsort(energy, kind="stable")[:MOST_COMPARED]
    rest = energy - each
    gains = [gained(candidates[k]) for k in best]
    first = int(np.argmax([g[-1] - rest[k] for g, k in zip(gains, best, strict=True)]))
    k = int(best[first])
    density = sample(maps.density, torch.from_numpy(candidates[k])).numpy() / maps.sigma
    fitted = Fitted(rotamer=labels[k], xyz=candidates[k], density=density, score=-float(energy[k]))
    return fitted, gains[first]


def _paid_for(template: Template, gain: Array) -> NDArray[np.bool_]:
    """The atoms up to the step from Cβ where the data gain most beyond what the parameters cost (Akaike 1974).

    A step costs its torsion, the whole its B; nothing is kept where no step pays.
    """
    level = np.array(depths(template))
    if len(gain) < 2:
        return np.zeros(len(level), dtype=bool)
    paid = gain - gain[0] - np.arange(len(gain)) - 1.0
    step = len(gain) - 1 if template.name in WHOLE else int(paid[1:].argmax()) + 1
    return level <= step if paid[step] > 0.0 else np.zeros(len(level), dtype=bool)


def _supported(template: Template, fitted: Fitted, difference: Array, missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which atoms of a fitted side chain to keep: up to the first step from Cβ whose missing atoms lack density.

    Where the difference map shows them, they need no more: in a hole that a model has left in a hydrophobic core its
    own density is far below the mean of the cell, so that 2mFo − DFc of what is missing hardly rises above that.
    """
    kept = np.zeros(len(template.side), dtype=bool)
    level = np.array(depths(template))
    groups = [level >= 0] if template.name in WHOLE else [level == d for d in range(int(level.max()) + 1)]
    for group in groups:
        new = group & missing
        if new.any():
            shown = difference[new].mean() > SHOWN_MEAN and difference[new].min() > SHOWN_LEAST
            faint = fitted.density[new].mean() < LEAST_DENSITY or difference[new].mean() < LEAST_DIFFERENCE
            if faint and not shown:
                break
        kept |= group
    return kept


def depths(template: Template) -> list[int]:
    """Bonds between Cβ and each side-chain atom."""
    graph: dict[int, list[int]] = {}
    for i, j in template.bonds.tolist():
        graph.setdefault(i, []).append(j)
        graph.setdefault(j, []).append(i)
    depth, waiting = {3: 0}, [3]
    while waiting:
        at = waiting.pop(0)
        for other in graph.get(at, ()):
            if other >= 3 and other not in depth:
                depth[other] = depth[at] + 1
                waiting.append(other)
    return [depth.get(k, 99) for k in range(3, len(template.names))]


def others_near(scene: Scene, view: ResidueView, centre: Array) -> cKDTree:
    """Atoms and their mates near a residue that are neither its own nor bonded to its backbone."""
    atoms = scene.evidence.atoms
    mates = images_near(scene.crystal, atoms.xyz.numpy(), centre[None], FARTHEST)
    own = set(view.atoms.values())
    for k, names in ((view.previous, ("C", "O")), (view.next, ("N",))):
        own |= {scene.views[k].atoms[n] for n in names if k >= 0 and n in scene.views[k].atoms}
    water = {a for v in scene.views if v.kind == "water" for a in v.atoms.values()}
    keep = np.array([s not in own and s not in water for s in mates.source.tolist()], dtype=bool)
    far = np.array([[1e4, 1e4, 1e4]])
    return cKDTree(np.concatenate([mates.xyz[keep], far]))


def trim_side_chains(scene: Scene) -> Change:
    """Remove the ends of side chains that have no density and that the difference map denies."""
    maps = maps_of(scene)
    atoms = scene.evidence.atoms
    density = sample(maps.density, atoms.xyz).numpy() / maps.sigma
    difference = sample(maps.difference, atoms.xyz).numpy() / maps.difference_sigma
    doomed: set[int] = set()
    records = []
    xyz = atoms.xyz.numpy()
    for view in scene.views:
        if view.kind != "protein" or view.altloc or view.name in WHOLE:
            continue
        template = side_chain_template(scene.monlib, view.name)
        if template is None or any(n not in view.atoms for n in template.side):
            continue
        gone = _denied(template, view, density, difference)
        if not gone:
            continue
        where = [view.atoms[n] for n in gone]
        doomed.update(where)
        label = f"{view.chain} {view.number} {view.name}"
        reason = f"density {density[where].mean():.1f} σ, difference density down to {difference[where].min():.1f} σ"
        undo = tuple((f"{label} {n}", triple(xyz[a])) for n, a in zip(gone, where, strict=True))
        records.append(record_of("side chain cut", view.label, f"{', '.join(gone)} not seen", True, reason, undo))
    structure = without_atoms(scene.structure, doomed) if doomed else scene.structure
    return Change(structure=structure, records=tuple(records))


def _denied(template: Template, view: ResidueView, density: Array, difference: Array) -> list[str]:
    """Atoms from the first step beyond Cβ on where they and all beyond have no density; those not denied stay."""
    level = depths(template)
    for d in range(1, max(level, default=0) + 1):
        names = [n for n, k in zip(template.side, level, strict=True) if k >= d]
        where = [view.atoms[n] for n in names]
        if density[where].max() < NO_DENSITY and difference[where].min() < DENIED:
            return names
    return []


def triple(position: Array) -> tuple[float, float, float]:
    """A position as plain numbers."""
    return float(position[0]), float(position[1]), float(position[2])


def record_of(
    kind: str,
    residue: str,
    why: str,
    accepted: bool,
    reason: str,
    undo: Sequence[tuple[str, tuple[float, float, float]]] = (),
    added: Sequence[str] = (),
) -> MoveRecord:
    """The record of a move that has no candidates refined beside each other."""
    return MoveRecord(
        kind=kind,
        residue=residue,
        why=why,
        accepted=accepted,
        reason=reason,
        before=None,
        after=None,
        undo=tuple(undo),
        added=tuple(added),
    )
