"""One round of automated rebuilding: what is suspicious is tried, judged and, where the data agree, changed.

gemmi structures pass through, since adding and removing atoms changes the topology; all arithmetic is on arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.edit_model import with_positions, with_waters, without_atoms
from burnish.chemistry.ramachandran import ramachandran_nll
from burnish.chemistry.residues import ResidueView, residue_views
from burnish.chemistry.rotamers import rotamer_nll
from burnish.core.events import Listener, Message, Progress, ignore
from burnish.data.atoms import Atoms
from burnish.data.reflections import Crystal
from burnish.data.restraints import Restraints
from burnish.geometry.torsions import torsion_angles
from burnish.models.crystal_term import CrystalTerm
from burnish.models.restraints.stereochemistry import stereochemistry
from burnish.rebuild.conformations import Graph, bond_graph, chi_of, torsion
from burnish.rebuild.evidence import Evidence, make_evidence, separate_zones, zone_target
from burnish.rebuild.move import MoveRecord, Site, judge_site
from burnish.rebuild.moves.backbone import backbone_site, backbone_window, is_wrong, window_atoms
from burnish.rebuild.moves.peptides import peptide_site
from burnish.rebuild.moves.rotamers import rotamer_site
from burnish.rebuild.moves.waters import WaterRules, find_doomed_waters, find_waters
from burnish.rebuild.zone import ZoneSystem, surroundings
from burnish.validate.cbeta import validate_cbeta
from burnish.validate.density_fit import ResidueFit, residue_fits
from burnish.validate.peptides import validate_peptides
from burnish.validate.ramachandran import backbone_torsions, validate_ramachandran
from burnish.validate.rotamers import validate_rotamers

Array = NDArray[np.float64]

BACKBONE_WINDOWS = (3, 4, 5)  # residues that are built anew about a wrong one; the first that is accepted ends it
CIS_NLL = 7.6  # −ln 0.0005
WORST_TORSION = 12.0  # −log density of "impossible": one outlier cannot buy all else


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildSettings:
    """What a round may do.

    Attributes
    ----------
    backbones, rotamers, peptides, waters : kinds of moves.
    poor_fit : correlation with the density below which a residue is looked at.
    water_rules : what a water must show.
    """

    backbones: bool = True
    rotamers: bool = True
    peptides: bool = True
    waters: bool = True
    poor_fit: float = 0.90
    water_rules: WaterRules = field(default_factory=WaterRules)


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildModel:
    """A model without hydrogens, with its restraints.

    Attributes
    ----------
    structure : atoms in the order of `atoms` and `restraints`.
    atoms : parameters.
    restraints : of the same atoms.
    crystal : cell and space group.
    """

    structure: gemmi.Structure
    atoms: Atoms
    restraints: Restraints
    crystal: Crystal


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
    model: RebuildModel, term: CrystalTerm, settings: RebuildSettings | None = None, listener: Listener = ignore
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
    torsions = _TorsionEnergy(xyz, views)
    fits = _fits(model, evidence, views, electrons)
    records: list[MoveRecord] = []
    if settings.backbones:
        for index, why in _wrong_places(xyz, views, fits):
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
    for propose in (_suspicious_peptides, _suspicious_side_chains):
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


def _wrong_places(xyz: Array, views: Sequence[ResidueView], fits: dict[int, ResidueFit]) -> list[tuple[int, str]]:
    """Residues where the backbone went wrong, the worst first and none next to a worse one, with why."""
    positions = torch.from_numpy(xyz)
    verdict = {r.view: r.verdict for r in validate_ramachandran(positions, views)}
    omega = {p.view: p.omega for p in validate_peptides(positions, views)}
    taken: set[int] = set()
    found = []
    scored = []
    for d in validate_cbeta(positions, views):
        reasons = is_wrong(
            d.deviation,
            omega.get(d.view),
            verdict.get(d.view, "favoured"),
            fits[d.view].correlation,
            proline=views[d.view].name == "PRO",
        )
        if reasons:
            scored.append((len(reasons) + d.deviation, d.view, f"{views[d.view].label}: {', '.join(reasons)}"))
    for _, index, why in sorted(scored, reverse=True):
        if index not in taken:
            found.append((index, why))
            taken.update({views[index].previous, index, views[index].next})
    return found


Propose = Callable[[Array, Sequence[ResidueView], dict[int, ResidueFit], Evidence, Graph, RebuildSettings], list[Site]]


def _suspicious_side_chains(
    xyz: Array,
    views: Sequence[ResidueView],
    fits: dict[int, ResidueFit],
    evidence: Evidence,
    graph: Graph,
    settings: RebuildSettings,
) -> list[Site]:
    if not settings.rotamers:
        return []
    rarity = {r.view: r for r in validate_rotamers(torch.from_numpy(xyz), views)}
    sites = []
    for i, view in enumerate(views):
        if i not in rarity or view.altloc:
            continue
        fit, reasons = fits[i], []
        if rarity[i].verdict != "favoured":
            reasons.append(f"rotamer {rarity[i].verdict}")
        if fit.correlation < settings.poor_fit:
            reasons.append(f"correlation {fit.correlation:.2f}")
        if abs(fit.worst_z) > 3.5:
            reasons.append(f"difference density {fit.worst_z:+.1f} σ")
        if reasons:
            site = rotamer_site(xyz, views, i, graph, ", ".join(reasons))
            if site is not None:
                sites.append(site)
    return sites


def _suspicious_peptides(
    xyz: Array,
    views: Sequence[ResidueView],
    fits: dict[int, ResidueFit],
    evidence: Evidence,
    graph: Graph,
    settings: RebuildSettings,
) -> list[Site]:
    if not settings.peptides:
        return []
    positions = torch.from_numpy(xyz)
    verdict = {r.view: r.verdict for r in validate_ramachandran(positions, views)}
    twisted = {p.view for p in validate_peptides(positions, views) if p.kind == "twisted"}
    sites = []
    for i, view in enumerate(views):
        if view.kind != "protein" or view.next < 0 or view.altloc:
            continue
        reasons = [
            f"{views[k].label} Ramachandran {verdict[k]}"
            for k in (i, view.next)
            if verdict.get(k, "favoured") != "favoured"
        ]
        if view.next in twisted:
            reasons.append("twisted")
        worst = min(fits[i].correlation, fits[view.next].correlation if view.next in fits else 1.0)
        if worst < settings.poor_fit - 0.1:
            reasons.append(f"correlation {worst:.2f}")
        if reasons:
            site = peptide_site(xyz, views, i, ", ".join(reasons))
            if site is not None:
                sites.append(site)
    return sites


class _TorsionEnergy:
    """−log probability of the torsions near a residue."""

    def __init__(self, xyz: Array, views: Sequence[ResidueView]) -> None:
        self.views = views
        self.backbone = backbone_torsions(torch.from_numpy(xyz), views)
        self.row = {v: k for k, v in enumerate(self.backbone.view)}
        self.peptide: dict[int, tuple[int, ...]] = {}
        for i, view in enumerate(views):
            if view.kind == "protein" and view.previous >= 0 and view.name != "PRO":
                ends = views[view.previous].indices("CA", "C"), view.indices("N", "CA")
                if ends[0] is not None and ends[1] is not None:
                    self.peptide[i] = (*ends[0], *ends[1])

    def near(self, index: int) -> Callable[[Array], float]:
        """Energy of the backbone of a residue and its neighbours, and of its side chain and the next one's."""
        view = self.views[index]
        around = [i for i in (view.previous, index, view.next) if i in self.row]
        if view.next >= 0 and self.views[view.next].next in self.row:
            around.append(self.views[view.next].next)
        peptides = [self.peptide[i] for i in (index, view.next, *around) if i in self.peptide]
        rows = torch.tensor([self.row[i] for i in around], dtype=torch.int64)
        kinds = [self.backbone.kind[self.row[i]] for i in around]

        def energy(xyz: Array) -> float:
            total = 0.0
            if kinds:
                positions = torch.from_numpy(xyz)
                atoms = self.backbone.phi_atoms[rows], self.backbone.psi_atoms[rows]
                angles = torch.stack([torsion_angles(*positions[a].unbind(1)) for a in atoms], 1)
                total += float(ramachandran_nll(kinds, angles).clamp(max=WORST_TORSION).sum())
            total += sum(peptide_nll(torsion(xyz, atoms)) for atoms in set(peptides))
            chi = chi_of(xyz, view)
            if chi is not None:
                value = rotamer_nll(view.name, torch.tensor([chi], dtype=torch.float64))
                total += float(value.clamp(max=WORST_TORSION).sum())
            return total

        return energy


def peptide_nll(omega: float) -> float:
    """−log probability of a peptide that is not before proline, relative to a flat trans one.

    5 in 10,000 are cis (Jabs et al. 1999, J. Mol. Biol. 286, 291: 0.03 %; more where the density was looked at); the
    spread of both is 6°.
    """
    from_cis = math.degrees(abs(omega))
    trans, cis = 0.5 * ((180.0 - from_cis) / 6.0) ** 2, CIS_NLL + 0.5 * (from_cis / 6.0) ** 2
    return min(trans, cis, WORST_TORSION)


def _change_waters(
    structure: gemmi.Structure,
    evidence: Evidence,
    views: Sequence[ResidueView],
    crystal: Crystal,
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
            records.append(_water_record("water added", label, why))
    return structure, records


def _water_record(
    kind: str, residue: str, why: str, undo: tuple[tuple[str, tuple[float, float, float]], ...] = ()
) -> MoveRecord:
    return MoveRecord(
        kind=kind, residue=residue, why=why, accepted=True, reason=why, before=None, after=None, undo=undo
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
