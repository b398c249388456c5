"""One round of automated rebuilding: what is suspicious is tried, judged and, where the data agree, changed.

gemmi structures pass through, since adding and removing atoms changes the topology; all arithmetic is on arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.edit_model import with_positions, with_waters, without_atoms
from burnish.chemistry.labels import atom_names
from burnish.chemistry.residues import ResidueView, residue_views
from burnish.core.events import Listener, Message, Progress, ignore
from burnish.data.particle_symmetry import Symmetry
from burnish.models.data_term import DataTerm
from burnish.rebuild.backbone_search import rebuild_backbones
from burnish.rebuild.bench import Bench, RebuildModel
from burnish.rebuild.conformations import bond_graph
from burnish.rebuild.evidence import Evidence, make_evidence, separate_zones, zone_density
from burnish.rebuild.memory import Memory
from burnish.rebuild.move import MoveRecord, Site
from burnish.rebuild.moves.waters import find_doomed_waters, find_waters
from burnish.rebuild.settings import RebuildSettings
from burnish.rebuild.suspects import (
    handless_side_chains,
    suspicious_peptides,
    suspicious_side_chains,
    wrong_hands,
    wrong_places,
)
from burnish.validate.density_fit import ResidueFit, residue_fits

Array = NDArray[np.float64]


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


def _change_conformations(
    model: RebuildModel,
    evidence: Evidence,
    views: Sequence[ResidueView],
    settings: RebuildSettings,
    memory: Memory,
    listener: Listener,
) -> tuple[Array, list[MoveRecord]]:
    """Backbones, peptides and rotamers, zone by zone; zones far apart share one transform."""
    bench = Bench(model, evidence, views, settings.torsion_guide, memory)
    graph = bond_graph(model.restraints.bonds.atoms.numpy()[model.restraints.bonds.image.numpy() == 0])
    fits = _fits(model, evidence, views, bench.electrons)
    if settings.backbones:
        hands, _ = wrong_hands(bench.xyz, views, model.restraints)
        places = wrong_places(bench.xyz, views, fits, allowed=settings.search_allowed, hands=hands)
        rebuild_backbones(bench, places, hands, listener)
    if settings.rotamers and model.monlib is not None:
        _judge_all(bench, handless_side_chains(bench.xyz, views, model.restraints, model.monlib), listener)
    for propose in (suspicious_peptides, suspicious_side_chains):
        _judge_all(bench, propose(bench.xyz, views, fits, evidence, graph, settings), listener)
    return bench.xyz, bench.records


def _judge_all(bench: Bench, sites: Sequence[Site], listener: Listener) -> None:
    """Decide about sites that an earlier round has not tried in vain; zones far apart share one transform."""
    sites = [s for s in sites if not bench.is_known_failure(s)]
    done = 0
    for group in separate_zones(bench.xyz, [s.atoms for s in sites]):
        density = zone_density(bench.evidence, np.concatenate([sites[k].atoms for k in group]))
        for k in group:
            bench.judge(sites[k], density)
            done += 1
            listener(Progress("rebuilding", done, len(sites)))


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
        structure, labels = with_waters(
            structure, [w.xyz for w in added], [w.b_iso for w in added], [w.occ for w in added]
        )
        for label, w in zip(labels, added, strict=True):
            why = w.evidence(names[w.near])
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
