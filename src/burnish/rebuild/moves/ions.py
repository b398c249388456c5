"""Ions among the waters and in peaks that are too high for a water, by partners, distances and electrons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from burnish.chemistry.add_residues import make_residue, nearest_chain, with_link, with_residue
from burnish.chemistry.bond_valence import CATIONS, IonKind, bond_valence
from burnish.chemistry.edit_model import without_atoms
from burnish.chemistry.labels import atom_name
from burnish.data.atoms import Atoms
from burnish.maps.peaks import find_peaks
from burnish.maps.sampling import SplineMap, sample, sample_with_gradient, spline_map
from burnish.rebuild.additions import new_atoms, settled
from burnish.rebuild.atom_rows import difference, rows_of
from burnish.rebuild.evidence import Evidence, own_density, zone_target
from burnish.rebuild.move import MoveRecord
from burnish.rebuild.scene import Change, Scene
from burnish.symmetry.images import images_near, nearest_images

Array = NDArray[np.float64]

REACH = 3.7  # Å; partners are looked for within it
LEAST_BOND = 0.07  # valence of a bond that counts as one, as a share of the ion's
NEAREST_CHLORIDE = 3.0  # Å; chloride is 3.2–3.3 Å from its donors
POSITIVE = frozenset({("LYS", "NZ"), ("ARG", "NH1"), ("ARG", "NH2"), ("ARG", "NE")})


@dataclass(frozen=True, slots=True, kw_only=True)
class IonRules:
    """What an ion must show.

    Attributes
    ----------
    valence_error : largest |Σ s − V| / V.
    imbalance : largest |Σ s r̂| / Σ s: partners on one side alone are none.
    least_electrons, most_electrons : of what the density at the site amounts to, as shares of the ion's own.
    least_chloride : the same for chloride, which has no bonds to be known by.
    heavy_peak : difference density, σ, that a site needs where no water stands.
    light_d_min : Na and Mg, which have the electrons of a water, are told by distances alone, and only to this
        resolution, Å.
    """

    valence_error: float = 0.30
    imbalance: float = 0.30
    least_electrons: float = 0.6
    most_electrons: float = 1.6
    least_chloride: float = 0.8
    heavy_peak: float = 7.0
    light_d_min: float = 1.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """An atom near a site.

    Attributes
    ----------
    element, residue, atom : what it is.
    distance : Å.
    direction : unit vector from the site to it. (3,)
    name : as a person writes it, and whether it is of a symmetry mate.
    """

    element: str
    residue: str
    atom: str
    distance: float
    direction: Array
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IonSite:
    """A place where an ion may be.

    Attributes
    ----------
    xyz : Å. (3,)
    water : index of the water's atom that stands there; −1 where none does.
    partners : within reach, the nearest first.
    electrons : what the density amounts to, if B is that of the partners.
    b_iso : mean of the partners', Å².
    """

    xyz: Array
    water: int
    partners: tuple[Partner, ...]
    electrons: float
    b_iso: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """An ion that a site may hold, with its numbers.

    Attributes
    ----------
    component, element : of the ion.
    bonds : partners that it is bonded to.
    valence : Σ s.
    imbalance : |Σ s r̂| / Σ s.
    misfit : how far valence and electrons are off, in one number; smaller is better.
    said : the numbers in words.
    """

    component: str
    element: str
    bonds: tuple[Partner, ...]
    valence: float
    imbalance: float
    misfit: float
    said: str


def judge_cation(site: IonSite, kind: IonKind, d_min: float, rules: IonRules) -> Verdict | None:
    """Whether a site may hold a cation, from its numbers alone; None where something speaks against it."""
    if kind.electrons <= 10 and d_min > rules.light_d_min:
        return None
    strength = [bond_valence(kind, p.element, p.distance) for p in site.partners]
    bonds = [(p, s) for p, s in zip(site.partners, strength, strict=True) if s >= LEAST_BOND * kind.valence]
    if len(bonds) < kind.fewest:
        return None
    farthest = max(p.distance for p, _ in bonds)
    for p in site.partners:  # nothing that an ion does not take may be as near as what it takes
        unfit = p.element not in kind.lengths or (p.residue, p.atom) in POSITIVE
        if unfit and p.distance < (farthest if p.element in ("N", "S") else min(farthest, 2.9)):
            return None
    total = sum(s for _, s in bonds)
    arrow = sum((s * p.direction for p, s in bonds), np.zeros(3))
    imbalance = float(np.linalg.norm(arrow)) / total
    error = abs(total - kind.valence) / kind.valence
    ratio = site.electrons / kind.electrons
    if error > rules.valence_error or imbalance > rules.imbalance:
        return None
    if not rules.least_electrons <= ratio <= rules.most_electrons:
        return None
    said = (
        f"{len(bonds)} partners at {bonds[0][0].distance:.2f}–{farthest:.2f} Å, bond valences {total:.2f} for "
        f"{kind.valence}, density of {site.electrons:.0f} electrons for {kind.electrons}"
    )
    return Verdict(
        component=kind.component,
        element=kind.element,
        bonds=tuple(p for p, _ in bonds),
        valence=total,
        imbalance=imbalance,
        misfit=error + 0.5 * abs(math.log(ratio)) + imbalance,
        said=said,
    )


def judge_chloride(site: IonSite, rules: IonRules) -> Verdict | None:
    """Whether a site may hold chloride: too dense for a water, among donors, away from negative oxygens."""
    ratio = site.electrons / 18.0
    if not rules.least_chloride <= ratio <= rules.most_electrons or not site.partners:
        return None
    nearest = site.partners[0].distance
    donors = [p for p in site.partners if p.element == "N" or (p.residue in ("SER", "THR", "TYR") and p.atom[0] == "O")]
    donors = [p for p in donors if p.atom not in ("O", "OXT") and p.distance <= 3.6]
    bare = [
        p
        for p in site.partners
        if p.element == "O" and (p.atom in ("O", "OXT", "OD1", "OD2", "OE1", "OE2")) and p.residue != "HOH"
    ]
    if nearest < NEAREST_CHLORIDE or len(donors) < 2 or any(p.distance < 3.3 for p in bare):
        return None
    far = donors[-1].distance
    said = f"{len(donors)} donors at {donors[0].distance:.2f}–{far:.2f} Å, nothing nearer than {nearest:.2f} Å"
    return Verdict(
        component="CL",
        element="Cl",
        bonds=(),
        valence=0.0,
        imbalance=0.0,
        misfit=0.3 + 0.5 * abs(math.log(ratio)),
        said=f"{said}, density of {site.electrons:.0f} electrons for 18",
    )


def judge_site(site: IonSite, d_min: float, rules: IonRules) -> list[Verdict]:
    """Ions that a site may hold, the likeliest first."""
    found = [judge_cation(site, kind, d_min, rules) for kind in CATIONS]
    found.append(judge_chloride(site, rules))
    return sorted((v for v in found if v is not None), key=lambda v: v.misfit)


def ion_sites(scene: Scene, rules: IonRules) -> list[IonSite]:
    """Every water, and every high peak that no water can explain."""
    evidence = scene.evidence
    atoms = evidence.atoms
    xyz = atoms.xyz.numpy()
    waters = [v.atoms["O"] for v in scene.views if v.kind == "water" and not v.altloc and "O" in v.atoms]
    places = [xyz[a] for a in waters]
    heavy = np.array([k for k, e in enumerate(atoms.elements) if e not in ("H", "D")])
    peaks = find_peaks(evidence.maps.difference, rules.heavy_peak * evidence.difference_sigma)
    at, _, away = nearest_images(scene.crystal, peaks.xyz.numpy(), xyz[heavy])
    for place, distance in zip(at, away, strict=True):
        if 1.5 < distance < REACH and all(np.linalg.norm(place - p) > 1.5 for p in places):
            places.append(place)
    if not places:
        return []
    index = np.array([*waters, *([-1] * (len(places) - len(waters)))])
    target = zone_target(evidence, np.array(waters, dtype=np.int64))
    top = _climbed(target.spline, np.array(places))
    partners, b_iso = _partners(scene, np.array(places), index)
    probe = new_atoms(["O"] * len(places), top, 20.0)
    probe = replace(probe, b_iso=torch.from_numpy(b_iso))
    own = _at_atoms(evidence, probe)
    observed = sample(target.spline, torch.from_numpy(top)).numpy()
    return [
        IonSite(
            xyz=top[k],
            water=int(index[k]),
            partners=partners[k],
            electrons=8.0 * float(observed[k] / max(own[k], 1e-6)),
            b_iso=float(b_iso[k]),
        )
        for k in range(len(places))
        if partners[k]
    ]


def _at_atoms(evidence: Evidence, probe: Atoms) -> Array:
    """DFc of some atoms at their own centres."""
    return np.asarray(sample(spline_map(own_density(evidence, probe)), probe.xyz).numpy())


def _climbed(spline: SplineMap, xyz: Array) -> Array:
    """Positions moved to the top of the density, by at most .4 Å."""
    now = torch.from_numpy(xyz.copy())
    for _ in range(8):
        _, slope = sample_with_gradient(spline, now)
        length = slope.norm(dim=1, keepdim=True).clamp(min=1e-9)
        step = slope / length * 0.05
        trial = now + step
        better = sample(spline, trial) > sample(spline, now)
        now = torch.where(better[:, None], trial, now)
    return np.asarray(now.numpy())


def _partners(scene: Scene, places: Array, index: NDArray[np.int64]) -> tuple[list[tuple[Partner, ...]], Array]:
    """Partners of each site, symmetry mates among them, and the mean B of those that may hold an ion."""
    atoms = scene.evidence.atoms
    sites = list(scene.structure[0].all())
    names = [atom_name(c) for c in sites]
    heavy = np.array([k for k, s in enumerate(sites) if not s.atom.is_hydrogen() and s.atom.altloc in ("\0", "A")])
    mates = images_near(scene.crystal, atoms.xyz.numpy()[heavy], places, REACH + 0.5)
    source, tree = heavy[mates.source], cKDTree(mates.xyz)
    found, mean_b = [], np.full(len(places), float(atoms.b_iso.mean()))
    for n, place in enumerate(places):
        partners = []
        b = []
        for k in tree.query_ball_point(place, REACH):
            delta = mates.xyz[k] - place
            distance = float(np.linalg.norm(delta))
            if (source[k] == index[n] and distance < 1.0) or distance < 1.2:
                continue
            site = sites[source[k]]
            element = site.atom.element.name
            if element in ("O", "N", "S", "Cl") and distance < 3.3:
                b.append(float(atoms.b_iso[source[k]]))
            partners.append(
                Partner(
                    element=element,
                    residue=site.residue.name,
                    atom=site.atom.name,
                    distance=distance,
                    direction=delta / distance,
                    name=names[source[k]],
                )
            )
        found.append(tuple(sorted(partners, key=lambda p: p.distance)))
        if b:
            mean_b[n] = float(np.mean(b))
    return found, mean_b


def settled_site(scene: Scene, site: IonSite) -> IonSite:
    """A site with its partners where their density is once a metal stands there, not where a water has pushed them.

    The metal is tried as Mn, which comes as near to its partners as the density asks for; no bonds are made.
    """
    held = [p.name for p in site.partners if p.element in ("O", "N", "S") and p.distance < 2.9]
    residues = {" ".join(name.split()[:3]) for name in held if len(name.split()) == 4}
    rows = rows_of(scene.structure)
    names = [atom_name(c) for c in scene.structure[0].all()]
    water = names[site.water] if site.water >= 0 else None
    moving = {r.name for r in rows if " ".join(r.name.split()[:3]) in residues and r.name != water}
    metal = next(kind for kind in CATIONS if kind.component == "MN")
    grown, label = _with_ion(scene.structure, site, metal.component, metal.element, (), water)
    atoms = scene.evidence.atoms
    omitted = np.array([k for k, name in enumerate(names) if name in moving or name == water], dtype=np.int64)
    target = zone_target(scene.evidence, omitted)
    _, places, _ = settled(scene, grown, {*moving, f"{label} {metal.component}"}, target)
    xyz = atoms.xyz.clone()
    for k, name in enumerate(names):
        if name in places:
            xyz[k] = torch.from_numpy(places[name])
    moved = replace(scene, evidence=replace(scene.evidence, atoms=replace(atoms, xyz=xyz)))
    at = places[f"{label} {metal.component}"]
    partners, _ = _partners(moved, at[None], np.array([site.water]))
    return replace(site, xyz=at, partners=partners[0])


def place_ions(scene: Scene, rules: IonRules | None = None) -> Change:
    """Waters that are ions, and ions where nothing stands yet."""
    rules = rules or IonRules()
    structure, records = scene.structure, []
    names = {k: atom_name(c) for k, c in enumerate(scene.structure[0].all())}
    taken: list[Array] = []
    d_min = scene.evidence.maps.d_min
    loose = replace(rules, valence_error=2.0 * rules.valence_error, imbalance=1.3 * rules.imbalance)
    sites = [settled_site(scene, s) for s in ion_sites(scene, rules) if judge_site(s, d_min, loose)]
    verdicts = [(s, judge_site(s, d_min, rules)) for s in sites]
    chosen = sorted(((s, v) for s, v in verdicts if v), key=lambda pair: pair[1][0].misfit)
    for site, likely in chosen:
        if any(np.linalg.norm(site.xyz - t) < 2.5 for t in taken):
            continue
        taken.append(site.xyz)
        before = structure
        structure, label = _with_ion(
            structure, site, likely[0].component, likely[0].element, likely[0].bonds, names.get(site.water)
        )
        added, removed = difference(before, structure)
        other = [f"{v.component} ({v.valence:.2f})" for v in likely[1:]]
        reason = likely[0].said + (f"; possible as well: {', '.join(other)}" if other else "")
        where = f"water {names[site.water]}" if site.water >= 0 else "a peak without an atom"
        records.append(
            MoveRecord(
                kind="ion",
                residue=label,
                why=f"{where}: {', '.join(p.name for p in likely[0].bonds[:6]) or 'donors around it'}",
                accepted=True,
                reason=reason,
                before=None,
                after=None,
                added=added,
                removed=removed,
            )
        )
    return Change(structure=structure, records=tuple(records))


def _with_ion(
    structure: gemmi.Structure,
    site: IonSite,
    component: str,
    element: str,
    bonds: Sequence[Partner],
    water: str | None,
) -> tuple[gemmi.Structure, str]:
    """The model with an ion in place of a water or of nothing, bonded to its partners."""
    if water is not None:
        structure = without_atoms(structure, {k for k, c in enumerate(structure[0].all()) if atom_name(c) == water})
    ion = make_residue(component, [component], [element], site.xyz[None], site.b_iso)
    grown, label = with_residue(structure, ion, nearest_chain(structure, site.xyz[None]))
    for partner in bonds:
        if len(partner.name.split()) == 4:  # conformers have no single bond to record
            with_link(grown, f"{label} {component}", partner.name, gemmi.ConnectionType.MetalC)
    return grown, label
