"""A model under rebuilding: sites are judged on it one by one, and each accepted move changes it for those after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.edit_model import with_positions
from burnish.chemistry.labels import atom_labels
from burnish.chemistry.residues import ResidueView
from burnish.chemistry.topology import build_topology
from burnish.data.atoms import Atoms
from burnish.data.particle_symmetry import Symmetry
from burnish.data.restraints import Restraints
from burnish.data.sampled_map import SampledMap
from burnish.maps.sampling import local_spline, sample
from burnish.models.restraints.ramachandran import find_backbone
from burnish.models.restraints.side_chains import find_side_chains
from burnish.models.restraints.stereochemistry import stereochemistry
from burnish.rebuild.evidence import Evidence, local_target
from burnish.rebuild.memory import Memory
from burnish.rebuild.move import MoveRecord, Site, judge_site
from burnish.rebuild.torsion_energy import TorsionEnergies
from burnish.rebuild.zone import Surroundings, ZoneSystem, surroundings

Array = NDArray[np.float64]


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


def atom_names(structure: gemmi.Structure) -> tuple[str, ...]:
    """Every atom of the first model as a person writes it ("A 27 LEU CD1 B")."""
    return tuple(
        f"{c.chain.name} {c.residue.seqid} {c.residue.name} {c.atom.name}"
        + (f" {c.atom.altloc}" if c.atom.altloc != "\0" else "")
        for c in structure[0].all()
    )
