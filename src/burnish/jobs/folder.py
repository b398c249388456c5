"""A job's folder from its first file to its last: `job.json`, `run.log`, results."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from burnish.core.errors import DataError, JobError
from burnish.core.events import Event, Listener, Message, Metrics, Progress, Shells, ignore
from burnish.core.terms import number_line
from burnish.jobs.liveness import hold, let_go
from burnish.jobs.pipeline import Status
from burnish.jobs.project import Project
from burnish.jobs.record import JobRecord, State, hash_file, read_record

ON_THEIR_OWN = {"batch", "ctfrefine", "cycle", "edit"}  # jobs that go on from what an earlier run left


class Job:
    """One run of one job type in its folder.

    Nothing is written before `begin`: a workflow calls it when its inputs have been read and found good, so that bad
    input leaves no folder behind. Events go to the listener (terminal, web page) and, as text, into `run.log`.
    """

    def __init__(
        self,
        job_type: str,
        folder: Path,
        options: dict[str, Any],
        listener: Listener = ignore,
        *,
        keeps_record: bool = True,
        project: Project | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.project = project
        self.project_name = project.job_name(self.folder) if project is not None and keeps_record else None
        self.listener = listener
        self.keeps_record = keeps_record  # False for commands whose output is one file: no job.json, no run.log
        self.record = JobRecord(job_type=job_type, options=options)
        self.begun = False
        self._waiting: list[str] = []  # lines told before the folder exists
        self._last_progress = 0.0
        self._alive: IO[str] | None = None  # held open while the job runs, see burnish.jobs.liveness

    def take_options(self, options: dict[str, Any]) -> None:
        """Record these options: of a job that goes on from another, with those that the other was given."""
        self.record = self.record.model_copy(update={"options": options})

    def begin(self, inputs: Iterable[Path] = (), *, seed: int | None = None, device: str = "cpu") -> None:
        """Make the folder and write the first record: the inputs are good."""
        if not self.keeps_record:
            return
        inputs = list(inputs)
        hashed = [hash_file(p) for p in inputs]
        earlier = self._earlier_run()
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._alive = hold(self.folder)
        except BlockingIOError:
            raise JobError(f"{self.folder}: another process is running this job; give another --out or wait") from None
        if self.project is not None and self.project_name is not None:
            self.project.start(self.project_name, inputs)
        self.record = self.record.model_copy(update={"inputs": hashed, "seed": seed, "device": device})
        self.begun = True
        self._write_record()
        with self._log_path.open("a", encoding="utf-8") as log:
            log.writelines(line + "\n" for line in self._waiting)
        self._waiting.clear()
        if earlier is not None and earlier.state == "finished" and not self._goes_on():
            what = f"the results of an earlier {earlier.job_type} ({earlier.started.astimezone():%Y-%m-%d %H:%M})"
            text = f"{self.folder}: held {what}, which are replaced; give another --out to keep both"
            self.notify(Message(text, "warning"))

    def _earlier_run(self) -> JobRecord | None:
        """The record of a job that used this folder before; a job of another kind is not written over."""
        try:
            earlier = read_record(self.folder)
        except DataError:
            return None  # a damaged record is replaced
        if earlier is not None and earlier.job_type != self.record.job_type:
            raise JobError(f"{self.folder}: holds a {earlier.job_type} job, which would be lost; give another --out")
        return earlier

    def _goes_on(self) -> bool:
        """Whether the job takes up what is in its folder."""
        return self.record.job_type in ON_THEIR_OWN or self.record.options.get("continue_from") is not None

    def notify(self, event: Event) -> None:
        """Tell the listener and the log."""
        self.listener(event)
        self._record_event(event)
        line = _as_text(event)
        if line is None or not self.keeps_record:
            return
        stamped = f"{datetime.now(UTC).astimezone():%Y-%m-%d %H:%M:%S} {line}"
        if not self.begun:
            self._waiting.append(stamped)
            return
        with self._log_path.open("a", encoding="utf-8") as log:
            log.write(stamped + "\n")

    def _record_event(self, event: Event) -> None:
        """Append to `events.jsonl`, which the web page follows; progress at most twice a second."""
        if not self.begun:
            return
        now = time.monotonic()
        if isinstance(event, Progress) and event.done != event.total and now - self._last_progress < 0.5:
            return
        if isinstance(event, Progress):
            self._last_progress = now
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": type(event).__name__.lower()}
        with self.path("events.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line | asdict(event), default=float) + "\n")

    def note_dashboard(self, address: str | None) -> None:
        """Record where the workers of this job can be watched, for as long as it runs."""
        if self.begun and address is not None:
            self.record = self.record.model_copy(update={"dashboard": address})
            self._write_record()

    def path(self, name: str) -> Path:
        """Where the result `name` of this job goes."""
        return self.folder / name

    def finish(self, summary: dict[str, Any]) -> None:
        """Record success."""
        if self.begun:
            self._end("finished", summary=summary)

    def fail(self, error: BaseException, *, interrupted: bool = False) -> None:
        """Record failure, if there is a folder to record it in."""
        if self.begun:
            self._end(
                "interrupted" if interrupted else "failed",
                error=f"{type(error).__name__}: {error}",
                traceback="".join(traceback.format_exception(error)),
            )

    @property
    def _log_path(self) -> Path:
        return self.folder / "run.log"

    def _end(self, state: State, **changes: Any) -> None:
        ended = {"state": state, "ended": datetime.now(UTC), "dashboard": None}
        self.record = self.record.model_copy(update={**ended, **changes})
        self._write_record()
        if self.project is not None and self.project_name is not None:
            statuses: dict[str, Status] = {"finished": "Succeeded", "failed": "Failed", "interrupted": "Aborted"}
            self.project.end(self.project_name, statuses[state])
        if self._alive is not None:
            let_go(self.folder, self._alive)

    def _write_record(self) -> None:
        target = self.folder / "job.json"
        aside = self.folder / ".partial-job.json"  # not io.write_aside: rooms on one line do not import each other
        aside.write_text(self.record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        aside.replace(target)


def _as_text(event: Event) -> str | None:
    match event:
        case Message(text, "warning"):
            return f"WARNING {text}"
        case Message(text):
            return text
        case Metrics(series, step, values):
            return number_line(series, step, values)
        case Progress() | Shells():
            return None
