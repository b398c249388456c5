"""`burnish rebuild` and `burnish cycle` against cryo-EM maps."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gemmi

from burnish.chemistry.edit_model import without_hydrogens
from burnish.chemistry.hydrogens import make_riders
from burnish.chemistry.labels import atom_labels
from burnish.chemistry.library import Library, read_library
from burnish.chemistry.topology import Topology, build_topology
from burnish.core.events import Event, Listener, Message, Metrics
from burnish.data.density import DensityMap
from burnish.data.particle_symmetry import Symmetry
from burnish.io.atomic import write_aside, write_text
from burnish.io.models import ModelFile, atoms_of, read_model, with_atoms
from burnish.io.sequences import read_sequences
from burnish.jobs.folder import Job
from burnish.models.map_term import MapTerm
from burnish.models.refinement_settings import RefinementSettings
from burnish.models.refinement_system import RefinableModel
from burnish.models.restraints.weights import GeometryWeights
from burnish.options.rebuild import CycleOptions, RebuildOptions
from burnish.options.refine import RefineOptions
from burnish.rebuild.memory import Memory
from burnish.rebuild.rounds import RoundQuality, best_round, is_clearer, should_stop
from burnish.reports.moves import moves_page
from burnish.reports.page import render
from burnish.reports.validation import validation_page
from burnish.validate.summary import validation_record
from burnish.workflows.addition_moves import needed_components
from burnish.workflows.ligand_requests import ligand_requests
from burnish.workflows.map_symmetry import MapSymmetry, map_symmetry
from burnish.workflows.model_rounds import (
    move_lines,
    rebuild_structure,
    torsion_weights,
    validate_round,
    write_moves,
)
from burnish.workflows.refine_em import (
    EmRun,
    boxed_about,
    cross_validate,
    read_maps,
    refine_against,
    refuse_beyond_nyquist,
    refuse_model_elsewhere,
)
from burnish.workflows.refine_em_outputs import EmFinished, HalfMapValidation, write_em_outputs
from burnish.workflows.refine_inputs import refinement_settings

LIGAND_RADIUS = 12.0  # Å about the model, where a ligand is to be placed
EVIDENCE_RADIUS = 6.0  # Å about the model: waters and other conformations lie beyond the mask of the refinement
WATERS_D_MIN = 3.0  # Å; coarser maps do not show single waters
FSC_ERROR = 0.005  # differences of the FSC average with half map 2 below this do not outweigh geometry
SEEN_FSC_ERROR = 0.01  # the same of a map refined against, which fits the better the more noise is fitted
CONTACT_WEIGHT = 2.0  # beside that of every refinement against maps: what moves build may touch more
POOR_FIT = 0.7  # correlation below which a residue is looked at; sharp single maps rarely give .9 anywhere
ALTERNATES_D_MIN = 2.0  # Å; coarser maps do not show second conformers


@dataclass(frozen=True, slots=True, kw_only=True)
class EmStart:
    """What all rounds against maps start from; has what `model_rounds.RoundStart` asks for.

    Attributes
    ----------
    options : of the refinements.
    model, maps : as read.
    library : dictionaries of the model's components and of what moves may add.
    copies : symmetry of the maps, or None.
    sequences : three-letter codes of the molecules in the sample.
    files : every input.
    reach : about the model, of the density that moves see, Å.
    """

    options: RefineOptions
    model: ModelFile
    maps: tuple[DensityMap, ...]
    library: Library
    copies: MapSymmetry | None
    sequences: tuple[tuple[str, ...], ...]
    files: tuple[Path, ...]
    reach: float

    @property
    def symmetry(self) -> Symmetry | None:
        return None if self.copies is None else self.copies.contacts

    @property
    def d_min(self) -> float:
        return self.options.resolution or 0.0

    @property
    def poor_fit(self) -> float:
        return POOR_FIT


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """One round after its refinement.

    Attributes
    ----------
    evidence : the maps farther about the model.
    validation : of the same round refined against half map 1 alone; None from one map.
    """

    structure: gemmi.Structure
    topology: Topology
    refinable: RefinableModel
    run: EmRun
    evidence: MapTerm
    quality: RoundQuality
    fsc_average: float
    validation: HalfMapValidation | None


def read_em_start(options: RebuildOptions | CycleOptions, listener: Listener, cycles: int) -> EmStart:
    """Read and check the inputs."""
    asked = ligand_requests(options.ligand)
    shared = ("model", "out", "half1", "half2", "map", "resolution", "pixel_size", "symmetry", "monomers", "seed")
    given = {name: getattr(options, name) for name in shared}
    given |= {"ligand": asked.files, "smiles": tuple(f"{n}={text}" for n, text in asked.smiles.items())}
    given |= torsion_weights(options, options.resolution or 0.0)
    refine_options = RefineOptions.model_validate({**given, "cycles": cycles})
    model = read_model(options.model)
    for message in model.messages:
        listener(message)
    paths = [p for p in (options.half1, options.half2, options.map) if p is not None]
    maps = read_maps(paths, options.pixel_size)
    structure = without_hydrogens(model.structure)
    xyz = atoms_of(structure).xyz
    refuse_model_elsewhere(options.model, xyz, maps[0])
    refuse_beyond_nyquist(options.resolution or 0.0, maps[0], paths[0])
    sequences = read_sequences(options.sequence) if options.sequence is not None else ()
    components = sorted({*needed_components(options, structure), *(n for s in sequences for n in s)})
    library = read_library(components, ligands=asked.files, monomers=options.monomers, smiles=asked.smiles)
    for text in library.messages:
        listener(Message(text, "warning"))
    files = [options.model, *paths, *asked.files, *([options.sequence] if options.sequence is not None else [])]
    return EmStart(
        options=refine_options,
        model=model,
        maps=tuple(maps),
        library=library,
        copies=map_symmetry(refine_options, maps[0], xyz),
        sequences=sequences,
        files=tuple(files),
        reach=LIGAND_RADIUS if asked.names else EVIDENCE_RADIUS,
    )


def as_resolution_allows(options: RebuildOptions, listener: Listener) -> RebuildOptions:
    """The options without what maps of this resolution do not show."""
    resolution, changes = options.resolution or 0.0, {}
    if options.waters and resolution > WATERS_D_MIN:
        changes["waters"] = False
        listener(Message(f"no waters are looked for: maps beyond {WATERS_D_MIN:g} Å do not show them"))
    if options.alternates and resolution > ALTERNATES_D_MIN:
        changes["alternates"] = False
    if options.ions:
        changes["ions"] = False  # told from waters by electrons, which these maps do not show
    return options.model_copy(update=changes)


def rebuild_in_maps(options: RebuildOptions, job: Job) -> dict[str, Any]:
    """Read, rebuild once, write."""
    start = read_em_start(options, job.notify, cycles=0)
    job.begin(start.files, seed=options.seed)
    structure = start.model.structure.clone()
    structure.spacegroup_hm = "P 1"
    _, refinable = _restrained(start, structure)
    term = _evidence_term(start, refinable)
    before = term.fsc_average
    allowed = as_resolution_allows(options, job.notify)
    rebuilt, records = rebuild_structure(start, structure, term, allowed, job.notify)
    term.prepare(atoms_of(rebuilt))
    lines = move_lines(records, 1)
    with write_aside(job.path("rebuilt.cif")) as aside:
        rebuilt.make_mmcif_document().write_file(str(aside))
    write_moves(job.path("moves.jsonl"), lines)
    write_text(job.path("moves.html"), render(moves_page(lines, [], options.model.name)))
    return {
        "fsc_average_start": round(before, 4),
        "fsc_average": round(term.fsc_average, 4),
        "moves": len(records),
        "accepted": sum(r.accepted for r in records),
        "waters_added": sum(r.kind == "water added" for r in records),
        "waters_dropped": sum(r.kind == "water dropped" for r in records),
        "report": str(job.path("moves.html")),
    }


def cycle_in_maps(options: CycleOptions, job: Job) -> dict[str, Any]:
    """Read, go round until nothing improves, write the best."""
    warnings: list[str] = []

    def listener(event: Event) -> None:
        if isinstance(event, Message) and event.level == "warning":
            warnings.append(event.text)
        job.notify(event)

    start = read_em_start(options, listener, cycles=options.cycles)
    job.begin(start.files, seed=options.seed)
    first = start.model.structure.clone()
    first.spacegroup_hm = "P 1"
    rounds = [_refined(start, first, options.cycles, 0, listener)]
    _say(rounds[0], 0, listener)
    allowed = as_resolution_allows(options, listener)  # type: ignore[arg-type]
    lines: list[dict[str, Any]] = []
    memory = Memory()
    while True:
        _write_round(start, job.path(f"round_{len(rounds) - 1:02d}"), job, rounds[-1], warnings)
        reason = should_stop([r.quality for r in rounds], options.rounds)
        if reason is not None:
            job.notify(Message(f"stopped: {reason}"))
            break
        last = rounds[-1]
        structure, records = rebuild_structure(start, last.structure, last.evidence, allowed, listener, memory)
        lines += move_lines(records, len(rounds))
        cycles = options.final_cycles if len(rounds) == options.rounds else options.cycles
        rounds.append(_refined(start, structure, cycles, sum(r.accepted for r in records), listener))
        _say(rounds[-1], len(rounds) - 1, listener)
        if is_clearer(last.quality, rounds[-1].quality):
            memory.forget_failures()
    return _finish(start, job, options, rounds, lines, warnings)


def _restrained(start: EmStart, structure: gemmi.Structure) -> tuple[Topology, RefinableModel]:
    """Restraints and hydrogens of a model, made anew."""
    topology = build_topology(structure, start.library.monlib, hydrogens="add")
    atoms = atoms_of(topology.structure)
    refinable = RefinableModel(
        atoms=atoms,
        restraints=topology.restraints,
        riders=make_riders(topology.restraints, atoms.xyz),
        crystal=start.symmetry,
        labels=atom_labels(topology.structure),
    )
    return topology, refinable


def _evidence_term(start: EmStart, refinable: RefinableModel) -> MapTerm:
    """The maps within reach of what moves may add."""
    wide = start.options.model_copy(update={"mask_radius": start.reach})
    boxed = boxed_about(start.maps, refinable, wide, start.copies)
    term = MapTerm(boxed, symmetry=None if start.copies is None else start.copies.density)
    term.prepare(refinable.atoms)
    return term


def _refined(start: EmStart, structure: gemmi.Structure, cycles: int, accepted: int, listener: Listener) -> _Round:
    """Refine and judge one round."""
    topology, refinable = _restrained(start, structure)
    run = refine_against(start.maps, refinable, _settings(start, cycles), start.options, start.copies, listener)
    refined = with_atoms(topology.structure, run.state.atoms)
    evidence = _evidence_term(start, replace(refinable, atoms=run.state.atoms))
    scores = validate_round(start, refined, evidence).scores
    fsc, validation = run.term.fsc_average, None
    if len(start.maps) == 2:
        listener(Message("the round is refined against half map 1 alone, and judged by half map 2"))
        validation = cross_validate(start.maps, refinable, _settings(start, cycles), start.options, start.copies, run)
    quality = RoundQuality(
        r_work=1.0 - fsc,
        r_free=1.0 - (fsc if validation is None else validation.fsc_free),
        r_free_error=SEEN_FSC_ERROR if validation is None else FSC_ERROR,
        favoured_percent=scores.favoured_percent,
        rotamer_outlier_percent=scores.rotamer_outlier_percent,
        clashscore=scores.clashscore,
        molprobity_score=scores.molprobity_score,
        accepted=accepted,
    )
    return _Round(
        structure=refined,
        topology=topology,
        refinable=refinable,
        run=run,
        evidence=evidence,
        quality=quality,
        fsc_average=fsc,
        validation=validation,
    )


def _say(done: _Round, number: int, listener: Listener) -> None:
    listener(Metrics("round", number, {**_agreement(done), **_geometry(done.quality)}))


def _agreement(done: _Round) -> dict[str, float]:
    """FSC averages of a round with the maps, and with half map 2 when refined against half map 1."""
    found = {"fsc_average": done.fsc_average}
    return found if done.validation is None else {**found, "fsc_free": done.validation.fsc_free}


def _settings(start: EmStart, cycles: int) -> RefinementSettings:
    return replace(refinement_settings(start.options), cycles=cycles, geometry=GeometryWeights(contact=CONTACT_WEIGHT))


def _geometry(quality: RoundQuality) -> dict[str, float]:
    """Numbers of a round beside its agreement with the maps."""
    return {k: float(v) for k, v in asdict(quality).items() if not k.startswith("r_")}


def _write_round(start: EmStart, folder: Path, job: Job, done: _Round, warnings: list[str]) -> dict[str, Any]:
    """Everything that `burnish refine` writes."""
    folder.mkdir(parents=True, exist_ok=True)
    inner = Job("cycle", folder, {}, job.listener, keeps_record=False)
    finished = EmFinished(
        model=start.model,
        library=start.library,
        topology=done.topology,
        refinable=done.refinable,
        term=done.run.term,
        state=done.run.state,
        validation=done.validation,
        symmetry=start.copies,
        interrupted=False,
        warnings=warnings,
        maps=[str(p) for p in (start.options.half1, start.options.half2, start.options.map) if p is not None],
    )
    return write_em_outputs(start.options, inner, finished)


def _finish(
    start: EmStart,
    job: Job,
    options: CycleOptions,
    rounds: list[_Round],
    lines: list[dict[str, Any]],
    warnings: list[str],
) -> dict[str, Any]:
    """Write the best round at the top, the moves, and the validation."""
    best = best_round([r.quality for r in rounds])
    kept = rounds[best]
    summary = _write_round(start, job.folder, job, kept, warnings)
    found = validate_round(start, kept.structure, kept.evidence)
    record = validation_record(found, start.d_min)
    record["agreement"] = {"fsc_average": round(kept.fsc_average, 4)}
    write_text(job.path("validation.json"), json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    write_text(job.path("validation.html"), render(validation_page(record, options.model.name)))
    write_moves(job.path("moves.jsonl"), lines)
    table = [{"round": k, **_agreement(r), **_geometry(r.quality), "best": k == best} for k, r in enumerate(rounds)]
    write_text(job.path("moves.html"), render(moves_page(lines, table, options.model.name)))
    write_text(job.path("rounds.json"), json.dumps(table, indent=1) + "\n")
    scores = found.scores
    return {
        **summary,
        "best_round": best,
        "rounds": len(rounds) - 1,
        "fsc_average_first": rounds[0].fsc_average,
        "ramachandran_favoured_percent": round(scores.favoured_percent, 2),
        "rotamer_outliers": scores.rotamer_outliers,
        "clashscore": round(scores.clashscore, 2),
        "molprobity_score": round(scores.molprobity_score, 3),
        "moves_accepted": sum(line["accepted"] for line in lines),
        "report": str(job.path("moves.html")),
    }
