"""Glycans grown sugar by sugar, all sites of a model together."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray

from burnish.chemistry.add_residues import make_residue, with_link, with_residue
from burnish.chemistry.edit_model import without_atoms
from burnish.chemistry.labels import atom_name
from burnish.chemistry.residues import residue_views
from burnish.maps.sampling import spline_map
from burnish.rebuild.additions import judgement_of, new_atoms, settled, surrounding_b
from burnish.rebuild.atom_rows import difference
from burnish.rebuild.evidence import zone_target
from burnish.rebuild.move import Judgement, MoveRecord
from burnish.rebuild.moves.ligands import (
    LigandFit,
    LigandRules,
    Unexplained,
    decide_ligand,
    displaced_waters,
    judge_fits,
    unexplained,
)
from burnish.rebuild.moves.sugars import (
    CORE,
    SugarShape,
    SugarSite,
    open_sites,
    shows_start,
    sugar_poses,
    sugar_ranks,
    sugar_shape,
)
from burnish.rebuild.scene import Change, Scene
from burnish.rebuild.zone import Target

Array = NDArray[np.float64]

SUGAR_RULES = LigandRules(least_correlation=0.65, least_z=2.2, least_share=0.75)
# In the middle of a glycan the density of the next sugar spoils the correlation; high density all over stands for it.
INNER_RULES = LigandRules(least_correlation=0.52, least_z=2.7, least_share=0.9)
CARRIERS = frozenset(bond.carrier for bond in CORE)
GENERATIONS = 5  # NAG, NAG, BMA, both MAN, and then the fucose


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grown:
    """A sugar refined at its site."""

    site: SugarSite
    shape: SugarShape
    xyz: Array
    carrier: dict[str, Array]
    b_iso: float
    displaced: tuple[int, ...]
    judgement: Judgement


def add_sugars(scene: Scene, rules: LigandRules | None = None) -> Change:
    """Sugars wherever a site of N-glycosylation shows density for them, each bonded to the one before."""
    rules = rules or SUGAR_RULES
    structure, records = scene.structure, list[MoveRecord]()
    refused: set[tuple[str, str]] = set()
    free = None
    for _ in range(GENERATIONS):
        views = residue_views(structure[0])
        sites = open_sites(structure, views, sugar_ranks(structure))
        sites = [s for s in sites if (s.label, s.bond.link) not in refused]
        # what most glycans lack waits until the density of the core is taken
        sites = [s for s in sites if s.bond.least_start is None] or sites
        if not sites:
            break
        free = free or unexplained(scene.evidence, scene.views)
        spline = spline_map(free.difference)
        here = np.array([c.atom.pos.tolist() for c in structure[0].all() if _counts(c)])
        target = zone_target(scene.evidence, free.waters)
        grown = []
        for site in [s for s in sites if shows_start(s, spline, free.sigma)]:
            shape = sugar_shape(scene.monlib, site)
            poses = sugar_poses(shape, site, spline, free.sigma, scene.crystal, here)
            tried = [_settled_sugar(scene, structure, site, shape, x, free, target) for x in poses]
            if tried:
                grown.append(min(tried, key=lambda g: g.judgement.energy))
        atoms = [new_atoms(g.shape.elements, g.xyz, g.b_iso) for g in grown]
        fits = judge_fits(scene.evidence, atoms, sorted({w for g in grown for w in g.displaced}))
        accepted_any = False
        for one, fit in zip(grown, fits, strict=True):
            structure, record = _decided(scene, structure, one, fit, rules)
            records.append(record)
            accepted_any |= record.accepted
            if not record.accepted:
                refused.add((one.site.label, one.site.bond.link))
        if not accepted_any and all(s.bond.least_start is not None for s in sites):
            break
    return Change(structure=structure, records=tuple(records))


def _counts(site: gemmi.CRA) -> bool:
    return not site.atom.is_hydrogen() and not site.residue.is_water()


def _settled_sugar(
    scene: Scene,
    structure: gemmi.Structure,
    site: SugarSite,
    shape: SugarShape,
    xyz: Array,
    free: Unexplained,
    target: Target,
) -> _Grown:
    """A pose refined with its bond and the end of its carrier, waters in its place taken away."""
    displaced = displaced_waters(xyz, free, scene.evidence.atoms, scene.crystal)
    b_iso = surrounding_b(scene.evidence.atoms, site.frame)
    grown, label = _bonded(structure, site, shape, xyz, b_iso)
    moving = {f"{label} {name}" for name in shape.names}
    tips = {f"{site.label} {name}" for name in site.bond.frame[1:]} if site.bond.carrier != "ASN" else set()
    if site.bond.carrier == "ASN":
        tips = {f"{site.label} {name}" for name in ("CB", "CG", "OD1", "ND2")}
    _, places, done = settled(scene, grown, {*moving, *tips}, target, near=site.frame)
    return _Grown(
        site=site,
        shape=shape,
        xyz=np.array([places[f"{label} {name}"] for name in shape.names]),
        carrier={name: places[name] for name in tips if name in places},
        b_iso=b_iso,
        displaced=tuple(displaced),
        judgement=judgement_of(label, done),
    )


def _bonded(
    structure: gemmi.Structure, site: SugarSite, shape: SugarShape, xyz: Array, b_iso: float
) -> tuple[gemmi.Structure, str]:
    """The model with a sugar and the record of its bond."""
    residue = make_residue(site.bond.sugar, shape.names, shape.elements, xyz, b_iso)
    grown, label = with_residue(structure, residue, site.label.split()[0])
    ends = (f"{site.label} {site.bond.frame[2]}", f"{label} C1")
    first, second = ends if site.bond.carrier_first else ends[::-1]
    with_link(grown, first, second, gemmi.ConnectionType.Covale, site.bond.link)
    return grown, label


def _decided(
    scene: Scene, structure: gemmi.Structure, one: _Grown, fit: LigandFit, rules: LigandRules
) -> tuple[gemmi.Structure, MoveRecord]:
    """The model with a sugar that fits, or as it was."""
    site = one.site
    accepted, reason = decide_ligand(fit, rules)
    if not accepted and site.bond.sugar in CARRIERS and decide_ligand(fit, INNER_RULES)[0]:
        accepted, reason = decide_ligand(fit, INNER_RULES)
    label, after, undo = site.bond.sugar, structure, []
    if accepted:
        names = {atom_name(scene_site) for k, scene_site in enumerate(scene.structure[0].all()) if k in one.displaced}
        gone = {k for k, c in enumerate(structure[0].all()) if atom_name(c) in names}
        after = without_atoms(structure, gone)
        for c in after[0].all():
            position = one.carrier.get(atom_name(c))
            if position is not None:
                undo.append((atom_name(c), (c.atom.pos.x, c.atom.pos.y, c.atom.pos.z)))
                c.atom.pos = gemmi.Position(*position)
        after, label = _bonded(after, site, one.shape, one.xyz, one.b_iso)
    added, removed = difference(structure, after)
    record = MoveRecord(
        kind="sugar",
        residue=label,
        why=f"density at {site.label} {site.bond.frame[2]}, bond {site.bond.link}",
        accepted=accepted,
        reason=reason,
        before=None,
        after=one.judgement,
        undo=tuple(undo),
        added=added,
        removed=removed,
    )
    return after, record
