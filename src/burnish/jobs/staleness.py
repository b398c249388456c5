"""Which results of a project no longer follow from the files that are there now."""

from __future__ import annotations

from burnish.jobs.pipeline import Pipeline
from burnish.jobs.project import Project
from burnish.jobs.record import InputFile, hash_file, read_record


def stale_jobs(project: Project, pipeline: Pipeline) -> dict[str, str]:
    """Why the results of jobs are stale, by the jobs' names; those that are not are left out.

    A job is stale when a file that it read is gone or, by its SHA-256, another one, and when a job whose output it read
    is stale. Each file is read once.
    """
    known: dict[str, InputFile | None] = {}

    def now(path: str) -> InputFile | None:
        if path not in known:
            full = project.folder / path
            known[path] = hash_file(full) if full.is_file() else None
        return known[path]

    stale: dict[str, str] = {}
    for process in pipeline.processes:  # in their order: a job comes after those whose outputs it read
        record = read_record(project.folder / process.name)
        if record is None or process.status != "Succeeded":
            continue
        for seen in record.inputs:
            found = now(seen.path)
            if found is None:
                stale[process.name] = f"{_shown(project, seen.path)} is gone"
            elif found.sha256 != seen.sha256:
                stale[process.name] = f"{_shown(project, seen.path)} has changed since"
        if process.name not in stale:
            before = next((p for p in pipeline.previous(process.name) if p in stale and p != process.name), None)
            if before is not None:
                stale[process.name] = f"{before.rstrip('/')} is stale"
    return stale


def _shown(project: Project, path: str) -> str:
    """A file by its name in the project."""
    full, folder = (project.folder / path).resolve(), project.folder.resolve()
    return str(full.relative_to(folder)) if full.is_relative_to(folder) else path
