"""The model of a refinement with its restraints, and the engine's settings, whatever the data are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import gemmi

from burnish.chemistry.checks import check_atoms
from burnish.chemistry.hydrogens import make_riders, place_hydrogens
from burnish.chemistry.labels import atom_labels
from burnish.chemistry.library import Library, read_library
from burnish.chemistry.topology import Topology, build_topology
from burnish.core.errors import InputError
from burnish.core.events import Listener, Message
from burnish.data.labels import AtomLabels
from burnish.data.particle_symmetry import Symmetry
from burnish.data.reflections import Crystal
from burnish.io.models import atoms_of
from burnish.io.predictions import from_prediction
from burnish.io.tls_groups import read_tls_groups
from burnish.models.predicted import LEAST_CONFIDENT, looks_predicted
from burnish.models.refinement_settings import RefinementSettings
from burnish.models.refinement_system import RefinableModel
from burnish.models.restraints.weights import GeometryWeights
from burnish.options.refine import RefineOptions

SECONDARY_STRUCTURE_D_MIN = 3.5  # Å; better maps show hydrogen bonds, and fewer restraints leave more to judge by


def restrained_model(
    options: RefineOptions, structure: gemmi.Structure, crystal: Crystal | None, listener: Listener
) -> tuple[Library, Topology, RefinableModel]:
    """Dictionaries of a structure's components, its restraints, and the model for the engine."""
    structure = _as_crystal_model(options, structure, listener)
    examples = {residue.name: residue for chain in structure[0] for residue in chain}
    library = read_library(
        sorted(examples),
        ligands=options.ligand,
        monomers=options.monomers,
        smiles=dict(item.split("=", 1) for item in options.smiles),
        examples=examples,
    )
    check_atoms(options.model, structure, library.monlib)
    topology = build_topology(structure, library.monlib, hydrogens=options.hydrogens)
    for text in (*library.messages, *topology.messages):
        listener(Message(text, "warning"))
    distance: Literal["electron", "nucleus"] = "nucleus" if options.radiation == "neutron" else "electron"
    return library, topology, refinable_model(topology, crystal, distance)


def refinable_model(
    topology: Topology, symmetry: Symmetry | None, distance: Literal["electron", "nucleus"] = "electron"
) -> RefinableModel:
    """A model for the engine, its riding hydrogens where every step of a refinement puts them.

    Where the dictionary's geometry has placed them they have lower energies: the start would look better than any step
    from it, and a nearly refined model would not move at all.
    """
    atoms = atoms_of(topology.structure)
    riders = make_riders(topology.restraints, atoms.xyz, distance=distance)
    return RefinableModel(
        atoms=replace(atoms, xyz=place_hydrogens(atoms.xyz, riders)),
        restraints=topology.restraints,
        riders=riders,
        crystal=symmetry,
        labels=atom_labels(topology.structure),
    )


def _as_crystal_model(options: RefineOptions, structure: gemmi.Structure, listener: Listener) -> gemmi.Structure:
    """A prediction made into a model with B, when the user says so; a warning when it seems to be one."""
    if options.predicted:
        model, dropped = from_prediction(options.model, structure)
        left_out = f"; {dropped} residues below {LEAST_CONFIDENT:g} are left out" if dropped else ""
        listener(Message(f"{options.model.name}: B from pLDDT{left_out}"))
        return model
    atoms = atoms_of(structure)
    if looks_predicted(atoms.b_iso.numpy(), atoms.residue.numpy()):
        text = f"{options.model.name}: B is the same in each residue and may be pLDDT; if so, give --predicted"
        listener(Message(text, "warning"))
    return structure


def refinement_settings(options: RefineOptions, labels: AtomLabels | None = None) -> RefinementSettings:
    """The engine's settings; `labels` name the atoms that a file of TLS groups speaks of.

    Contacts count as much as torsions: what draws these to where they usually are must not press atoms together.
    """
    groups: tuple[tuple[int, ...], ...] = ()
    if options.tls not in ("none", "auto"):
        if labels is None:
            raise InputError(f"--tls {options.tls}: here groups are by chain only; use auto or none")
        groups = read_tls_groups(Path(options.tls), labels)
    return RefinementSettings(
        cycles=options.cycles,
        weight=options.weight,
        xyz=options.positions,
        adp=options.adp,
        occupancies=options.occupancies,
        ncs={"auto": None, "on": True, "off": False}[options.ncs],
        jelly_body=options.jelly_body,
        secondary_structure=holds_secondary_structure(options),
        reference_weight=reference_weight(options.resolution or 0.0),
        ramachandran_weight=options.ramachandran,
        rotamer_weight=options.chi,
        geometry=GeometryWeights(contact=max(1.0, options.ramachandran, options.chi)),
        tls="given" if groups else "chain" if options.tls == "auto" else "none",
        tls_groups=groups,
        rigid_cycles=options.rigid_body,
        domain_cycles=options.rigid_body if options.rigid_domains is None else options.rigid_domains,
        seed=options.seed,
    )


def holds_secondary_structure(options: RefineOptions) -> bool:
    """Whether helices and strands are held together: as asked, or where maps do not show their hydrogen bonds."""
    if options.secondary_structure != "auto":
        return options.secondary_structure == "on"
    return options.data is None and (options.resolution or 0.0) > SECONDARY_STRUCTURE_D_MIN


def reference_weight(resolution: float) -> float:
    """Factor on restraints to a reference model: one at 3 Å, growing with the square of the resolution (Å)."""
    return min(max(resolution / 3.0, 0.5), 2.0) ** 2
