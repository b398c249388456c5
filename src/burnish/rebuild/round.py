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
from burnish.chemistry.residues import ResidueView, residue_views
from burnish.core.events import Listener, Message, Progress, ignore
from burnish.data.atoms import Atoms
from burnish.data.particle_symmetry import Symmetry
from burnish.data.restraints import Restraints
from burnish.models.data_term import DataTerm
from burnish.models.restraints.stereochemistry import stereochemistry
from burnish.rebuild.conformations import bond_graph
from burnish.rebuild.evidence import Evidence, make_evidence, separate_zones, zone_target
from burnish.rebuild.move import MoveRecord, judge_site
from burnish.rebuild.moves.backbone import backbone_site, backbone_window, window_atoms
from burnish.rebuild.moves.waters import find_doomed_waters, find_waters
from burnish.rebuild.settings import RebuildSettings
from burnish.rebuild.suspects import suspicious_peptides, suspicious_side_chains, wrong_places
from burnish.rebuild.torsion_energy import TorsionEnergies
from burnish.rebuild.zone import ZoneSystem, surroundings
from burnish.validate.density_fit import ResidueFit, residue_fits

Array = NDArray[np.float64]

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
    """

    structure: gemmi.Structure
    atoms: Atoms
    restraints: Restraints
    crystal: Symmetry | None


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
    model: RebuildModel, term: DataTerm, settings: RebuildSettings | None = None, listener: Listener = ignore
) -> RebuildResult:
    """Try every move where something is wrong.

    Parameters
    ----------
    model : refined against the data.
    term : the data; they are scaled to the model here.
    settings : what may be done.
    listener : for messages and progress.
    """
    settings = settings or RebuildSettings()
    term.prepare(model.atoms)
    evidence = make_evidence(term, model.atoms)
    views = residue_views(model.structure[0])
    xyz, records = _change_conformations(model, evidence, views, settings, listener)
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
    listener: Listener,
) -> tuple[Array, list[MoveRecord]]:
    """Rotamers and peptides, zone by zone; zones far apart share one transform."""
    xyz = model.atoms.xyz.numpy().copy()
    names = atom_names(model.structure)
    electrons = np.array([float(gemmi.Element(e).atomic_number) for e in model.atoms.elements])
    system = ZoneSystem(
        stereochemistry=stereochemistry(model.restraints),
        contacts=model.restraints.contacts,
        electrons=electrons,
        occ=model.atoms.occ.numpy(),
        crystal=model.crystal,
    )
    graph = bond_graph(model.restraints.bonds.atoms.numpy()[model.restraints.bonds.image.numpy() == 0])
    torsions = TorsionEnergies(xyz, views)
    fits = _fits(model, evidence, views, electrons)
    records: list[MoveRecord] = []
    if settings.backbones:
        for index, why in wrong_places(xyz, views, fits):
            for size in BACKBONE_WINDOWS:
                window = backbone_window(views, index, size)
                if window is None:
                    continue
                target = zone_target(evidence, window_atoms(views, window))
                site = backbone_site(xyz, views, window, target, why)
                if site is None:
                    continue
                around = surroundings(xyz, model.crystal)
                record, moved = judge_site(site, system, around, xyz, target, torsions.near(site.view), names)
                records.append(record)
                if moved is not None:
                    xyz = moved
                    break
    for propose in (suspicious_peptides, suspicious_side_chains):
        sites = propose(xyz, views, fits, evidence, graph, settings)
        groups = separate_zones(xyz, [s.atoms for s in sites])
        done = 0
        for group in groups:
            target = zone_target(evidence, np.concatenate([sites[k].atoms for k in group]))
            around = surroundings(xyz, model.crystal)
            for k in group:
                record, moved = judge_site(sites[k], system, around, xyz, target, torsions.near(sites[k].view), names)
                records.append(record)
                done += 1
                if moved is not None:
                    xyz = moved
                    around = surroundings(xyz, model.crystal)
                listener(Progress("rebuilding", done, len(sites)))
    return xyz, records


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
    doomed = find_doomed_waters(evidence, views, crystal, rules)
    residues = sum(v.kind in ("protein", "nucleic") and v.is_primary for v in views)
    added = find_waters(evidence, crystal, rules, most=max(20, residues))
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
