"""`burnish cycle`: refine → validate → rebuild in rounds; the best round is kept."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import gemmi

from burnish.core.events import Listener, Message, Metrics
from burnish.io.atomic import write_text
from burnish.jobs.folder import Job
from burnish.models.crystal_term import CrystalTerm
from burnish.models.refinement import RefinementState
from burnish.options.rebuild import CycleOptions
from burnish.rebuild.memory import Memory
from burnish.rebuild.move import MoveRecord
from burnish.rebuild.rounds import RoundQuality, best_round, should_stop
from burnish.reports.moves import moves_page
from burnish.reports.page import render
from burnish.reports.validation import validation_page
from burnish.validate.summary import validation_record
from burnish.workflows.model_rounds import (
    Start,
    make_term,
    move_lines,
    read_start,
    rebuild_structure,
    refine_round,
    refined_structure,
    validate_round,
    write_moves,
)
from burnish.workflows.refine_inputs import RefineInputs, refuse_no_working_data
from burnish.workflows.refine_outputs import Finished, write_outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """One round after its refinement."""

    structure: gemmi.Structure
    inputs: RefineInputs
    state: RefinementState
    quality: RoundQuality


def run(options: CycleOptions, job: Job) -> dict[str, Any]:
    """Read, go round until nothing improves, write the best."""
    warnings: list[str] = []

    def listener(event: Any) -> None:
        if isinstance(event, Message) and event.level == "warning":
            warnings.append(event.text)
        job.notify(event)

    start = read_start(options, listener, cycles=options.cycles)
    refuse_no_working_data(start.inputs.data)
    term = make_term(start, listener)
    job.begin(start.inputs.files, seed=options.seed)
    rounds = [_refined(start, start.inputs.model.structure, term, options.cycles, 0, listener)]
    lines: list[dict[str, Any]] = []
    memory = Memory()
    while True:
        _write_round(start, job, rounds[-1], term, len(rounds) - 1, warnings)
        reason = should_stop([r.quality for r in rounds], options.rounds)
        if reason is not None:
            job.notify(Message(f"stopped: {reason}"))
            break
        structure, records = rebuild_structure(start, rounds[-1].structure, term, options, listener, memory)
        lines += move_lines(records, len(rounds))
        cycles = options.final_cycles if len(rounds) == options.rounds else options.cycles
        rounds.append(_refined(start, structure, term, cycles, _accepted(records), listener))
    return _finish(start, job, options, rounds, term, lines, warnings)


def _accepted(records: tuple[MoveRecord, ...]) -> int:
    return sum(r.accepted for r in records)


def _refined(
    start: Start, structure: gemmi.Structure, term: CrystalTerm, cycles: int, accepted: int, listener: Listener
) -> _Round:
    """Refine and judge one round, and say how it stands."""
    inputs, state = refine_round(start, structure, term, cycles, listener)
    refined = refined_structure(inputs, state)
    scores, statistics = validate_round(start, refined, term).scores, term.statistics()
    quality = RoundQuality(
        r_work=statistics.r_work,
        r_free=statistics.r_free,
        favoured_percent=scores.favoured_percent,
        rotamer_outlier_percent=scores.rotamer_outlier_percent,
        clashscore=scores.clashscore,
        molprobity_score=scores.molprobity_score,
        accepted=accepted,
    )
    values = {k: float(v) for k, v in asdict(quality).items()}
    listener(Metrics("round", accepted, values))
    return _Round(structure=refined, inputs=inputs, state=state, quality=quality)


def _write_round(
    start: Start, job: Job, done: _Round, term: CrystalTerm, number: int, warnings: list[str]
) -> dict[str, Any]:
    """Everything that `burnish refine` writes, in the folder of the round."""
    folder = job.path(f"round_{number:02d}")
    folder.mkdir(parents=True, exist_ok=True)
    inner = Job("cycle", folder, {}, job.listener, keeps_record=False)
    finished = Finished(inputs=done.inputs, term=term, state=done.state, interrupted=False, warnings=warnings)
    return write_outputs(start.options, inner, finished)


def _finish(
    start: Start,
    job: Job,
    options: CycleOptions,
    rounds: list[_Round],
    term: CrystalTerm,
    lines: list[dict[str, Any]],
    warnings: list[str],
) -> dict[str, Any]:
    """Write the best round at the top, the moves, and the validation."""
    best = best_round([r.quality for r in rounds])
    kept = rounds[best]
    term.prepare(kept.state.atoms)
    finished = Finished(inputs=kept.inputs, term=term, state=kept.state, interrupted=False, warnings=warnings)
    summary = write_outputs(start.options, job, finished)
    found = validate_round(start, kept.structure, term)
    record = validation_record(found, start.inputs.data.reflections.d_min)
    agreement = {"r_work": round(kept.quality.r_work, 4), "r_free": round(kept.quality.r_free, 4)}
    record["agreement"] = agreement
    write_text(job.path("validation.json"), json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    write_text(job.path("validation.html"), render(validation_page(record, options.model.name, agreement)))
    write_moves(job.path("moves.jsonl"), lines)
    table = [{"round": k, **asdict(r.quality), "best": k == best} for k, r in enumerate(rounds)]
    write_text(job.path("moves.html"), render(moves_page(lines, table, options.model.name)))
    write_text(job.path("rounds.json"), json.dumps(table, indent=1) + "\n")
    s = found.scores
    return {
        **summary,
        "best_round": best,
        "rounds": len(rounds) - 1,
        "r_work_first": rounds[0].quality.r_work,
        "r_free_first": rounds[0].quality.r_free,
        "ramachandran_favoured_percent": round(s.favoured_percent, 2),
        "rotamer_outliers": s.rotamer_outliers,
        "clashscore": round(s.clashscore, 2),
        "molprobity_score": round(s.molprobity_score, 3),
        "moves_accepted": sum(line["accepted"] for line in lines),
        "report": str(job.path("moves.html")),
    }
