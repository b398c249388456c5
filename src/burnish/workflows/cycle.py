"""`burnish cycle`: refine → validate → rebuild in rounds; the best round is kept."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import gemmi

from burnish.core.events import Listener, Message, Metrics, ignore
from burnish.io.atomic import write_text
from burnish.jobs.folder import Job
from burnish.models.crystal_term import CrystalTerm
from burnish.models.refinement import RefinementState, state_from_arrays
from burnish.models.refinement_system import RefinementSystem
from burnish.options.rebuild import CycleOptions
from burnish.rebuild.memory import Memory
from burnish.rebuild.move import MoveRecord
from burnish.rebuild.rounds import RoundQuality, best_round, is_clearer, should_stop
from burnish.reports.moves import moves_page
from burnish.reports.page import render
from burnish.reports.validation import validation_page
from burnish.validate.summary import validation_record
from burnish.workflows.cycle_checkpoint import (
    STANDING,
    Standing,
    read_round_checkpoint,
    request,
    round_folder,
    standing_in,
    write_round_checkpoint,
    write_standing,
)
from burnish.workflows.cycle_displacement import Choice, choose_displacement, with_displacement
from burnish.workflows.cycle_em import cycle_in_maps
from burnish.workflows.cycle_unseen import judge_by_unseen_data
from burnish.workflows.model_rounds import (
    Start,
    make_term,
    move_lines,
    read_start,
    rebuild_structure,
    refine_round,
    refined_structure,
    round_system,
    validate_round,
    write_moves,
)
from burnish.workflows.move_pictures import draw_moves, read_pictures
from burnish.workflows.paired import refuse_finer_limits
from burnish.workflows.refine_inputs import RefineInputs, refuse_no_working_data
from burnish.workflows.refine_outputs import Finished, write_outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """One round after its refinement; `before` is the model that was refined."""

    before: gemmi.Structure
    structure: gemmi.Structure
    inputs: RefineInputs
    system: RefinementSystem
    state: RefinementState
    quality: RoundQuality


def run(options: CycleOptions, job: Job) -> dict[str, Any]:
    """Read, go round until nothing improves, write the best; a folder with complete rounds is gone on from."""
    if options.data is None:
        return cycle_in_maps(options, job)
    warnings: list[str] = []

    def listener(event: Any) -> None:
        if isinstance(event, Message) and event.level == "warning":
            warnings.append(event.text)
        job.notify(event)

    start = read_start(options, listener, cycles=options.cycles)
    refuse_no_working_data(start.inputs.data)
    if options.paired is not None:
        refuse_finer_limits("--paired", options.paired, start.d_min)
    term = make_term(start, listener)
    asked = request(options)
    standing = standing_in(job, asked)
    job.begin(start.inputs.files, seed=options.seed)
    if standing is None:
        now = _refined(start, start.inputs.model.structure, term, options.cycles, 0, listener)
        _say(now.quality, 0, listener)
        standing = Standing(qualities=[], lines=[], memory=Memory(), warnings=warnings, asked=asked)
        _write_round(start, job, now, term, standing)
    else:
        listener(Message(f"going on after round {len(standing.qualities) - 1}"))
        standing.warnings = warnings = [*standing.warnings, *warnings]
        start = with_displacement(start, standing.displacement)
        now = _read_round(start, job, len(standing.qualities) - 1, standing, term)
    while (reason := should_stop(standing.qualities, options.rounds)) is None:
        number = len(standing.qualities)
        term = make_term(start, ignore)  # as after a break: scales of the round before are not remembered
        structure, records = rebuild_structure(start, now.structure, term, options, listener, standing.memory)
        lines = move_lines(records, number)
        if options.pictures:
            draw_moves(job.folder, lines, now.structure, structure, make_term(start, ignore))
        standing.lines += lines
        cycles = options.final_cycles if number == options.rounds else options.cycles
        if number == 1 and options.displacement == "auto":
            choice = choose_displacement(start, job, structure, cycles, listener)
            standing.displacement, start = choice.options, with_displacement(start, choice.options)
            now, term = _as_round(start, structure, choice, _accepted(records)), choice.refined.term
        else:
            now = _refined(start, structure, term, cycles, _accepted(records), listener)
        _say(now.quality, number, listener)
        if is_clearer(standing.qualities[-1], now.quality):
            standing.memory.forget_failures()
        _write_round(start, job, now, term, standing)
    job.notify(Message(f"stopped: {reason}"))
    return _finish(start, job, options, now, term, standing)


def _accepted(records: tuple[MoveRecord, ...]) -> int:
    return sum(r.accepted for r in records)


def _refined(
    start: Start, structure: gemmi.Structure, term: CrystalTerm, cycles: int, accepted: int, listener: Listener
) -> _Round:
    """Refine and judge one round."""
    inputs, system, state = refine_round(start, structure, term, cycles, listener)
    refined = refined_structure(inputs, state)
    quality = _quality(start, refined, term, accepted)
    return _Round(before=structure, structure=refined, inputs=inputs, system=system, state=state, quality=quality)


def _as_round(start: Start, structure: gemmi.Structure, choice: Choice, accepted: int) -> _Round:
    """The refinement with the displacement model that was chosen, as a round."""
    done, refined = choice.refined, refined_structure(choice.inputs, choice.refined.state)
    done.term.prepare(done.state.atoms)
    quality = _quality(start, refined, done.term, accepted)
    return _Round(
        before=structure,
        structure=refined,
        inputs=choice.inputs,
        system=done.system,
        state=done.state,
        quality=quality,
    )


def _quality(start: Start, refined: gemmi.Structure, term: CrystalTerm, accepted: int) -> RoundQuality:
    """Judge a round; the term has seen its model last."""
    scores, statistics = validate_round(start, refined, term).scores, term.statistics()
    return RoundQuality(
        r_work=statistics.r_work,
        r_free=statistics.r_free,
        r_free_error=statistics.r_free / math.sqrt(2.0 * max(1, int(term.free.sum()))),
        favoured_percent=scores.favoured_percent,
        rotamer_outlier_percent=scores.rotamer_outlier_percent,
        clashscore=scores.clashscore,
        molprobity_score=scores.molprobity_score,
        accepted=accepted,
    )


def _say(quality: RoundQuality, number: int, listener: Listener) -> None:
    listener(Metrics("round", number, {k: float(v) for k, v in asdict(quality).items()}))


def _read_round(start: Start, job: Job, number: int, standing: Standing, term: CrystalTerm) -> _Round:
    """A round as an earlier run left it."""
    before, arrays = read_round_checkpoint(round_folder(job.folder, number))
    inputs, system = round_system(start, before, term, start.options.cycles)
    state = state_from_arrays(arrays, system)
    refined = refined_structure(inputs, state)
    quality = standing.qualities[number]
    return _Round(before=before, structure=refined, inputs=inputs, system=system, state=state, quality=quality)


def _write_round(start: Start, job: Job, done: _Round, term: CrystalTerm, standing: Standing) -> None:
    """Everything that `burnish refine` writes, in the folder of the round, and what going on needs."""
    folder = round_folder(job.folder, len(standing.qualities))
    folder.mkdir(parents=True, exist_ok=True)
    inner = Job("cycle", folder, {}, job.listener, keeps_record=False)
    finished = _finished(done, term, standing)
    write_outputs(start.options, inner, finished)
    write_round_checkpoint(folder, done.before, done.state)
    standing.qualities.append(done.quality)
    write_moves(job.path("moves.jsonl"), standing.lines)
    write_standing(job.path(STANDING), standing)


def _finished(done: _Round, term: CrystalTerm, standing: Standing) -> Finished:
    return Finished(
        inputs=done.inputs,
        term=term,
        state=done.state,
        interrupted=False,
        warnings=standing.warnings,
        system=done.system,
    )


def _finish(
    start: Start,
    job: Job,
    options: CycleOptions,
    last: _Round,
    term: CrystalTerm,
    standing: Standing,
) -> dict[str, Any]:
    """Write the best round at the top, the moves, and the validation."""
    qualities, lines = standing.qualities, standing.lines
    best = best_round(qualities)
    kept = last if best == len(qualities) - 1 else _read_round(start, job, best, standing, term)
    term.prepare(kept.state.atoms)
    finished = _finished(kept, term, standing)
    summary = write_outputs(start.options, job, finished)
    found = validate_round(start, kept.structure, term)
    record = validation_record(found, start.inputs.data.reflections.d_min)
    agreement = {"r_work": round(kept.quality.r_work, 4), "r_free": round(kept.quality.r_free, 4)}
    record["agreement"] = agreement
    write_text(job.path("validation.json"), json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    write_text(job.path("validation.html"), render(validation_page(record, options.model.name, agreement)))
    write_moves(job.path("moves.jsonl"), lines)
    table = [{"round": k, **asdict(r), "best": k == best} for k, r in enumerate(qualities)]
    page = moves_page(lines, table, options.model.name, read_pictures(job.folder, lines), str(job.folder))
    write_text(job.path("moves.html"), render(page))
    write_text(job.path("rounds.json"), json.dumps(table, indent=1) + "\n")
    s = found.scores
    return {
        **summary,
        **judge_by_unseen_data(start, job, options),
        "best_round": best,
        "rounds": len(qualities) - 1,
        "r_work_first": qualities[0].r_work,
        "r_free_first": qualities[0].r_free,
        "ramachandran_favoured_percent": round(s.favoured_percent, 2),
        "rotamer_outliers": s.rotamer_outliers,
        "clashscore": round(s.clashscore, 2),
        "molprobity_score": round(s.molprobity_score, 3),
        "moves_accepted": sum(line["accepted"] for line in lines),
        "report": str(job.path("moves.html")),
    }
