"""The process of one model under a person's hands: `python -m burnish.worker.hand`, started by the page.

It loads model and map once and answers commands, one JSON object a line on standard input, one line each on standard
output. Every edit stands in the job's `journal.jsonl` before it is answered, so that a kill costs nothing that was
seen; when the other end is gone it writes what there is and ends as an interrupted job, which can be gone on with.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from burnish.core.errors import BurnishError
from burnish.core.events import Message
from burnish.jobs.folder import Job
from burnish.jobs.project import Project
from burnish.options.edit import EditOptions, HandCommand

JOURNAL = "journal.jsonl"


def serve(lines: IO[str], answers: IO[str]) -> None:
    """Open what the first line names, then answer commands until "finish" or the end of the input."""

    def answer(record: dict[str, Any]) -> None:
        answers.write(json.dumps(record) + "\n")
        answers.flush()

    first = json.loads(lines.readline() or "{}")
    try:
        job, session = _open(first)
    except (BurnishError, ValidationError) as error:
        answer({"error": _one_line(error)})
        return
    answer({"ready": True, "job": first["job"], **_state(session)})
    try:
        for line in lines:
            request = json.loads(line)
            if request.get("do") == "finish":
                summary = session.write(job)
                job.finish(summary)
                answer({"finished": True, **summary})
                return
            answer(_answer(session, job, request))
    except BaseException as error:
        session.write(job)
        job.fail(error)
        raise
    session.write(job)
    job.fail(BrokenPipeError("the page's server is gone; every edit is kept, go on from the journal"), interrupted=True)


def _open(first: dict[str, Any]) -> tuple[Job, Any]:
    """Begin the job, new or gone on with, and load what it edits."""
    import torch  # takes long: after the first line is read

    from burnish.workflows.hand_journal import Journal
    from burnish.workflows.hand_session import HandSession, open_inputs

    torch.set_num_threads(1)  # several sessions share a machine with running jobs
    options = EditOptions.model_validate(first["options"])
    project = Project(Path(first["project"]))
    job = Job("edit", Path(first["job"]), options.model_dump(mode="json"), project=project)
    opened = open_inputs(options, job.notify)
    job.begin([options.model, options.map_file, *options.ligand])
    try:
        session = HandSession(options, opened, Journal(job.path(JOURNAL)))
    except BurnishError as error:
        job.fail(error)
        raise
    return job, session


def _answer(session: Any, job: Job, request: dict[str, Any]) -> dict[str, Any]:
    """What one request leads to; a refusal is an answer too."""
    number = request.get("id")
    try:
        if request.get("do") == "model":
            return {"id": number, "model": session.model_text(), **_state(session)}
        if request.get("do") == "save":
            return {"id": number, **session.write(job)}
        if request.get("do") == "map":
            session.use_map(Path(request["map"]))
            job.notify(Message(f"density from now on: {request['map']}"))
            return {"id": number, "map": request["map"]}
        command = HandCommand.model_validate(request.get("command"))
        reply = session.apply(command)
        if command.commit and command.tool not in ("look", "cancel"):
            job.notify(Message(f"{command.tool} {command.chain} {command.number}: {reply['note']}"))
            reply["model"] = session.model_text()
        return {"id": number, **reply}
    except ValidationError as error:
        first = error.errors()[0]
        return {"id": number, "error": f"{'.'.join(map(str, first['loc']))}: {first['msg']}"}
    except BurnishError as error:
        return {"id": number, "error": str(error)}
    except (ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        job.notify(Message(f"{request.get('command')}: {_one_line(error)}", "warning"))
        return {"id": number, "error": f"this did not work here ({_one_line(error)}); the model is as it was"}


def _state(session: Any) -> dict[str, Any]:
    from burnish.workflows.hand_session import edit_numbers

    return {"edits": edit_numbers(session), "undo": len(session.edits), "redo": session.undone}


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def main() -> None:
    """Keep the standard output for answers: what libraries print goes to the standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
