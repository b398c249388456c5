"""`burnish rebuild` and `burnish cycle` against cryo-EM maps."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gemmi

from burnish.chemistry.checks import check_atoms
from burnish.chemistry.edit_model import without_hydrogens
from burnish.chemistry.library import Library, read_library
from burnish.chemistry.topology import Topology, build_topology
from burnish.core.events import Event, Listener, Message, Metrics
from burnish.data.density import DensityMap
from burnish.data.particle_symmetry import Symmetry
from burnish.io.atomic import write_aside, write_text
from burnish.io.model_writer import write_changed_cif
from burnish.io.models import ModelFile, atoms_of, read_model, with_atoms
from burnish.io.sequences import read_sequences
from burnish.jobs.folder import Job
from burnish.models.map_term import MapTerm
from burnish.models.protons import find_protons
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
from burnish.workflows.cycle_checkpoint import (
    STANDING,
    Standing,
    read_model_checkpoint,
    request,
    round_folder,
    standing_in,
    write_model_checkpoint,
    write_standing,
)
from burnish.workflows.ligand_requests import ligand_requests
from burnish.workflows.map_symmetry import MapSymmetry, map_symmetry
from burnish.workflows.model_maps import (
    check_model_inside,
    check_resolution,
    read_maps,
    tell_of_bad_agreement,
    without_crystal,
)
from burnish.workflows.model_rounds import (
    move_lines,
    rebuild_structure,
    torsion_weights,
    validate_round,
    write_moves,
)
from burnish.workflows.move_pictures import draw_moves, read_pictures
from burnish.workflows.refine_em import (
    EmRun,
    box_about,
    boxed_about,
    cross_validate,
    density_symmetry,
    refine_against,
)
from burnish.workflows.refine_em_outputs import EmFinished, HalfMapValidation, write_em_outputs
from burnish.workflows.refine_model import refinable_model, refinement_settings

LIGAND_RADIUS = 12.0  # Å about the model, where a ligand is to be placed
EVIDENCE_RADIUS = 6.0  # Å about the model: waters and other conformations lie beyond the mask of the refinement
WATERS_D_MIN = 3.0  # Å; coarser maps do not show single waters
FSC_ERROR = 0.005  # differences of the FSC average with half map 2 below this do not outweigh geometry
SEEN_FSC_ERROR = 0.01  # the same of a map refined against, which fits the better the more noise is fitted
CONTACT_WEIGHT = 2.0  # beside that of every refinement against maps: what moves build may touch more
# of rounds to half maps, where `refine` has 1: beside data weighed so, contacts and torsions would hold too little
CLOSENESS = 0.3
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
    structure : refined, with hydrogens.
    evidence : the maps farther about it than its refinement sees them.
    quality : against the maps, or the half map not seen, and of the geometry.
    """

    structure: gemmi.Structure
    evidence: MapTerm
    quality: RoundQuality


def read_em_start(options: RebuildOptions | CycleOptions, listener: Listener, cycles: int) -> EmStart:
    """Read and check the inputs."""
    asked = ligand_requests(options.ligand)
    shared = ("model", "out", "half1", "half2", "map", "resolution", "angpix", "symmetry", "centre", "monomers", "seed")
    given = {name: getattr(options, name) for name in shared}
    given |= {"ligand": asked.files, "smiles": tuple(f"{n}={text}" for n, text in asked.smiles.items())}
    given |= torsion_weights(options, options.resolution or 0.0)
    given |= {"closeness": CLOSENESS} if options.half2 is not None else {}
    refine_options = RefineOptions.model_validate({**given, "cycles": cycles})
    model = read_model(options.model)
    for message in model.messages:
        listener(message)
    paths = [p for p in (options.half1, options.half2, options.map) if p is not None]
    maps = read_maps(paths, options.angpix, listener)
    structure = without_hydrogens(model.structure)
    xyz = atoms_of(structure).xyz
    check_model_inside(options.model, xyz, maps[0], listener)
    check_resolution(options.resolution or 0.0, maps[0], paths[0])
    sequences = read_sequences(options.sequence) if options.sequence is not None else ()
    components = sorted({*needed_components(options, structure), *(n for s in sequences for n in s)})
    library = read_library(components, ligands=asked.files, monomers=options.monomers, smiles=asked.smiles)
    check_atoms(options.model, structure, library.monlib)
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
    structure = without_crystal(start.model.structure)
    topology, _ = _restrained(start, structure)
    term = _evidence_term(start, topology.structure)
    before = term.fsc_average
    tell_of_bad_agreement(before, job.notify)
    allowed = as_resolution_allows(options, job.notify)
    rebuilt, records = rebuild_structure(start, structure, term, allowed, job.notify)
    lines = move_lines(records, 1)
    if options.pictures:
        draw_moves(job.folder, lines, structure, rebuilt, term)
    term.prepare(atoms_of(rebuilt))
    write_changed_cif(job.path("rebuilt.cif"), start.model, rebuilt)
    write_moves(job.path("moves.jsonl"), lines)
    page = moves_page(lines, [], options.model.name, read_pictures(job.folder, lines), str(job.folder))
    write_text(job.path("moves.html"), render(page))
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
    asked = request(options)
    standing = standing_in(job, asked)
    job.begin(start.files, seed=options.seed)
    allowed = as_resolution_allows(options, listener)  # type: ignore[arg-type]
    if standing is None:
        standing = Standing(qualities=[], lines=[], memory=Memory(), warnings=warnings, asked=asked)
        first = without_crystal(start.model.structure)
        now = _refined(start, first, options.cycles, 0, job, standing, listener)
    else:
        listener(Message(f"going on after round {len(standing.qualities) - 1}"))
        standing.warnings = warnings = [*standing.warnings, *warnings]
        now = _read_round(start, job, len(standing.qualities) - 1, standing)
    while (reason := should_stop(standing.qualities, options.rounds)) is None:
        number = len(standing.qualities)
        structure, records = rebuild_structure(start, now.structure, now.evidence, allowed, listener, standing.memory)
        lines = move_lines(records, number)
        if options.pictures:
            draw_moves(job.folder, lines, now.structure, structure, now.evidence)
        standing.lines += lines
        cycles = options.final_cycles if number == options.rounds else options.cycles
        now = _refined(start, structure, cycles, sum(r.accepted for r in records), job, standing, listener)
    job.notify(Message(f"stopped: {reason}"))
    return _finish(start, job, options, now, standing)


def _restrained(start: EmStart, structure: gemmi.Structure) -> tuple[Topology, RefinableModel]:
    """Restraints and hydrogens of a model, made anew."""
    topology = build_topology(structure, start.library.monlib, hydrogens="add")
    return topology, refinable_model(topology, start.symmetry)


def _evidence_term(start: EmStart, structure: gemmi.Structure) -> MapTerm:
    """The maps within reach of what moves may add to a model with its hydrogens."""
    wide = start.options.model_copy(update={"mask_radius": start.reach})
    heavy = atoms_of(without_hydrogens(structure)).xyz
    term = MapTerm(box_about(start.maps, heavy, wide, start.copies), symmetry=density_symmetry(start.copies))
    term.prepare(atoms_of(structure))
    return term


def _fsc_about(start: EmStart, refinable: RefinableModel) -> float:
    """FSC average inside a mask about the model as it is.

    That of its refinement is about where the model started; with it a model of 7CEC has .828, and .817 about itself, so
    that rounds which start elsewhere could not be compared.
    """
    boxed = boxed_about(start.maps, refinable, start.options, start.copies)
    term = MapTerm(boxed, symmetry=density_symmetry(start.copies), protons=find_protons(refinable.restraints))
    term.prepare(refinable.atoms)
    return term.fsc_average


def _refined(
    start: EmStart,
    structure: gemmi.Structure,
    cycles: int,
    accepted: int,
    job: Job,
    standing: Standing,
    listener: Listener,
) -> _Round:
    """Refine, judge and write one round, and what going on after it needs."""
    number = len(standing.qualities)
    topology, refinable = _restrained(start, structure)
    run = refine_against(start.maps, refinable, _settings(start, cycles), start.options, start.copies, listener)
    refined = with_atoms(topology.structure, run.state.atoms)
    evidence = _evidence_term(start, refined)
    scores = validate_round(start, refined, evidence).scores
    fsc, validation = _fsc_about(start, replace(refinable, atoms=run.state.atoms)), None
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
    listener(Metrics("round", number, {**_agreement(start, quality), **_geometry(quality)}))
    if standing.qualities and is_clearer(standing.qualities[-1], quality):
        standing.memory.forget_failures()
    _write_round(start, job, number, _Finished(topology, refinable, run, validation), standing.warnings)
    write_model_checkpoint(round_folder(job.folder, number), refined)
    standing.qualities.append(quality)
    write_moves(job.path("moves.jsonl"), standing.lines)
    write_standing(job.path(STANDING), standing)
    return _Round(structure=refined, evidence=evidence, quality=quality)


def _read_round(start: EmStart, job: Job, number: int, standing: Standing) -> _Round:
    """A round as it was left."""
    refined = read_model_checkpoint(round_folder(job.folder, number))
    return _Round(structure=refined, evidence=_evidence_term(start, refined), quality=standing.qualities[number])


def _agreement(start: EmStart, quality: RoundQuality) -> dict[str, float]:
    """FSC averages of a round with the maps, and with half map 2 when refined against half map 1."""
    found = {"fsc_average": 1.0 - quality.r_work}
    return found if len(start.maps) == 1 else {**found, "fsc_free": 1.0 - quality.r_free}


def _settings(start: EmStart, cycles: int) -> RefinementSettings:
    """Settings of a round's refinement.

    Where φ, ψ and χ are drawn to where they usually are, peptides and chiral centres are held as strongly: else what
    pulls at the torsions twists the ones and bends the others.
    """
    drawn = max(1.0, start.options.ramachandran, start.options.chi)
    geometry = GeometryWeights(contact=CONTACT_WEIGHT, torsion=drawn, chiral=drawn)
    return replace(refinement_settings(start.options), cycles=cycles, geometry=geometry)


def _geometry(quality: RoundQuality) -> dict[str, float]:
    """Numbers of a round beside its agreement with the maps."""
    return {k: float(v) for k, v in asdict(quality).items() if not k.startswith("r_")}


@dataclass(frozen=True, slots=True)
class _Finished:
    """The refinement of a round; `validation` is of the same against half map 1 alone, None from one map."""

    topology: Topology
    refinable: RefinableModel
    run: EmRun
    validation: HalfMapValidation | None


def _write_round(start: EmStart, job: Job, number: int, done: _Finished, warnings: list[str]) -> None:
    """Everything that `burnish refine` writes."""
    folder = round_folder(job.folder, number)
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
    write_em_outputs(start.options, inner, finished)


def _finish(start: EmStart, job: Job, options: CycleOptions, last: _Round, standing: Standing) -> dict[str, Any]:
    """Copy the best round to the top; write the moves and the validation."""
    qualities, lines = standing.qualities, standing.lines
    best = best_round(qualities)
    kept = last if best == len(qualities) - 1 else _read_round(start, job, best, standing)
    for path in sorted(round_folder(job.folder, best).iterdir()):
        if path.name.startswith("refined") or path.name == "report.html":
            with write_aside(job.path(path.name)) as aside:
                shutil.copyfile(path, aside)
    summary = json.loads(job.path("refined.json").read_text(encoding="utf-8"))["final"]
    found = validate_round(start, kept.structure, kept.evidence)
    record = validation_record(found, start.d_min)
    record["agreement"] = {name: round(value, 4) for name, value in _agreement(start, kept.quality).items()}
    write_text(job.path("validation.json"), json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    write_text(job.path("validation.html"), render(validation_page(record, options.model.name)))
    write_moves(job.path("moves.jsonl"), lines)
    table = [{"round": k, **_agreement(start, q), **_geometry(q), "best": k == best} for k, q in enumerate(qualities)]
    page = moves_page(lines, table, options.model.name, read_pictures(job.folder, lines), str(job.folder))
    write_text(job.path("moves.html"), render(page))
    write_text(job.path("rounds.json"), json.dumps(table, indent=1) + "\n")
    scores = found.scores
    return {
        **summary,
        "best_round": best,
        "rounds": len(qualities) - 1,
        "fsc_average_first": 1.0 - qualities[0].r_work,
        "ramachandran_favoured_percent": round(scores.favoured_percent, 2),
        "rotamer_outliers": scores.rotamer_outliers,
        "clashscore": round(scores.clashscore, 2),
        "molprobity_score": round(scores.molprobity_score, 3),
        "moves_accepted": sum(line["accepted"] for line in lines),
        "report": str(job.path("moves.html")),
    }
