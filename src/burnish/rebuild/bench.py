"""A model under rebuilding: sites are judged on it one by one, and each accepted move changes it for those after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.edit_model import with_positions, without_atoms
from burnish.chemistry.labels import atom_labels, atom_names
from burnish.chemistry.residues import ResidueView
from burnish.chemistry.topology import build_topology
from burnish.data.atoms import Atoms
from burnish.data.particle_symmetry import Symmetry
from burnish.data.restraints import Restraints
from burnish.data.sampled_map import SampledMap
from burnish.maps.sampling import local_spline, sample
from burnish.models.restraints.ramachandran import find_backbone
from burnish.models.restraints.side_chains import find_side_chains
from burnish.models.restraints.stereochemistry import Stereochemistry, stereochemistry
from burnish.rebuild.evidence import Evidence, local_target, moved_likelihood
from burnish.rebuild.memory import Memory
from burnish.rebuild.move import Judges, MoveRecord, Site, Whole, judge_site
from burnish.rebuild.torsion_energy import TorsionEnergies
from burnish.rebuild.zone import Surroundings, ZoneSystem, surroundings

Array = NDArray[np.float64]
Index = NDArray[np.int64]

BONDED_RESIDUES = 3  # the ends of a part of a chain are modified, which must not touch the atoms that move


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


class Bench:
    """One model on which sites are judged one after another; each accepted move changes it for those that follow."""

    def __init__(
        self, model: RebuildModel, evidence: Evidence, views: Sequence[ResidueView], guide: bool, memory: Memory
    ) -> None:
        self.model, self.evidence, self.views, self.memory = model, evidence, views, memory
        self.xyz = model.atoms.xyz.numpy().copy()
        self.names = atom_names(model.structure)
        self.electrons = np.array([float(gemmi.Element(e).atomic_number) for e in model.atoms.elements])
        self.labels, self.guide = atom_labels(model.structure), guide
        self.residue = np.array([k for k, r in enumerate(_residues(model.structure)) for _ in r], dtype=np.int64)
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
        """Restraints for the first candidate of a site, whose peptides may be others; None without dictionaries.

        They are made for the site and the residues bonded to it over `BONDED_RESIDUES` steps alone, so that they cost
        the same in a large model. What neighbours and contacts are does not change with a peptide.
        """
        if self.model.monlib is None:
            return None
        kept = self._bonded_to(site.atoms)
        moved = self.xyz.copy()
        moved[site.atoms] = site.candidates[0].xyz
        part = without_atoms(with_positions(self.model.structure, moved), set(range(len(moved))) - set(kept.tolist()))
        restraints = build_topology(part, self.model.monlib, hydrogens="remove").restraints
        labels = atom_labels(part)
        backbone = find_backbone(labels, restraints, moved[kept]) if self.guide else None
        chi = find_side_chains(labels, restraints) if self.guide else None
        return replace(
            self.system,
            stereochemistry=renumbered(stereochemistry(restraints), kept),
            backbone=None if backbone is None else replace(backbone, atoms=kept[backbone.atoms]),
            side_chains=None if chi is None else replace(chi, atoms=tuple(kept[a] for a in chi.atoms)),
        )

    def _bonded_to(self, atoms: Index) -> Index:
        """Atoms of the residues that some atoms belong to and of those bonded to them, step by step, in order."""
        first, second = (self.residue[k] for k in self.model.restraints.bonds.atoms.numpy().T)
        near = np.zeros(int(self.residue.max()) + 1, dtype=bool)
        near[self.residue[atoms]] = True
        for _ in range(BONDED_RESIDUES):
            reached = np.concatenate([second[near[first]], first[near[second]]])
            near[reached] = True
        return np.flatnonzero(near[self.residue])

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
        whole = Whole(system=self.system, around=self.around, xyz=self.xyz, names=self.names, system_after=system_after)
        judges = Judges(
            target=target,
            torsion_energy=self.torsions.near(site.view, self.xyz, site.atoms),
            difference=self.difference_at if site.kind == "rotamer" else None,
            likelihood=moved_likelihood(self.evidence, site.atoms) if site.kind == "rotamer" else None,
            refused=lambda judged: self.memory.goes_back(site.residue, old[site.judged], judged),
        )
        record, moved = judge_site(site, whole, judges)
        self.records.append(record)
        if moved is None:
            self.memory.remember_failure(site.kind, site.residue, old)
            return False
        self.memory.remember_left(site.residue, old[site.judged], moved[site.atoms][site.judged])
        self.xyz, self.around = moved, None
        if system_after is not None and self.model.monlib is not None:
            there = with_positions(self.model.structure, moved)
            self.system = self._system(build_topology(there, self.model.monlib, hydrogens="remove").restraints)
        return True


def _residues(structure: gemmi.Structure) -> list[gemmi.Residue]:
    return [residue for chain in structure[0] for residue in chain]


def renumbered(s: Stereochemistry, atoms: Index) -> Stereochemistry:
    """Restraints of a part of a model by the numbers that its atoms have in the whole. atoms: (part,)"""
    return replace(
        s,
        bond_atoms=atoms[s.bond_atoms],
        angle_atoms=atoms[s.angle_atoms],
        torsion_atoms=atoms[s.torsion_atoms],
        chiral_atoms=atoms[s.chiral_atoms],
        planes=tuple(replace(batch, atoms=atoms[batch.atoms]) for batch in s.planes),
    )
