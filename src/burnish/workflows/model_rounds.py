"""What `burnish rebuild` and `burnish cycle` share: inputs, refinement and validation of a round, moves on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gemmi

from burnish.chemistry.edit_model import with_positions, without_hydrogens
from burnish.chemistry.hydrogens import make_riders
from burnish.chemistry.library import Library, read_library
from burnish.chemistry.residues import residue_views
from burnish.chemistry.topology import build_topology
from burnish.core.events import Listener
from burnish.io.atomic import write_text
from burnish.io.models import atoms_of, with_atoms
from burnish.models.crystal_term import CrystalTerm
from burnish.models.fit_maps import fit_maps
from burnish.models.refinement import RefinementState, refine
from burnish.models.refinement_system import RefinableModel, make_system
from burnish.options.rebuild import CycleOptions, RebuildOptions
from burnish.options.refine import RefineOptions
from burnish.rebuild.evidence import make_evidence
from burnish.rebuild.move import MoveRecord
from burnish.rebuild.moves.amides import flip_side_chains
from burnish.rebuild.round import RebuildModel, atom_names, rebuild_round
from burnish.rebuild.scene import Scene, StructureMove
from burnish.rebuild.settings import RebuildSettings
from burnish.rebuild.undo import with_removed_atoms
from burnish.validate.flips import find_flips
from burnish.validate.model_validation import JudgedMaps, ModelValidation, full_model, validate_model
from burnish.workflows.addition_moves import moves_after, moves_before, needed_components
from burnish.workflows.ligand_requests import ligand_requests
from burnish.workflows.refine_inputs import RefineInputs, data_term, read_inputs, refinement_settings

BUILDING_MOVES: tuple[StructureMove, ...] = ()  # of the polymer, before its conformations are judged
FITTING_MOVES: tuple[StructureMove, ...] = ()  # of what lies around it, after them


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What all rounds start from.

    Attributes
    ----------
    options : of the refinements.
    inputs : as read.
    library : dictionaries of the model's components and of water.
    """

    options: RefineOptions
    inputs: RefineInputs
    library: Library


def read_start(options: RebuildOptions | CycleOptions, listener: Listener, cycles: int) -> Start:
    """Read and check the inputs."""
    shared = ("model", "data", "out", "labels", "free_label", "monomers", "seed")
    asked = ligand_requests(options.ligand)
    given = {"ligand": asked.files, "smiles": tuple(f"{n}={text}" for n, text in asked.smiles.items())}
    refine_options = RefineOptions.model_validate(
        {**{k: getattr(options, k) for k in shared}, **given, "cycles": cycles}
    )
    inputs = read_inputs(refine_options, listener)
    components = needed_components(options, inputs.model.structure)
    library = read_library(components, ligands=asked.files, monomers=options.monomers, smiles=asked.smiles)
    return Start(options=refine_options, inputs=inputs, library=library)


def make_term(start: Start, listener: Listener) -> CrystalTerm:
    """The data as the engines see them."""
    return data_term(start.options, start.inputs.data, start.inputs.refinable.atoms.elements, listener)


def with_structure(start: Start, structure: gemmi.Structure) -> RefineInputs:
    """The inputs with another model: its restraints and hydrogens made anew."""
    topology = build_topology(structure, start.library.monlib, hydrogens="add")
    atoms = atoms_of(topology.structure)
    refinable = RefinableModel(
        atoms=atoms,
        restraints=topology.restraints,
        riders=make_riders(topology.restraints, atoms.xyz),
        crystal=start.inputs.data.reflections.crystal,
    )
    return replace(start.inputs, library=start.library, topology=topology, refinable=refinable)


def refine_round(
    start: Start, structure: gemmi.Structure, term: CrystalTerm, cycles: int, listener: Listener
) -> tuple[RefineInputs, RefinementState]:
    """Refine a model; the term has seen the result last."""
    inputs = with_structure(start, structure)
    settings = replace(refinement_settings(start.options), cycles=cycles)
    system = make_system(
        inputs.refinable, settings, d_min=inputs.data.reflections.d_min, n_observations=int(term.work.sum())
    )
    state = refine(system, term, listener)
    term.prepare(state.atoms)
    return inputs, state


def refined_structure(inputs: RefineInputs, state: RefinementState) -> gemmi.Structure:
    """The refined model with its hydrogens."""
    return with_atoms(inputs.topology.structure, state.atoms)


def rebuild_structure(
    start: Start,
    structure: gemmi.Structure,
    term: CrystalTerm,
    options: RebuildOptions | CycleOptions,
    listener: Listener,
) -> tuple[gemmi.Structure, tuple[MoveRecord, ...]]:
    """One round of moves on a model, hydrogens left out."""
    bare, records = apply_structure_moves(
        (*moves_before(options), *BUILDING_MOVES), start, without_hydrogens(structure), term
    )
    flipped: list[MoveRecord] = []
    if options.flips:
        xyz, flipped = flip_side_chains(
            atoms_of(bare).xyz.numpy(),
            residue_views(bare[0]),
            find_flips(full_model(bare, start.library.monlib)),
            atom_names(bare),
        )
        bare = with_positions(bare, xyz)
    topology = build_topology(bare, start.library.monlib, hydrogens="remove")
    model = RebuildModel(
        structure=topology.structure,
        atoms=atoms_of(topology.structure),
        restraints=topology.restraints,
        crystal=start.inputs.data.reflections.crystal,
    )
    settings = RebuildSettings(rotamers=options.rotamers, peptides=options.peptides, waters=options.waters)
    result = rebuild_round(model, term, settings, listener)
    ended, more = apply_structure_moves((*FITTING_MOVES, *moves_after(options)), start, result.structure, term)
    made = (*records, *flipped, *result.records, *more)
    return ended, with_removed_atoms(made, structure, ended)


def apply_structure_moves(
    moves: Sequence[StructureMove], start: Start, structure: gemmi.Structure, term: CrystalTerm
) -> tuple[gemmi.Structure, tuple[MoveRecord, ...]]:
    """Moves that add, remove or rename atoms, one after another; maps are made anew after each that changed any."""
    records: list[MoveRecord] = []
    scene = None
    for move in moves:
        if scene is None:
            scene = make_scene(start, structure, term)
        change = move(scene)
        records += change.records
        if any(r.accepted for r in change.records):
            structure, scene = change.structure, None
    return structure, tuple(records)


def make_scene(start: Start, structure: gemmi.Structure, term: CrystalTerm) -> Scene:
    """A model without hydrogens with its density."""
    atoms = atoms_of(structure)
    term.prepare(atoms)
    return Scene(
        structure=structure,
        views=residue_views(structure[0]),
        evidence=make_evidence(term, atoms),
        crystal=start.inputs.data.reflections.crystal,
        monlib=start.library.monlib,
        sequences={},
    )


def validate_round(start: Start, structure: gemmi.Structure, term: CrystalTerm) -> ModelValidation:
    """Judge a model that the term has seen last."""
    maps = fit_maps(term)
    judged = JudgedMaps(density=maps.density, calculated=maps.calculated, difference=maps.difference, d_min=maps.d_min)
    crystal = start.inputs.data.reflections.crystal
    return validate_model(structure, atoms_of(structure), start.library.monlib, crystal, judged)


def move_lines(records: Sequence[MoveRecord], number: int) -> list[dict[str, Any]]:
    """Moves of one round as plain values, numbered within it."""
    return [{"round": number, "move": k, **asdict(record)} for k, record in enumerate(records, start=1)]


def write_moves(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Write `moves.jsonl`: one move a line."""
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
