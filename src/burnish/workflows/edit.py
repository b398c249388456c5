"""`burnish edit`: a model changed by the commands of a file, as the page's tools would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from burnish.core.errors import DataError, InputError
from burnish.core.events import Message, Progress
from burnish.jobs.folder import Job
from burnish.options.edit import EditOptions, HandCommand
from burnish.workflows.hand_journal import Journal
from burnish.workflows.hand_session import HandSession, open_inputs

JOURNAL = "journal.jsonl"


def run(options: EditOptions, job: Job) -> dict[str, Any]:
    """Read, take up what a journal holds, do what the file says, write."""
    commands = read_commands(options.commands) if options.commands is not None else []
    journal = Journal(job.path(JOURNAL))
    if not commands and not journal.path.is_file():
        raise InputError("--commands: no file of commands, and no journal of an earlier session in that folder")
    opened = open_inputs(options, job.notify)
    files = [options.model, options.map_file, *options.ligand, *([options.commands] if options.commands else [])]
    job.begin(files)
    session = HandSession(options, opened, journal)
    for number, command in enumerate(commands[len(session.edits) :], start=1 + len(session.edits)):
        reply = session.apply(command)
        job.notify(Message(f"{number}: {command.tool}: {reply['note']}"))
        job.notify(Progress("edits", number, len(commands)))
    return session.write(job)


def read_commands(path: Path) -> list[HandCommand]:
    """Commands of a file, one JSON object a line; empty lines are skipped.

    Raises
    ------
    InputError : no such file.
    DataError : a line is no command.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected commands, one JSON object a line")
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found.append(HandCommand.model_validate(json.loads(line)))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise DataError(f"{path}: line {number}: {where}: {first['msg']}") from None
        except ValueError:
            example = '{"tool": "best rotamer", "chain": "A", "number": "5"}'
            raise DataError(f"{path}: line {number} is no JSON object; expected a command such as {example}") from None
    return found
