"""`burnish project`: the history of a project folder, shown and tidied."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from burnish.core.errors import InputError, JobError
from burnish.core.events import Message
from burnish.jobs.folder import Job
from burnish.jobs.pipeline import Process
from burnish.jobs.project import Project, find_project, init_project
from burnish.jobs.record import read_record, stale_inputs
from burnish.jobs.staleness import stale_jobs
from burnish.options.project import ProjectOptions
from burnish.workflows.project_export import export

# What RELION's gentle cleaning keeps of iterations: the last one. Files by their patterns, iterations by their number.
ITERATION_FILES = ("run_it[0-9][0-9][0-9]_*", "cycle_[0-9][0-9][0-9]*")
HARSH_FILES = ("*.npz", "aberr_*.mrc", "mic*.mrc")


def run(options: ProjectOptions, job: Job) -> dict[str, Any]:
    """Do one action on the project."""
    if options.action == "init":
        project = init_project(options.folder)
        job.notify(Message(f"{project.index}: a new project; RELION opens it as its own"))
        return {"project": str(options.folder.resolve())}
    found = find_project(options.folder)
    if found is None:
        raise InputError(
            f"{options.folder.resolve()}: not a project (no default_pipeline.star); `burnish project init` makes one"
        )
    for name in found.mark_killed():
        job.notify(Message(f"{name}: its process is gone; marked as failed", "warning"))
    actions: dict[str, Callable[[Project, ProjectOptions], dict[str, Any]]] = {
        "list": _list,
        "show": _show,
        "alias": _alias,
        "clean": _clean,
    }
    if options.action == "export":
        _asked(options)
        return export(found, options, job)
    if options.action == "list" and not found.read().processes:
        job.notify(Message(f"{found.index}: no jobs yet; any command run in this folder without --out becomes one"))
    return actions[options.action](found, options)


def _list(project: Project, options: ProjectOptions) -> dict[str, Any]:
    rows = []
    pipeline = project.read()
    stale = stale_jobs(project, pipeline)
    for process in pipeline.processes:
        record = read_record(project.folder / process.name)
        rows.append(
            {
                "job": process.name.rstrip("/"),
                "alias": "" if process.alias == "None" else process.alias.rstrip("/").rsplit("/", 1)[-1],
                "state": _state(process, stale),
                "started": f"{record.started.astimezone():%Y-%m-%d %H:%M}" if record else "",
                "took": _duration(record.started, record.ended) if record and record.ended else "",
            }
        )
    return {"jobs": rows}


def _show(project: Project, options: ProjectOptions) -> dict[str, Any]:
    process = project.find(_asked(options))
    pipeline = project.read()
    record = read_record(project.folder / process.name)
    summary: dict[str, Any] = {
        "job": process.name.rstrip("/"),
        "alias": "none" if process.alias == "None" else process.alias.rstrip("/"),
        "state": _state(process, stale_jobs(project, pipeline)),
        "previous": ", ".join(n.rstrip("/") for n in pipeline.previous(process.name)) or "none",
        "next": ", ".join(n.rstrip("/") for n in pipeline.following(process.name)) or "none",
        "inputs": [{"input": file} for file, name in pipeline.inputs if name == process.name],
        "outputs": [{"output": file} for name, file in pipeline.outputs if name == process.name],
    }
    if record is not None:
        given = {k: v for k, v in record.options.items() if v not in (None, [], "")}
        summary |= {
            "version": record.version,
            "error": record.error or "none",
            "stale inputs": ", ".join(stale_inputs(record, project.folder)) or "none",
            "options": [{"option": k.replace("_", "-"), "value": str(v)} for k, v in given.items()],
        }
    return summary


def _alias(project: Project, options: ProjectOptions) -> dict[str, Any]:
    process = project.find(_asked(options))
    changed = project.set_alias(process.name, options.name or "")
    return {"job": changed.name.rstrip("/"), "alias": changed.alias.rstrip("/")}


def _clean(project: Project, options: ProjectOptions) -> dict[str, Any]:
    process = project.find(_asked(options))
    if process.status in ("Running", "Scheduled"):
        raise JobError(f"{process.name}: is {process.status.lower()}; clean it when it has ended")
    folder = project.folder / process.name
    iterations = sorted({_stem(p) for p in folder.iterdir() if any(fnmatch(p.name, k) for k in ITERATION_FILES)})
    keep = iterations[-1:]
    patterns = (*ITERATION_FILES, *(HARSH_FILES if options.harsh else ()))
    moved, size = 0, 0
    trash = project.folder / "Trash" / process.name
    for path in sorted(folder.iterdir()):
        if any(fnmatch(path.name, k) for k in patterns) and _stem(path) not in keep and path.is_file():
            trash.mkdir(parents=True, exist_ok=True)
            size += path.stat().st_size
            shutil.move(path, trash / path.name)
            moved += 1
    return {"job": process.name.rstrip("/"), "files moved to Trash": moved, "megabytes": round(size / 1e6, 1)}


def _asked(options: ProjectOptions) -> str:
    if options.job is None:
        raise InputError(f"burnish project {options.action}: which job? Give its name, alias or number")
    return options.job


def _stem(path: Path) -> str:
    """The iteration that a file belongs to: "run_it003" of "run_it003_data.star"."""
    return "_".join(path.name.split("_")[:2])


def _state(process: Process, stale: Mapping[str, str]) -> str:
    return f"stale: {stale[process.name]}" if process.name in stale else process.status


def _duration(start: datetime, end: datetime) -> str:
    seconds = (end - start).total_seconds()
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
