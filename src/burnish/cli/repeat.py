"""`burnish rerun` and `burnish continue`: jobs started again from their records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from burnish.cli import commands
from burnish.core.errors import InputError, JobError
from burnish.jobs.folder import Job
from burnish.jobs.liveness import is_running
from burnish.jobs.project import Project, find_project
from burnish.jobs.record import JobRecord, read_record
from burnish.options.project import RepeatOptions
from burnish.options.table import COMMANDS, Command

BY_ITSELF = ("ctfrefine_checkpoint.pt", "cycle_checkpoint.json")  # of jobs that go on without being told


def rerun(options: RepeatOptions, job: Job) -> dict[str, Any]:
    """Run a job's options again on its present inputs, under the next number."""
    project, name, record, command = _recorded(options)
    given = {**record.options, "out": Path(project.next_name(name.split("/", 1)[0]))}
    return _again(command, given)


def resume(options: RepeatOptions, job: Job) -> dict[str, Any]:
    """Go on with a job in its own folder, from the last iteration that it finished."""
    project, name, record, command = _recorded(options)
    folder = project.folder / name
    if is_running(folder):
        raise JobError(f"{name}: is running; nothing to continue")
    if record.state == "finished":
        raise JobError(f"{name}: has finished; nothing to continue; `burnish rerun {options.job}` runs it again")
    checkpoints = find_checkpoints(folder)
    if "continue_from" not in record.options and any((folder / name).exists() for name in BY_ITSELF):
        return _again(command, {**record.options, "out": Path(name)})
    if "continue_from" not in record.options:
        raise JobError(f"{name}: a {command.name} job has no checkpoints; `burnish rerun {options.job}` runs it again")
    if not checkpoints:
        raise JobError(f"{name}: ended before its first iteration; `burnish rerun {options.job}` runs it again")
    return _again(command, {**record.options, "out": Path(name), "continue_from": checkpoints[-1]})


def find_checkpoints(folder: Path) -> list[Path]:
    """Files of a job's folder that its option `continue_from` takes, oldest first."""
    return sorted([*folder.glob("run_it[0-9][0-9][0-9]_optimiser.star"), *folder.glob("checkpoint.npz")])


def _recorded(options: RepeatOptions) -> tuple[Project, str, JobRecord, Command]:
    project = find_project(Path())
    if project is None:
        raise InputError(
            f"{Path().resolve()}: not a project (no default_pipeline.star); `burnish project init` makes one"
        )
    name = project.find(options.job).name
    record = read_record(project.folder / name)
    if record is None:
        raise JobError(f"{name}: has no job.json, so another program ran it; run it again there")
    command = next((c for c in COMMANDS if c.name == record.job_type), None)
    if command is None:
        raise JobError(f"{name}: a {record.job_type!r} job, which this version does not know")
    return project, name, record, command


def _again(command: Command, given: dict[str, Any]) -> dict[str, Any]:
    status = commands.run_command(command, given)
    if status:
        raise JobError(f"{given['out']}: the job failed, see the line above")
    return {"job": str(given["out"])}
