"""One round of automated rebuilding: what is suspicious is tried, judged and, where the data agree, changed.

gemmi structures pass through, since adding and removing atoms changes the topology; all arithmetic is on arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.edit_model import with_positions, with_waters, without_atoms
from burnish.chemistry.labels import atom_labels
from burnish.chemistry.residues import ResidueView, residue_views
from burnish.chemistry.topology import build_topology
from burnish.core.events import Listener, Message, Progress, ignore
from burnish.data.atoms import Atoms
from burnish.data.particle_symmetry import Symmetry
from burnish.data.restraints import Restraints
from burnish.data.sampled_map import SampledMap
from burnish.maps.sampling import local_spline, sample
from burnish.models.data_term import DataTerm
from burnish.models.restraints.ramachandran import find_backbone
from burnish.models.restraints.side_chains import find_side_chains
from burnish.models.restraints.stereochemistry import stereochemistry
from burnish.rebuild.conformations import bond_graph
from burnish.rebuild.evidence import Evidence, local_target, make_evidence, separate_zones, zone_density
from burnish.rebuild.memory import Memory
from burnish.rebuild.move import SETTLED, MoveRecord, Site, judge_site
from burnish.rebuild.moves.backbone import backbone_site, backbone_window, omega_before, window_atoms, window_label
from burnish.rebuild.moves.waters import find_doomed_waters, find_waters
from burnish.rebuild.settings import RebuildSettings
from burnish.rebuild.suspects import (
    handless_side_chains,
    suspicious_peptides,
    suspicious_side_chains,
    wrong_hands,
    wrong_places,
)
from burnish.rebuild.torsion_energy import TorsionEnergies
from burnish.rebuild.zone import Surroundings, ZoneSystem, surroundings
from burnish.validate.density_fit import ResidueFit, residue_fits

Array = NDArray[np.float64]

CIS_LIMIT = math.radians(90.0)  # dictionaries take a peptide for cis below about this
BACKBONE_WINDOWS = (3, 4, 5)  # residues that are built anew about a wrong one; the first that is accepted ends it


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildModel:
    """A model without hydrogens, with its restraints.

    Attributes
    ----------
    structure : atoms in the order of `atoms` and `restraints`.
    atoms : parameters.
    restraints : of the same atoms.
    crystal : cell and space group, or symmetry of a particle; None without.
    monlib : dictionaries, for peptides that change between cis and trans; None leaves them as they are.
    """

    structure: gemmi.Structure
    atoms: Atoms
    restraints: Restraints
    crystal: Symmetry | None
    monlib: gemmi.MonLib | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildResult:
    """A changed model and what was done.

    Attributes
    ----------
    structure : without hydrogens.
    records : of every move that was weighed.
    """

    structure: gemmi.Structure
    records: tuple[MoveRecord, ...]


def rebuild_round(
    model: RebuildModel,
    term: DataTerm,
    settings: RebuildSettings | None = None,
    listener: Listener = ignore,
    memory: Memory | None = None,
) -> RebuildResult:
    """Try every move where something is wrong.

    Parameters
    ----------
    model : refined against the data.
    term : the data; they are scaled to the model here.
    settings : what may be done.
    listener : for messages and progress.
    memory : of earlier rounds; what happens in this one is noted in it.
    """
    settings = settings or RebuildSettings()
    term.prepare(model.atoms)
    evidence = make_evidence(term, model.atoms)
    views = residue_views(model.structure[0])
    xyz, records = _change_conformations(model, evidence, views, settings, memory or Memory(), listener)
    structure = with_positions(model.structure, xyz)
    if settings.waters:
        moved = replace(model.atoms, xyz=torch.from_numpy(xyz))
        term.update_scaling(moved)
        structure, more = _change_waters(structure, make_evidence(term, moved), views, model.crystal, settings)
        records += more
    accepted = sum(r.accepted for r in records)
    listener(Message(f"rebuilding: {accepted} of {len(records)} moves accepted"))
    return RebuildResult(structure=structure, records=tuple(records))


class _Bench:
    """One model on which sites are judged one after another; each accepted move changes it for those that follow."""

    def __init__(
        self, model: RebuildModel, evidence: Evidence, views: Sequence[ResidueView], guide: bool, memory: Memory
    ) -> None:
        self.model, self.evidence, self.views, self.memory = model, evidence, views, memory
        self.xyz = model.atoms.xyz.numpy().copy()
        self.names = atom_names(model.structure)
        self.electrons = np.array([float(gemmi.Element(e).atomic_number) for e in model.atoms.elements])
        self.labels, self.guide = atom_labels(model.structure), guide
        self.system = self._system(model.restraints)
        self.torsions = TorsionEnergies(self.xyz, views)
        self.around: Surroundings | None = None
        self.records: list[MoveRecord] = []

    def _system(self, restraints: Restraints) -> ZoneSystem:
        return ZoneSystem(
            stereochemistry=stereochemistry(restraints),
            contacts=restraints.contacts,
            electrons=self.electrons,
            occ=self.model.atoms.occ.numpy(),
            crystal=self.model.crystal,
            backbone=find_backbone(self.labels, restraints, self.xyz) if self.guide else None,
            side_chains=find_side_chains(self.labels, restraints) if self.guide else None,
        )

    def system_with(self, site: Site) -> ZoneSystem | None:
        """Restraints for the first candidate of a site, whose peptides may be others; None without dictionaries."""
        if self.model.monlib is None:
            return None
        moved = self.xyz.copy()
        moved[site.atoms] = site.candidates[0].xyz
        there = with_positions(self.model.structure, moved)
        return self._system(build_topology(there, self.model.monlib, hydrogens="remove").restraints)

    def difference_at(self, places: Array) -> Array:
        """Difference density at positions (k, 3), in units of its rms. (k,)"""
        at = torch.from_numpy(places)
        return sample(local_spline(self.evidence.maps.difference, at), at).numpy() / self.evidence.difference_sigma

    def is_known_failure(self, site: Site) -> bool:
        """Whether an earlier round tried this in vain on the same positions."""
        return self.memory.would_repeat(site.kind, site.residue, self.xyz[site.atoms])

    def judge(self, site: Site, density: SampledMap, system_after: ZoneSystem | None = None) -> bool:
        """Decide about a site by the density of its zone alone; whether the model was changed."""
        old = self.xyz[site.atoms]
        starts = np.concatenate([old, *(c.xyz for c in site.candidates)])
        target = local_target(self.evidence, density, starts)
        self.around = self.around or surroundings(self.xyz, self.model.crystal)
        record, moved = judge_site(
            site,
            self.system,
            self.around,
            self.xyz,
            target,
            self.torsions.near(site.view, self.xyz, site.atoms),
            self.names,
            lambda judged: self.memory.goes_back(site.residue, judged),
            system_after,
            self.difference_at if site.kind == "rotamer" else None,
        )
        self.records.append(record)
        if moved is None:
            self.memory.remember_failure(site.kind, site.residue, old)
            return False
        self.memory.remember_left(site.residue, old[site.judged], moved[site.atoms][site.judged])
        self.xyz, self.around = moved, None
        self.system = system_after or self.system
        return True


def _change_conformations(
    model: RebuildModel,
    evidence: Evidence,
    views: Sequence[ResidueView],
    settings: RebuildSettings,
    memory: Memory,
    listener: Listener,
) -> tuple[Array, list[MoveRecord]]:
    """Backbones, peptides and rotamers, zone by zone; zones far apart share one transform."""
    bench = _Bench(model, evidence, views, settings.torsion_guide, memory)
    graph = bond_graph(model.restraints.bonds.atoms.numpy()[model.restraints.bonds.image.numpy() == 0])
    fits = _fits(model, evidence, views, bench.electrons)
    if settings.backbones:
        hands, _ = wrong_hands(bench.xyz, views, model.restraints)
        places = wrong_places(bench.xyz, views, fits, allowed=settings.search_allowed, hands=hands)
        for done, (index, why) in enumerate(places, start=1):
            _rebuild_backbone(bench, index, why, 0.0 if index in hands else SETTLED)
            listener(Progress("backbones", done, len(places)))
    if settings.rotamers and model.monlib is not None:
        _judge_all(bench, handless_side_chains(bench.xyz, views, model.restraints, model.monlib), listener)
    for propose in (suspicious_peptides, suspicious_side_chains):
        _judge_all(bench, propose(bench.xyz, views, fits, evidence, graph, settings), listener)
    return bench.xyz, bench.records


def _judge_all(bench: _Bench, sites: Sequence[Site], listener: Listener) -> None:
    """Decide about sites that an earlier round has not tried in vain; zones far apart share one transform."""
    sites = [s for s in sites if not bench.is_known_failure(s)]
    done = 0
    for group in separate_zones(bench.xyz, [s.atoms for s in sites]):
        density = zone_density(bench.evidence, np.concatenate([sites[k].atoms for k in group]))
        for k in group:
            bench.judge(sites[k], density)
            done += 1
            listener(Progress("rebuilding", done, len(sites)))


def _rebuild_backbone(bench: _Bench, index: int, why: str, settled: float) -> None:
    """New backbones for windows about one residue, the shortest first; the first that is better is taken.

    A proline is tried cis and trans last. From `settled` Å on, refining a window as it is is a change as well.
    """
    for size in BACKBONE_WINDOWS:
        if _try_window(bench, backbone_window(bench.views, index, size), why, None, settled):
            return
    following = bench.views[index].next
    prolines = [k for k in (index, following) if k >= 0 and bench.views[k].name == "PRO"]
    for turned in prolines if bench.model.monlib is not None else ():
        if _try_window(bench, backbone_window(bench.views, index, BACKBONE_WINDOWS[0]), why, turned):
            return


def _try_window(
    bench: _Bench, window: tuple[int, ...] | None, why: str, turned: int | None, settled: float = SETTLED
) -> bool:
    """Judge new backbones of one window; whether the model was changed."""
    if window is None:
        return False
    atoms, residue = window_atoms(bench.views, window), window_label(bench.views, window)
    kind = "backbone" if turned is None else "cis/trans"
    if bench.memory.would_repeat(kind, residue, bench.xyz[atoms]):
        return False
    density = zone_density(bench.evidence, atoms)
    target = local_target(bench.evidence, density, bench.xyz[atoms])
    site = backbone_site(bench.xyz, bench.views, window, target, why, turned)
    if site is None:
        bench.memory.remember_failure(kind, residue, bench.xyz[atoms])
        return False
    site = replace(site, settled=settled)
    ends = (*window, bench.views[window[-1]].next)
    other = turned is not None or any(_is_unusual(bench, k) for k in ends)
    return bench.judge(site, density, bench.system_with(site) if other else None)


def _is_unusual(bench: _Bench, index: int) -> bool:
    """Whether the peptide before a residue that is no proline is not trans: its restraints may be those of cis."""
    omega = omega_before(bench.xyz, bench.views, index)
    return omega is not None and abs(omega) < CIS_LIMIT and bench.views[index].name != "PRO"


def _fits(
    model: RebuildModel, evidence: Evidence, views: Sequence[ResidueView], electrons: Array
) -> dict[int, ResidueFit]:
    maps, atoms = evidence.maps, model.atoms
    found = residue_fits(
        maps.density,
        maps.calculated,
        maps.difference,
        atoms.xyz,
        atoms.b_iso,
        atoms.occ,
        torch.from_numpy(electrons),
        views,
        maps.d_min,
    )
    return {f.view: f for f in found}


def _change_waters(
    structure: gemmi.Structure,
    evidence: Evidence,
    views: Sequence[ResidueView],
    crystal: Symmetry | None,
    settings: RebuildSettings,
) -> tuple[gemmi.Structure, list[MoveRecord]]:
    names = atom_names(structure)
    rules = settings.water_rules
    residues = sum(v.kind in ("protein", "nucleic") and v.is_primary for v in views)
    added = find_waters(evidence, crystal, rules, most=max(20, residues))
    doomed = find_doomed_waters(evidence, views, crystal, rules, added)
    records = [
        _water_record(
            "water dropped",
            names[w.atom],
            w.reason,
            undo=((names[w.atom], _triple(evidence.atoms.xyz[w.atom].tolist())),),
        )
        for w in doomed
    ]
    if doomed:
        structure = without_atoms(structure, {w.atom for w in doomed})
    if added:
        structure, labels = with_waters(structure, [w.xyz for w in added], [w.b_iso for w in added])
        for label, w in zip(labels, added, strict=True):
            why = (
                f"difference density {w.difference:.1f} σ, density {w.density:.1f} σ, {w.distance:.2f} Å from "
                f"{names[w.near]}"
            )
            records.append(_water_record("water added", label, why, added=(f"{label} O",)))
    return structure, records


def _water_record(
    kind: str,
    residue: str,
    why: str,
    undo: tuple[tuple[str, tuple[float, float, float]], ...] = (),
    added: tuple[str, ...] = (),
) -> MoveRecord:
    return MoveRecord(
        kind=kind, residue=residue, why=why, accepted=True, reason=why, before=None, after=None, undo=undo, added=added
    )


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = values
    return x, y, z


def atom_names(structure: gemmi.Structure) -> tuple[str, ...]:
    """Every atom of the first model as a person writes it ("A 27 LEU CD1 B")."""
    return tuple(
        f"{c.chain.name} {c.residue.seqid} {c.residue.name} {c.atom.name}"
        + (f" {c.atom.altloc}" if c.atom.altloc != "\0" else "")
        for c in structure[0].all()
    )
