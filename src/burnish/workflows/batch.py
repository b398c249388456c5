"""`burnish batch`: one command on many data sets, each in its own folder, through an executor."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from burnish.core.errors import InputError
from burnish.core.events import Message, Progress
from burnish.io.atomic import write_text
from burnish.jobs.dask_executor import open_executor
from burnish.jobs.execution import command_named, options_model
from burnish.jobs.folder import Job
from burnish.jobs.liveness import is_running
from burnish.jobs.record import read_record, stale_inputs
from burnish.jobs.sets import DataSet, read_sets
from burnish.options.batch import BatchOptions, is_table
from burnish.reports.batch import Result, make_page, numbers_of, spread_of_groups
from burnish.reports.page import render

_TASK = "burnish.worker.sets:run_set"


def run(options: BatchOptions, job: Job) -> dict[str, Any]:
    """Run what is not done yet; summarise all."""
    command = command_named(options.command)
    model = options_model(command)
    sets = read_sets(options.sets, model, find=options.find, given=options.set, scan=options.scan)
    sets = _chosen(sets, options.only)
    folder = options.out.resolve()
    job.begin([Path(options.sets)] if is_table(options.sets) else [])
    job.notify(Message(f"{options.sets}: {len(sets)} data sets"))
    results: dict[str, Result] = {}
    requests = []
    for one in sets:
        out = folder / one.name
        given = _checked(model, {**one.given, "out": str(out)})
        known = _done(out, given)
        if known is not None:
            results[one.name] = Result(one.name, one.group, "done before", known, 0.0, "")
        else:
            requests.append((one, _with_checkpoint(out, given)))
    if results:
        job.notify(Message(f"{len(results)} of them are done, with these options and unchanged files"))
    _write(options, job, sets, results)
    with open_executor(options, job.notify) as executor:
        job.note_dashboard(executor.dashboard)
        limit = options.time_limit * 60 if options.time_limit is not None else None
        handles = [
            executor.submit(
                _TASK, {"command": command.name, "options": given, "folder": str(Path.cwd()), "limit": limit}
            )
            for _, given in requests
        ]
        for done, outcome in enumerate(executor.completed(handles), 1):
            one = requests[outcome.number][0]
            result = _result(one, outcome.value, outcome.error)
            results[one.name] = result
            if result.error:
                job.notify(Message(f"{one.name}: {result.error}", "warning"))
            job.notify(Progress("data sets", done, len(handles)))
            _write(options, job, sets, results)
    ordered = [results[s.name] for s in sets]
    failed = sum(r.state == "failed" for r in ordered)
    return {
        "sets": len(ordered),
        "done": len(ordered) - failed,
        "failed": failed,
        "results": [_shown(r, numbers_of(ordered)) for r in ordered],
        "scans": spread_of_groups(ordered),
    }


def _chosen(sets: Sequence[DataSet], names: Sequence[str]) -> list[DataSet]:
    unknown = set(names) - {s.name for s in sets} - {s.group for s in sets}
    if unknown:
        raise InputError(f"--only {min(unknown)}: no such data set")
    return [s for s in sets if not names or s.name in names or s.group in names]


def _checked(model: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options in the form that job records have; those that are wrong stay as they are and fail by themselves."""
    try:
        checked: dict[str, Any] = model.model_validate(given).model_dump(mode="json")
    except ValueError:
        return dict(given)
    return checked


def _done(folder: Path, given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The summary of an earlier run with the same options on the same files, or None."""
    record = read_record(folder)
    if record is None or record.state != "finished" or record.summary is None or not _same(record.options, given):
        return None
    return None if stale_inputs(record, Path.cwd()) else record.summary


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether options are the same, but for where a run went on from."""
    return {k: v for k, v in one.items() if k != "continue_from"} == {
        k: v for k, v in other.items() if k != "continue_from"
    }


def _with_checkpoint(folder: Path, given: dict[str, Any]) -> dict[str, Any]:
    """The options, going on from the checkpoint of a run of the same ones that was cut off."""
    record = read_record(folder)
    checkpoint = folder / "checkpoint.npz"
    cut_off = record is not None and record.state in ("running", "interrupted") and not is_running(folder)
    if record is None or not cut_off or "continue_from" not in given or not checkpoint.exists():
        return given
    same = _same(record.options, given) and not stale_inputs(record, Path.cwd())
    return {**given, "continue_from": str(checkpoint)} if same else given


def _result(one: DataSet, value: Any, error: BaseException | None) -> Result:
    if error is not None:
        return Result(one.name, one.group, "failed", {}, math.nan, f"{type(error).__name__}: {error}")
    if "error" in value:
        return Result(one.name, one.group, "failed", {}, value["cpu_seconds"], " ".join(value["error"].split()))
    return Result(one.name, one.group, "done", value["summary"], value["cpu_seconds"], "")


def _shown(result: Result, numbers: Sequence[str]) -> dict[str, Any]:
    """A row of the terminal's table: the first numbers only."""
    row: dict[str, Any] = {"set": result.name, "state": result.state}
    row |= {name: result.text(name) for name in numbers[:6]}
    return row


def _write(options: BatchOptions, job: Job, sets: Sequence[DataSet], results: Mapping[str, Result]) -> None:
    """The summary as it stands: table, page and JSON."""
    waiting = [Result(s.name, s.group, "waiting", {}, math.nan, "") for s in sets if s.name not in results]
    known = {r.name: r for r in (*results.values(), *waiting)}
    ordered = [known[s.name] for s in sets]
    names = numbers_of(ordered)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["set", "group", "state", *names, "cpu_seconds", "error"])
    for r in ordered:
        seconds = "" if math.isnan(r.cpu_seconds) else f"{r.cpu_seconds:.2f}"
        writer.writerow([r.name, r.group, r.state, *(r.exact(n) for n in names), seconds, r.error])
    write_text(job.path("summary.csv"), text.getvalue())
    write_text(job.path("summary.json"), json.dumps([asdict(r) for r in ordered], indent=1, default=str) + "\n")
    links = {r.name: f"{r.name}/report.html" for r in ordered if job.path(f"{r.name}/report.html").exists()}
    write_text(job.path("report.html"), render(make_page(options.command, options.sets, ordered, links)))
