"""`burnish rebuild`: one round of automated corrections of a model against its density."""

from __future__ import annotations

from typing import Any

from burnish.core.events import ignore
from burnish.io.atomic import write_text
from burnish.io.model_writer import write_changed_cif
from burnish.jobs.folder import Job
from burnish.options.rebuild import RebuildOptions
from burnish.reports.moves import moves_page
from burnish.reports.page import render
from burnish.workflows.cycle_em import rebuild_in_maps
from burnish.workflows.model_rounds import make_term, move_lines, read_start, rebuild_structure, write_moves
from burnish.workflows.move_pictures import draw_moves, read_pictures
from burnish.workflows.refine_inputs import refuse_no_working_data


def run(options: RebuildOptions, job: Job) -> dict[str, Any]:
    """Read, rebuild, write."""
    if options.data is None:
        return rebuild_in_maps(options, job)
    start = read_start(options, job.notify, cycles=0)
    refuse_no_working_data(start.inputs.data)
    term = make_term(start, job.notify)
    job.begin(start.inputs.files, seed=options.seed)
    before = start.inputs.refinable.atoms
    term.prepare(before)
    first = term.statistics()
    structure, records = rebuild_structure(start, start.inputs.topology.structure, term, options, job.notify)
    lines = move_lines(records, 1)
    if options.pictures:
        draw_moves(job.folder, lines, start.inputs.topology.structure, structure, make_term(start, ignore))
    write_changed_cif(job.path("rebuilt.cif"), start.inputs.model, structure)
    write_moves(job.path("moves.jsonl"), lines)
    page = moves_page(lines, [], options.model.name, read_pictures(job.folder, lines), str(job.folder))
    write_text(job.path("moves.html"), render(page))
    return {
        "r_work_start": round(first.r_work, 4),
        "r_free_start": round(first.r_free, 4),
        "moves": len(records),
        "accepted": sum(r.accepted for r in records),
        "waters_added": sum(r.kind == "water added" for r in records),
        "waters_dropped": sum(r.kind == "water dropped" for r in records),
        "report": str(job.path("moves.html")),
    }
