"""Sessions of hand editing: one worker process a model, spoken to line by line."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from burnish.core.errors import InputError, JobError, ResourceError
from burnish.jobs.project import Project
from burnish.jobs.record import read_record
from burnish.options.edit import EditOptions

MOST_SESSIONS = 4  # each holds PyTorch, a model and a map
FOLDER = "Rebuild"
PATIENCE = 30.0  # s that a session gets to write


@dataclass
class Session:
    """One worker."""

    job: str
    process: subprocess.Popen[str]
    lock: Lock = field(default_factory=Lock)
    asked: int = 0

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send one request and wait for its answer; requests of several pages take turns.

        Raises
        ------
        JobError : the worker is gone.
        """
        with self.lock:
            self.asked += 1
            try:
                return self._exchange({"id": self.asked, **request})
            except (OSError, ValueError):
                raise JobError(
                    f"{self.job}: the session's process has ended; every edit is in its journal, open it again"
                ) from None

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.process.stdin is None or self.process.stdout is None:
            raise OSError("no pipe")
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise OSError("closed")
        return json.loads(line)

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def hang_up(self) -> None:
        """Close its input: it writes what there is and ends."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            with suppress(OSError):  # it may be gone with words unread
                self.process.stdin.close()

    def end(self) -> None:
        """Hang up and wait until it has written."""
        self.hang_up()
        try:
            self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:  # in a long command: its edits so far are in the journal
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


class Sessions:
    """The sessions of a server."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._open: dict[str, Session] = {}
        self._lock = Lock()

    def start(self, model: Path, map_file: Path, ligand: tuple[Path, ...] = ()) -> dict[str, Any]:
        """Open a model and a map of the project as a new job; its first answer."""
        name = self._project.next_name(FOLDER)
        options = {
            "model": self._relative(model),
            "map_file": self._relative(map_file),
            "ligand": [self._relative(p) for p in ligand],
            "out": name,
        }
        return self._launch(name, EditOptions.model_validate(options))

    def resume(self, job: str) -> dict[str, Any]:
        """Go on with a session whose process is gone; one that lives is just found."""
        name = self._project.find(job).name
        living = self._living(name)
        if living is not None:
            return {"job": living.job, **living.ask({"do": "model"})}
        record = read_record(self._project.folder / name)
        if record is None or record.job_type != "edit":
            raise InputError(f"{job}: not a session of hand editing")
        if not (self._project.folder / name / "journal.jsonl").is_file():
            raise InputError(f"{job}: has no journal to go on from")
        return self._launch(name, EditOptions.model_validate(record.options))

    def ask(self, job: str, request: dict[str, Any]) -> dict[str, Any]:
        """One request to the session of a job."""
        name = self._project.find(job).name
        session = self._living(name)
        if session is None:
            raise JobError(f"{job}: no session is open; open it again")
        answer = session.ask(request)
        if answer.get("finished"):
            self._forget(name, session)
        return answer

    def listed(self) -> list[str]:
        """Names of the jobs with a living session."""
        with self._lock:
            known = list(self._open)
        return [name.rstrip("/") for name in known if self._living(name) is not None]

    def close(self) -> None:
        """End all of them; their edits are kept."""
        with self._lock:
            for session in self._open.values():
                session.hang_up()
            for session in self._open.values():
                session.end()
            self._open.clear()

    def _launch(self, name: str, options: EditOptions) -> dict[str, Any]:
        if len(self.listed()) >= MOST_SESSIONS:
            raise ResourceError(f"{MOST_SESSIONS} sessions are open; finish one first")
        folder = self._project.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "run.err").open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "burnish.worker.hand"],
                cwd=self._project.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                start_new_session=True,
            )
        session = Session(job=name.rstrip("/"), process=process)
        first = {"project": ".", "job": name, "options": options.model_dump(mode="json")}
        answer = session.ask(first)
        if "error" in answer:
            session.end()
            if not (folder / "job.json").is_file():  # nothing was begun: nothing is left behind
                with suppress(OSError):
                    (folder / "run.err").unlink()
                    folder.rmdir()
            raise InputError(answer["error"])
        with self._lock:
            self._open[name] = session
        return {**answer, "job": session.job, **session.ask({"do": "model"})}

    def _living(self, name: str) -> Session | None:
        with self._lock:
            session = self._open.get(name)
        if session is not None and not session.is_alive:
            self._forget(name, session)
            return None
        return session

    def _forget(self, name: str, session: Session) -> None:
        session.end()
        with self._lock:
            self._open.pop(name, None)

    def _relative(self, path: Path) -> Path:
        return path.resolve().relative_to(self._project.folder.resolve())
