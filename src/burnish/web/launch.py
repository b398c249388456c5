"""Jobs started from the page: the same command line in a process of its own, which outlives the server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from burnish.jobs.execution import options_model
from burnish.jobs.project import Project
from burnish.options.table import COMMANDS, Command


def startable() -> dict[str, Command]:
    """The commands that make a job in a project, by name."""
    return {c.name: c for c in COMMANDS if c.project_folder}


def form(command: Command) -> dict[str, Any]:
    """The fields of a command's form, from its options model."""
    model = options_model(command)
    schema = model.model_json_schema()
    required = set(schema.get("required", ())) - {"out"}
    return {
        "name": command.name,
        "summary": command.summary,
        "folder": command.project_folder,
        "fields": [
            {"name": name, "required": name in required} | field
            for name, field in schema["properties"].items()
            if name != "out" and name not in getattr(model, "hidden", ())
        ],
    }


def launch(project: Project, command: Command, given: Mapping[str, Any]) -> str:
    """Check the options, start the job, return its name.

    Raises
    ------
    pydantic.ValidationError : the options are not those of the command.
    """
    options_model(command).model_validate({**given, "out": command.project_folder})  # before a number is spent
    name = project.next_name(command.project_folder)
    options = options_model(command).model_validate({**given, "out": name})
    arguments = [part for field in options.model_fields_set for part in _flag(field, getattr(options, field))]
    folder = project.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "run.out").open("wb") as out, (folder / "run.err").open("wb") as err:
        subprocess.Popen(
            [sys.executable, "-m", "burnish.cli.main", command.name, *arguments],
            cwd=project.folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,  # a server that ends does not end its jobs
        )
    project.schedule(name)
    return name.rstrip("/")


def _flag(field: str, value: Any) -> list[str]:
    flag = "--" + field.replace("_", "-")
    if value is None:
        return []
    if isinstance(value, bool):
        return [flag if value else "--no-" + field.replace("_", "-")]
    if isinstance(value, tuple | list):
        return [f"{flag}={v}" for v in value]
    return [f"{flag}={value}"]  # one word, so that a value that begins with a dash stays a value
