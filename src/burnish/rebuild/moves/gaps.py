"""Gaps in a chain closed and its ends lengthened, where the sequence says what is missing and density shows where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from burnish.chemistry.edit_model import without_atoms
from burnish.chemistry.edit_residues import NewAtom, NewResidue, with_residues
from burnish.chemistry.labels import atom_labels
from burnish.chemistry.ramachandran import RamachandranClass, ramachandran_class
from burnish.chemistry.residues import ResidueView, residue_views
from burnish.chemistry.sequences import Gap, PlacedChain, find_gaps, place_chains
from burnish.chemistry.topology import build_topology
from burnish.maps.sampling import SplineMap, local_spline, sample, spline_map
from burnish.models.restraints.ramachandran import find_backbone
from burnish.models.restraints.stereochemistry import stereochemistry
from burnish.rebuild.chain_growth import Field, Grown, grow_backward, grow_forward
from burnish.rebuild.loops import CLOSED, Anchors, carbonyl_oxygens, close, grow, sample_torsions
from burnish.rebuild.move import MoveRecord
from burnish.rebuild.moves.side_chain_atoms import record_of
from burnish.rebuild.scene import Change, Scene
from burnish.rebuild.zone import Target, ZoneResult, ZoneSystem, make_zone, surroundings
from burnish.rebuild.zone_refinement import refine_zones
from burnish.symmetry.images import images_near
from burnish.validate.cbeta import ideal_cbeta

Array = NDArray[np.float64]

LONGEST_GAP = 12  # residues
STARTS = 3  # independent growths of a gap
REFINED = 10  # closed chains that are refined
DIFFERENT = 0.5  # Å rms
LEAST_DENSITY, LEAST_RESIDUE = 1.0, 0.4  # σ: mean over a new stretch, and over its worst residue
LEAST_END = 1.2  # σ; mean over each residue by which an end is lengthened
MOST_AT_ENDS = 4  # residues added to an end in one round
WORST_GEOMETRY = 12.0  # energy of restraints a residue, above which a closed chain is bent


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """New main-chain atoms of some residues. n, each N, CA, C, O and Cβ where there is one."""

    names: tuple[str, ...]
    numbers: tuple[int, ...]
    atoms: tuple[tuple[NewAtom, ...], ...]

    @property
    def residues(self) -> tuple[NewResidue, ...]:
        """As the chain gets them."""
        rows = zip(self.names, self.numbers, self.atoms, strict=True)
        return tuple(NewResidue(name=n, number=k, atoms=a) for n, k, a in rows)


def close_gaps(scene: Scene) -> Change:
    """Build the residues that are missing inside chains, up to twelve at a time."""
    structure = scene.structure
    records: list[MoveRecord] = []
    gaps = [
        (placed, gap) for placed in place_chains(structure, scene.sequences) for gap in _gaps_of(scene, placed, records)
    ]
    if not gaps:
        return Change(structure=structure, records=tuple(records))
    spline = spline_map(scene.evidence.maps.density)
    for _, gap in reversed(gaps):  # later ones first: the indices of earlier residues stay
        structure, record = _close_gap(scene, structure, gap, spline)
        records.append(record)
    return Change(structure=structure, records=tuple(records))


def close_one_gap(scene: Scene, gap: Gap) -> Change:
    """Build the residues of one gap; the record says why where it was left open."""
    structure, record = _close_gap(scene, scene.structure, gap, spline_map(scene.evidence.maps.density))
    return Change(structure=structure, records=(record,))


def _gaps_of(scene: Scene, placed: PlacedChain, records: list[MoveRecord]) -> tuple[Gap, ...]:
    numbers = {
        v.residue: int(v.number.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")) for v in scene.views if v.kind == "protein"
    }
    gaps, words = find_gaps(placed, numbers, LONGEST_GAP)
    records += [record_of("gap closed", text.split(":")[0], "residues missing", False, text) for text in words]
    return gaps


def _close_gap(
    scene: Scene, structure: gemmi.Structure, gap: Gap, spline: SplineMap
) -> tuple[gemmi.Structure, MoveRecord]:
    """The model with one gap closed, if density and geometry allow it."""
    view = {v.residue: v for v in scene.views if v.is_primary}
    before, after = view[gap.before], view[gap.after]
    label = f"{before.label} – {after.label}"
    why = f"{len(gap.names)} residues missing: {' '.join(gap.names)}"
    xyz = scene.evidence.atoms.xyz
    ends = before.indices("N", "CA", "C"), after.indices("N", "CA", "C")
    if ends[0] is None or ends[1] is None or before.altloc or after.altloc:
        return structure, record_of("gap closed", label, why, False, "the ends are incomplete or have conformers")
    anchors = Anchors(before=xyz[list(ends[0])], after=xyz[list(ends[1])])
    others = _others(scene, (before, after), anchors)
    stretches = _closed_chains(scene, gap, before, after, anchors, spline, others)
    if not stretches:
        return structure, record_of("gap closed", label, why, False, "no chain through density closes it")
    found = _refined(scene, structure, gap, before, after, stretches, spline)
    stretch, density, geometry = found
    worst = min(density)
    evidence = f"density {np.mean(density):.1f} σ, worst residue {worst:.1f} σ, restraints {geometry:.1f} a residue"
    if np.mean(density) < LEAST_DENSITY or worst < LEAST_RESIDUE or geometry > WORST_GEOMETRY:
        return structure, record_of("gap closed", label, why, False, evidence)
    added = tuple(
        f"{before.chain} {number} {name} {atom.name}"
        for name, number, atoms in zip(stretch.names, stretch.numbers, stretch.atoms, strict=True)
        for atom in atoms
    )
    grown = with_residues(structure, gap.after, stretch.residues)
    grown = _without_waters_in_the_way(grown, stretch, scene)
    return grown, record_of("gap closed", label, why, True, evidence, added=added)


def _without_waters_in_the_way(structure: gemmi.Structure, stretch: Stretch, scene: Scene) -> gemmi.Structure:
    """Waters that stood in the density of the new residues make way."""
    new = np.array([a.xyz for atoms in stretch.atoms for a in atoms])
    doomed, index = set(), 0
    for chain in structure[0]:
        for residue in chain:
            for atom in residue:
                if residue.is_water() and np.linalg.norm(new - np.array(atom.pos.tolist()), axis=1).min() < 2.2:
                    doomed.add(index)
                index += 1
    return without_atoms(structure, doomed) if doomed else structure


def _others(scene: Scene, own: Sequence[ResidueView], anchors: Anchors) -> cKDTree:
    """Atoms and their mates about a gap, without the residues at its ends, and without waters."""
    atoms = scene.evidence.atoms
    middle = torch.cat([anchors.before, anchors.after]).numpy()
    mates = images_near(scene.crystal, atoms.xyz.numpy(), middle, 20.0)
    left_out = {a for v in own for a in v.atoms.values()}
    left_out |= {a for v in scene.views if v.kind == "water" for a in v.atoms.values()}
    keep = np.array([s not in left_out for s in mates.source.tolist()], dtype=bool)
    return cKDTree(np.concatenate([mates.xyz[keep], [[1e4, 1e4, 1e4]]]))


def _kinds(names: Sequence[str], after: str) -> list[RamachandranClass]:
    chain = [*names, after]
    return [ramachandran_class(chain[k], chain[k + 1], is_cis=False) for k in range(len(names))]


def _closed_chains(
    scene: Scene,
    gap: Gap,
    before: ResidueView,
    after: ResidueView,
    anchors: Anchors,
    spline: SplineMap,
    others: cKDTree,
) -> list[tuple[Tensor, Tensor]]:
    """Different closed chains (3 (n + 1), 3) with their oxygens (n + 1, 3), the best in density first."""
    kinds = _kinds([before.name, *gap.names], after.name)
    last = _kinds([after.name], "ALA")
    field = Field(spline=spline, sigma=scene.evidence.sigma, others=others, goal=anchors.after[1])
    found: list[Tensor] = []
    for seed in range(STARTS):
        generator = torch.Generator().manual_seed(seed)
        grown = grow_forward(anchors.before, kinds, gap.names, field, generator)
        found.append(_with_ends(grown, anchors, last, generator))
    chains, gaps = close(anchors, torch.cat(found))
    chains = chains[gaps < CLOSED]
    if len(chains) == 0:
        return []
    oxygens = carbonyl_oxygens(chains, anchors.before)
    places = torch.cat([chains[:, :-3], oxygens], dim=1)
    rho = sample(spline, places.reshape(-1, 3)).reshape(len(chains), -1) / scene.evidence.sigma
    order = torch.argsort(-(rho.clamp(-1.0, 4.0).mean(1) + 0.3 * rho.min(1).values.clamp(max=1.0)))
    chosen: list[int] = []
    for k in order.tolist():
        apart = (chains[chosen] - chains[k]).square().sum(-1).mean(-1).sqrt()
        if not chosen or float(apart.min()) > DIFFERENT:
            chosen.append(k)
        if len(chosen) == REFINED:
            break
    return [(chains[k], oxygens[k]) for k in chosen]


def _with_ends(grown: Grown, anchors: Anchors, last: list[RamachandranClass], generator: torch.Generator) -> Tensor:
    """Grown chains with the residue after them added, where it would stand by their own torsions. (b, 3 (n + 1), 3)"""
    count, n = grown.chains.shape[:2]
    chains = grown.chains.reshape(count, 3 * n, 3)
    torsions = sample_torsions(last, count, generator)
    ends = []
    for k in range(count):  # each chain hangs on its own last residue
        own = Anchors(before=grown.chains[k, -1], after=anchors.after)
        omega = torch.full((1, 1), math.pi, dtype=chains.dtype)
        ends.append(grow(own, torsions[k : k + 1], grown.phi_psi[k : k + 1, -1, 1], omega)[0])
    return torch.cat([chains, torch.stack(ends)], dim=1)


def _stretch(gap: Gap, chain: Tensor, oxygens: Tensor, b_iso: float) -> Stretch:
    """New residues from a closed chain."""
    rows = []
    for k, name in enumerate(gap.names):
        n, ca, c = chain[3 * k : 3 * k + 3]
        places = [("N", "N", n), ("CA", "C", ca), ("C", "C", c), ("O", "O", oxygens[k + 1])]
        if name != "GLY":
            places.append(("CB", "C", ideal_cbeta(n[None], ca[None], c[None], name)[0]))
        rows.append(tuple(NewAtom(name=a, element=e, xyz=x.numpy(), b_iso=b_iso) for a, e, x in places))
    return Stretch(names=gap.names, numbers=gap.numbers, atoms=tuple(rows))


def system_of(structure: gemmi.Structure, scene: Scene) -> tuple[gemmi.Structure, ZoneSystem, Array]:
    """A model with other atoms, ready for the refinement of zones; and its positions (n, 3)."""
    topology = build_topology(structure, scene.monlib, hydrogens="remove")
    sites = list(topology.structure[0].all())
    xyz = np.array([s.atom.pos.tolist() for s in sites])
    system = ZoneSystem(
        stereochemistry=stereochemistry(topology.restraints),
        contacts=topology.restraints.contacts,
        electrons=np.array([float(s.atom.element.atomic_number) for s in sites]),
        occ=np.array([s.atom.occ for s in sites]),
        crystal=scene.crystal,
        backbone=find_backbone(atom_labels(topology.structure), topology.restraints, xyz),
    )
    return topology.structure, system, xyz


def _refined(
    scene: Scene,
    structure: gemmi.Structure,
    gap: Gap,
    before: ResidueView,
    after: ResidueView,
    closed: Sequence[tuple[Tensor, Tensor]],
    spline: SplineMap,
) -> tuple[Stretch, list[float], float]:
    """The best of some closed chains after refinement, the density of its residues, and its strain a residue."""
    b_iso = 1.2 * float(scene.evidence.atoms.b_iso[[before.atoms["CA"], after.atoms["CA"]]].mean())
    stretches = [_stretch(gap, chain, oxygens, b_iso) for chain, oxygens in closed]
    model, system, xyz = system_of(with_residues(structure, gap.after, stretches[0].residues), scene)
    views = residue_views(model[0])
    names = {(v.chain, v.number): v for v in views if v.is_primary}
    new = [names[before.chain, str(number)] for number in gap.numbers]
    first, last = names[before.chain, before.number], names[after.chain, after.number]
    order = [(v.atoms[a.name], a.name) for v, atoms in zip(new, stretches[0].atoms, strict=True) for a in atoms]
    ends = [first.atoms["C"], first.atoms["O"], last.atoms["N"]]
    atoms = np.array([*(a for a, _ in order), *ends], dtype=np.int64)
    starts = []
    for stretch, (_, oxygens) in zip(stretches, closed, strict=True):
        rows = [a.xyz for residue in stretch.atoms for a in residue]
        starts.append(np.stack([*rows, xyz[ends[0]], oxygens[0].numpy(), xyz[ends[2]]]))
    zone = make_zone(system, surroundings(xyz, scene.crystal), atoms, np.stack(starts))
    target = Target(
        spline=local_spline(scene.evidence.maps.density, torch.from_numpy(np.concatenate(starts))),
        sigma=scene.evidence.sigma,
    )
    done = refine_zones(system, zone, xyz, np.stack(starts), target, steps=40)
    best = min(range(len(done)), key=lambda k: done[k].energy.total)
    return _result(stretches[best], done[best], b_iso)


def _result(stretch: Stretch, done: ZoneResult, b_iso: float) -> tuple[Stretch, list[float], float]:
    rows, densities, k = [], [], 0
    for atoms in stretch.atoms:
        rows.append(tuple(replace(a, xyz=done.xyz[k + i], b_iso=b_iso) for i, a in enumerate(atoms)))
        densities.append(float(done.density[k : k + len(atoms)].mean()))
        k += len(atoms)
    return replace(stretch, atoms=tuple(rows)), densities, done.energy.geometry / len(stretch.atoms)


def extend_ends(scene: Scene) -> Change:
    """Add residues to the ends of chains while each lies in density."""
    structure, records = scene.structure, []
    ends: list[tuple[int, PlacedChain, bool]] = []
    for placed in place_chains(structure, scene.sequences):
        if placed.positions and placed.positions[-1] < len(placed.sequence) - 1:
            ends.append((placed.residues[-1], placed, True))
        if placed.positions and placed.positions[0] > 0:
            ends.append((placed.residues[0], placed, False))
    if not ends:
        return Change(structure=structure)
    spline = spline_map(scene.evidence.maps.density)
    for residue, placed, forward in sorted(ends, key=lambda e: -e[0]):
        structure, record = _extend(scene, structure, residue, placed, spline, forward=forward)
        if record is not None:
            records.append(record)
    return Change(structure=structure, records=tuple(records))


def _extend(
    scene: Scene, structure: gemmi.Structure, residue: int, placed: PlacedChain, spline: SplineMap, *, forward: bool
) -> tuple[gemmi.Structure, MoveRecord | None]:
    """The model with one end lengthened by as many residues as have density."""
    view = next(v for v in scene.views if v.residue == residue and v.is_primary)
    own = view.indices("N", "CA", "C")
    if own is None or view.altloc or not view.number.lstrip("-").isdigit():
        return structure, None
    at = placed.positions[-1] if forward else placed.positions[0]
    names = placed.sequence[at + 1 : at + 1 + MOST_AT_ENDS] if forward else placed.sequence[:at][::-1][:MOST_AT_ENDS]
    anchor = scene.evidence.atoms.xyz[list(own)]
    anchors = Anchors(before=anchor, after=anchor)
    field = Field(spline=spline, sigma=scene.evidence.sigma, others=_others(scene, (view,), anchors))
    generator = torch.Generator().manual_seed(residue)
    if forward:
        kinds = _kinds([view.name, *names], "ALA")
        grown = grow_forward(anchor, kinds, names, field, generator)
    else:
        sequence = [*reversed(names), view.name]
        kinds = _kinds(sequence, "ALA")[::-1]
        grown = grow_backward(anchor, kinds, names, field, generator)
    best = int(grown.score.argmax())
    density = grown.density[best]
    good = int((density > LEAST_END).long().cumprod(0).sum())
    label = f"{'after' if forward else 'before'} {view.label}"
    why = f"{len(placed.sequence) - 1 - at if forward else at} residues missing at the end"
    if good < 2:  # the oxygen of the last residue is not placed by itself, and one residue is found by chance
        return structure, record_of("end extended", label, why, False, f"density {float(density[0]):.1f} σ")
    number = int(view.number)
    stretch = _end_stretch(grown, best, good, names, number, scene, view, forward=forward)
    place = residue + 1 if forward else residue
    evidence = "density " + ", ".join(f"{d:.1f}" for d in density[:good].tolist()) + " σ"
    added = tuple(f"{view.chain} {r.number} {r.name} {a.name}" for r in stretch.residues for a in r.atoms)
    grown_model = _without_waters_in_the_way(with_residues(structure, place, stretch.residues), stretch, scene)
    return grown_model, record_of("end extended", label, why, True, evidence, added=added)


def _end_stretch(
    grown: Grown,
    best: int,
    good: int,
    names: Sequence[str],
    number: int,
    scene: Scene,
    view: ResidueView,
    *,
    forward: bool,
) -> Stretch:
    """The first residues of a grown end in the order of the chain; the oxygens lie opposite the next nitrogen."""
    chains = grown.chains[best, : good + 1] if forward else grown.chains[best, :good].flip(0)
    count = good - 1 if forward and len(chains) == good else good
    b_iso = 1.2 * float(scene.evidence.atoms.b_iso[view.atoms["CA"]])
    anchor = scene.evidence.atoms.xyz[[view.atoms["N"]]]
    rows, kept = [], []
    for k in range(count):
        n, ca, c = chains[k]
        following = chains[k + 1, 0] if k + 1 < len(chains) else anchor[0]
        u, v = ca - c, following - c
        out = -(u / u.norm() + v / v.norm())
        places = [("N", "N", n), ("CA", "C", ca), ("C", "C", c), ("O", "O", c + 1.231 * out / out.norm())]
        name = names[k] if forward else names[good - 1 - k]
        if name != "GLY":
            places.append(("CB", "C", ideal_cbeta(n[None], ca[None], c[None], name)[0]))
        rows.append(tuple(NewAtom(name=a, element=e, xyz=x.numpy(), b_iso=b_iso) for a, e, x in places))
        kept.append(name)
    numbers = tuple(number + 1 + k if forward else number - good + k for k in range(count))
    return Stretch(names=tuple(kept), numbers=numbers, atoms=tuple(rows))
