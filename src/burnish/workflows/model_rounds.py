"""What `burnish rebuild` and `burnish cycle` share: inputs, refinement and validation of a round, moves on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import gemmi

from burnish.chemistry.edit_model import with_positions, without_hydrogens
from burnish.chemistry.labels import atom_names
from burnish.chemistry.library import Library, read_library
from burnish.chemistry.residues import residue_views
from burnish.chemistry.topology import build_topology
from burnish.core.errors import InputError
from burnish.core.events import Event, Listener, Metrics
from burnish.data.particle_symmetry import Symmetry
from burnish.io.atomic import write_text
from burnish.io.models import atoms_of, with_atoms
from burnish.io.sequences import read_sequences
from burnish.models.crystal_term import CrystalTerm
from burnish.models.data_term import DataTerm
from burnish.models.em_fit_maps import EmMapMaker
from burnish.models.fit_maps import FitMaps, fit_maps
from burnish.models.map_term import MapTerm
from burnish.models.refinement import RefinementState, refine
from burnish.models.refinement_system import RefinementSystem, make_system
from burnish.options.rebuild import CycleOptions, RebuildOptions
from burnish.options.refine import RefineOptions
from burnish.rebuild.bench import RebuildModel
from burnish.rebuild.evidence import make_evidence
from burnish.rebuild.memory import Memory
from burnish.rebuild.move import MoveRecord
from burnish.rebuild.moves.amides import flip_side_chains
from burnish.rebuild.moves.gaps import close_gaps, extend_ends
from burnish.rebuild.moves.mutations import mutate_to_sequence
from burnish.rebuild.moves.side_chain_atoms import complete_side_chains, trim_side_chains
from burnish.rebuild.register import report_register_shifts
from burnish.rebuild.round import rebuild_round
from burnish.rebuild.scene import Scene, StructureMove
from burnish.rebuild.settings import RebuildSettings
from burnish.rebuild.undo import with_removed_atoms
from burnish.validate.flips import find_flips
from burnish.validate.model_validation import JudgedMaps, ModelValidation, full_model, validate_model
from burnish.workflows.addition_moves import moves_after, moves_before, needed_components
from burnish.workflows.ligand_requests import ligand_requests
from burnish.workflows.refine_crystal import SHOWN
from burnish.workflows.refine_inputs import RefineInputs, data_term, read_inputs
from burnish.workflows.refine_model import refinable_model, refinement_settings

CLEAR_D_MIN, SEARCH_D_MIN = 2.0, 2.5  # Å; up to the first maps show the oxygens of peptides, beyond the second hardly
TORSION_WEIGHT = 4.0  # of the restraints on φ and ψ, and on χ, beyond it
# Of the polymer, before its conformations are judged
BUILDING_MOVES: tuple[StructureMove, ...] = (
    mutate_to_sequence,
    close_gaps,
    extend_ends,
    complete_side_chains,
)
PEPTIDES = (gemmi.PolymerType.PeptideL, gemmi.PolymerType.PeptideD)
FITTING_MOVES: tuple[StructureMove, ...] = (trim_side_chains,)  # after them, when rotamers have been tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What all rounds start from.

    Attributes
    ----------
    options : of the refinements.
    inputs : as read.
    library : dictionaries of the model's components and of water.
    sequences : three-letter codes of the molecules in the sample; empty where none were given.
    """

    options: RefineOptions
    inputs: RefineInputs
    library: Library
    sequences: tuple[tuple[str, ...], ...] = ()

    @property
    def symmetry(self) -> Symmetry | None:
        return self.inputs.data.reflections.crystal

    @property
    def d_min(self) -> float:
        return self.inputs.data.reflections.d_min

    @property
    def poor_fit(self) -> float:
        return RebuildSettings().poor_fit


class RoundStart(Protocol):
    """What a round of moves needs to know, whatever the data are."""

    @property
    def library(self) -> Library: ...
    @property
    def sequences(self) -> tuple[tuple[str, ...], ...]: ...
    @property
    def symmetry(self) -> Symmetry | None: ...
    @property
    def d_min(self) -> float: ...
    @property
    def poor_fit(self) -> float: ...


def read_start(options: RebuildOptions | CycleOptions, listener: Listener, cycles: int) -> Start:
    """Read and check the inputs."""
    if options.data is None:
        raise InputError("no diffraction data given")
    shared = ("model", "data", "out", "labels", "free_label", "monomers", "seed", "twin")
    asked = ligand_requests(options.ligand)
    given = {"ligand": asked.files, "smiles": tuple(f"{n}={text}" for n, text in asked.smiles.items())}
    refine_options = RefineOptions.model_validate(
        {**{k: getattr(options, k) for k in shared}, **given, "cycles": cycles}
    )
    inputs = read_inputs(refine_options, listener)
    refine_options = refine_options.model_copy(update=torsion_weights(options, inputs.data.reflections.d_min))
    structure = inputs.model.structure
    sequences = read_sequences(options.sequence) if options.sequence is not None else ()
    own = [gemmi.Entity.first_mon(n) for e in structure.entities for n in e.full_sequence if e.polymer_type in PEPTIDES]
    components = sorted({*needed_components(options, structure), *own, *(n for s in sequences for n in s)})
    library = read_library(components, ligands=asked.files, monomers=options.monomers, smiles=asked.smiles)
    return Start(options=refine_options, inputs=inputs, library=library, sequences=sequences)


def torsion_weights(options: RebuildOptions | CycleOptions, d_min: float) -> dict[str, float]:
    """Weights of the restraints on φ and ψ, and on χ, in the refinements of a cycle at a resolution, Å.

    They grow evenly from none where maps show the oxygens of peptides to all where they do not.
    """
    backbone = options.ramachandran if isinstance(options, CycleOptions) else None
    side_chains = options.chi if isinstance(options, CycleOptions) else None
    if backbone is None:
        unseen = (d_min - CLEAR_D_MIN) / (SEARCH_D_MIN - CLEAR_D_MIN)
        backbone = TORSION_WEIGHT * min(max(unseen, 0.0), 1.0)
    return {"ramachandran": backbone, "chi": backbone if side_chains is None else side_chains}


def make_term(start: Start, listener: Listener) -> CrystalTerm:
    """The data as the engines see them."""
    return data_term(start.options, start.inputs.data, start.inputs.refinable.atoms.elements, listener)


def with_structure(start: Start, structure: gemmi.Structure) -> RefineInputs:
    """The inputs with another model: its restraints and hydrogens made anew."""
    topology = build_topology(structure, start.library.monlib, hydrogens="add")
    refinable = refinable_model(topology, start.inputs.data.reflections.crystal)
    return replace(start.inputs, library=start.library, topology=topology, refinable=refinable)


def round_system(
    start: Start, structure: gemmi.Structure, term: CrystalTerm, cycles: int
) -> tuple[RefineInputs, RefinementSystem]:
    """What the refinement of a round starts from."""
    inputs = with_structure(start, structure)
    settings = replace(refinement_settings(start.options), cycles=cycles)
    system = make_system(
        inputs.refinable, settings, d_min=inputs.data.reflections.d_min, n_observations=int(term.work.sum())
    )
    return inputs, system


def refine_round(
    start: Start, structure: gemmi.Structure, term: CrystalTerm, cycles: int, listener: Listener
) -> tuple[RefineInputs, RefinementSystem, RefinementState]:
    """Refine a model; the term has seen the result last."""
    inputs, system = round_system(start, structure, term, cycles)
    state = refine(system, term, _briefly(listener))
    term.prepare(state.atoms)
    return inputs, system, state


def _briefly(listener: Listener) -> Listener:
    """A listener to which the engine's cycles come with the numbers that `refine` shows of a cycle."""

    def tell(event: Event) -> None:
        if isinstance(event, Metrics):
            event = Metrics("cycle", event.step, {name: event.values[name] for name in SHOWN})
        listener(event)

    return tell


def refined_structure(inputs: RefineInputs, state: RefinementState) -> gemmi.Structure:
    """The refined model with its hydrogens."""
    return with_atoms(inputs.topology.structure, state.atoms)


def rebuild_structure(
    start: RoundStart,
    structure: gemmi.Structure,
    term: DataTerm,
    options: RebuildOptions | CycleOptions,
    listener: Listener,
    memory: Memory | None = None,
) -> tuple[gemmi.Structure, tuple[MoveRecord, ...]]:
    """One round of moves on a model, hydrogens left out; `memory` is that of earlier rounds, and grows."""
    building = (*BUILDING_MOVES, *moves_before(options))
    if memory is None or memory.is_new:
        building = (*building, report_register_shifts)
    bare, records = apply_structure_moves(building, start, without_hydrogens(structure), term)
    topology = build_topology(bare, start.library.monlib, hydrogens="remove")
    model = RebuildModel(
        structure=topology.structure,
        atoms=atoms_of(topology.structure),
        restraints=topology.restraints,
        crystal=start.symmetry,
        monlib=start.library.monlib,
    )
    settings = RebuildSettings(
        rotamers=options.rotamers,
        peptides=options.peptides,
        waters=options.waters,
        poor_fit=start.poor_fit,
        search_allowed=start.d_min > SEARCH_D_MIN,
    )
    result = rebuild_round(model, term, settings, listener, memory)
    ended, flipped = result.structure, list[MoveRecord]()
    if options.flips:
        ended, flipped = _flipped(start, ended, memory)
    ended, more = apply_structure_moves((*FITTING_MOVES, *moves_after(options)), start, ended, term)
    made = (*records, *result.records, *flipped, *more)
    return ended, with_removed_atoms(made, structure, ended)


def _flipped(
    start: RoundStart, structure: gemmi.Structure, memory: Memory | None
) -> tuple[gemmi.Structure, list[MoveRecord]]:
    """Amides and imidazoles turned to where their contacts are better, after everything else has moved."""
    xyz, records = flip_side_chains(
        atoms_of(structure).xyz.numpy(),
        residue_views(structure[0]),
        find_flips(full_model(structure, start.library.monlib)),
        atom_names(structure),
        memory,
    )
    return with_positions(structure, xyz), records


def apply_structure_moves(
    moves: Sequence[StructureMove], start: RoundStart, structure: gemmi.Structure, term: DataTerm
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


def make_scene(start: RoundStart, structure: gemmi.Structure, term: DataTerm) -> Scene:
    """A model without hydrogens with its density."""
    atoms = atoms_of(structure)
    term.prepare(atoms)
    return Scene(
        structure=structure,
        views=residue_views(structure[0]),
        evidence=make_evidence(term, atoms),
        crystal=start.symmetry,
        monlib=start.library.monlib,
        sequences=start.sequences,
    )


def validate_round(start: RoundStart, structure: gemmi.Structure, term: DataTerm) -> ModelValidation:
    """Judge a model that the term has seen last."""
    maps = term_maps(term)
    judged = JudgedMaps(density=maps.density, calculated=maps.calculated, difference=maps.difference, d_min=maps.d_min)
    return validate_model(structure, atoms_of(structure), start.library.monlib, start.symmetry, judged)


def term_maps(term: DataTerm) -> FitMaps:
    """Observed, calculated and difference density of the model that the term has seen last."""
    if isinstance(term, MapTerm):
        return EmMapMaker(term).fit_maps()
    if isinstance(term, CrystalTerm):
        return fit_maps(term)
    raise TypeError(f"no maps are known to be made from a {type(term).__name__}")


def term_symmetry(term: DataTerm) -> Symmetry | None:
    """Symmetry of the data."""
    if isinstance(term, MapTerm):
        return term.symmetry
    return term.reflections.crystal if isinstance(term, CrystalTerm) else None


def move_lines(records: Sequence[MoveRecord], number: int) -> list[dict[str, Any]]:
    """Moves of one round as plain values, numbered within it."""
    return [{"round": number, "move": k, **asdict(record)} for k, record in enumerate(records, start=1)]


def write_moves(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Write `moves.jsonl`: one move a line."""
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
