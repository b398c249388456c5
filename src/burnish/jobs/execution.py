"""One job from its options to its record, whoever asked for it: command line, recipe or batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from burnish.core.events import Listener
from burnish.core.imports import import_whole
from burnish.jobs.folder import Job
from burnish.jobs.project import Project
from burnish.options.base import PATTERNS
from burnish.options.table import COMMANDS, Command


def command_named(name: str) -> Command:
    """The command of that name; StopIteration where there is none."""
    return next(c for c in COMMANDS if c.name == name)


def load(path: str) -> Any:
    """What an import path of the command table means."""
    module, _, attribute = path.partition(":")
    return getattr(import_whole(module), attribute)


def options_model(command: Command) -> type[BaseModel]:
    """The options model of a command."""
    model: type[BaseModel] = load(command.options)
    return model


def run_job(command: Command, options: BaseModel, listener: Listener, project: Project | None) -> dict[str, Any]:
    """Run a command with these options in the folder that they name; return its summary.

    Whatever ends the job early is recorded and raised again.
    """
    out: Path = getattr(options, "out", None) or Path()  # of commands without one, nothing is written
    job = Job(
        command.name,
        out if command.keeps_record else out.parent,
        options.model_dump(mode="json"),
        listener,
        keeps_record=command.keeps_record,
        project=project,
    )
    try:
        summary: dict[str, Any] = load(command.workflow)(options, job)
        job.finish(summary)
    except KeyboardInterrupt as error:
        job.fail(error, interrupted=True)
        raise
    except BaseException as error:
        job.fail(error)
        raise
    return summary


def explain(error: ValidationError) -> str:
    """Say what is wrong with options in one line: option, what was found, what was expected."""
    return "; ".join(_explain(e) for e in error.errors())


def _explain(error: Any) -> str:
    where = "--" + ".".join(str(p) for p in error["loc"]).replace("_", "-") if error["loc"] else "options"
    if error["type"] == "string_pattern_mismatch":
        pattern = error["ctx"]["pattern"]
        return f"{where} {error['input']}: expected {PATTERNS.get(pattern, f'text like {pattern}')}"
    said = error["msg"].removeprefix("Value error, ")
    expected = said.removeprefix("Input should be ").removeprefix("String should have ")
    found = "" if not error["loc"] or error["type"] == "missing" else f" {error['input']!s}"
    return f"{where}{found}: expected {expected}" if expected != said else f"{where}{found}: {expected}"
