"""A project folder in RELION's layout: numbered jobs, aliases, history, locks.

`default_pipeline.star` is the only index; what a job asked and found stands in its own folder. Changes to the index are
made under RELION's own lock (the folder `.relion_lock`), so that RELION's window and several Burnish processes can
share a project.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from burnish.core.errors import InputError, JobError
from burnish.jobs.liveness import LOCK_NAME as RUNNING_NAME
from burnish.jobs.liveness import is_running
from burnish.jobs.pipeline import (
    NODE_LABEL,
    Node,
    Pipeline,
    Process,
    Status,
    format_pipeline,
    new_process,
    read_pipeline,
)

PIPELINE_NAME = "default_pipeline.star"
LOCK_NAME = ".relion_lock"
LOCK_PATIENCE = 30.0  # s; RELION waits as long before it complains

EXIT_FILES: dict[Status, str] = {
    "Succeeded": "RELION_JOB_EXIT_SUCCESS",
    "Failed": "RELION_JOB_EXIT_FAILURE",
    "Aborted": "RELION_JOB_EXIT_ABORTED",
}

# Files that later jobs take, by name, with the number of their RELION node type.
OUTPUT_NODES = (
    ("run_data.star", "3"),
    ("particles_ctf_refine.star", "3"),
    ("particles.star", "3"),
    ("run_half1_class001_unfil.mrc", "10"),
    ("run_class001.mrc", "6"),
    ("mask.mrc", "7"),
    ("postprocess.mrc", "11"),
    ("postprocess_masked.mrc", "11"),
    ("postprocess.star", "14"),
    ("*locres.mrc", "12"),
    ("logfile.pdf", "13"),
    ("refined.cif", "99"),
    ("refined.mtz", "99"),
)


@dataclass(frozen=True, slots=True)
class Project:
    """A project by its folder."""

    folder: Path

    @property
    def index(self) -> Path:
        return self.folder / PIPELINE_NAME

    def read(self) -> Pipeline:
        """The history as it stands."""
        return read_pipeline(self.index)

    @contextmanager
    def changing(self) -> Iterator[list[Pipeline]]:
        """Yield the history in a list of one under the lock; what stands in the list at the end is written."""
        with _lock(self.folder):
            held = [self.read()]
            yield held
            _write(self.index, format_pipeline(held[0]))

    def next_name(self, kind: str) -> str:
        """Take the next number for a job of this kind ("Refine3D") and return its name ("Refine3D/job021/").

        The number is spent even when the job never begins, so that two processes never get the same.
        """
        with self.changing() as held:
            number = held[0].job_counter
            held[0] = replace(held[0], job_counter=number + 1)
        return f"{kind}/job{number:03d}/"

    def job_name(self, path: Path) -> str | None:
        """The name of the job that a folder of this project is, or None for a folder elsewhere."""
        try:
            relative = path.resolve().relative_to(self.folder.resolve())
        except ValueError:
            return None
        return f"{relative}/" if len(relative.parts) == 2 and relative.parts[1].startswith("job") else None

    def schedule(self, name: str) -> None:
        """List a job that is about to start, unless it has come further already."""
        with self.changing() as held:
            if held[0].process(name) is None:
                held[0] = held[0].with_process(new_process(name, "Scheduled"))

    def start(self, name: str, inputs: Iterable[Path]) -> None:
        """Mark a job as running and link it to the files of this project that it reads."""
        used = [self._relative(path) for path in inputs]
        for mark in EXIT_FILES.values():
            (self.folder / name / mark).unlink(missing_ok=True)
        with self.changing() as held:
            nodes = tuple(_node(n) for n in used if n is not None)
            known = held[0].process(name) or new_process(name, "Running")
            held[0] = held[0].with_process(replace(known, status="Running")).with_files(name, nodes, ())
            held[0] = replace(held[0], job_counter=max(held[0].job_counter, _number(name) + 1))

    def end(self, name: str, status: Status) -> None:
        """Mark a job as ended and list the files that later jobs can take."""
        job = self.folder / name
        made = sorted(p.name for p in job.iterdir() if _node_type(p.name) is not None)
        (job / EXIT_FILES[status]).touch()
        with self.changing() as held:
            nodes = tuple(_node(name + file) for file in made) if status == "Succeeded" else ()
            known = held[0].process(name) or new_process(name, status)
            held[0] = held[0].with_process(replace(known, status=status)).with_files(name, (), nodes)

    def find(self, asked: str) -> Process:
        """The job that a user means: its name, alias, folder or number ("21", "job021").

        Raises
        ------
        InputError : there is no such job.
        """
        pipeline = self.read()
        found = pipeline.process(asked)
        number = asked.rstrip("/").rsplit("/", 1)[-1].removeprefix("job")
        if found is None and number.isdigit():
            found = next((p for p in pipeline.processes if _number(p.name) == int(number)), None)
        if found is None:
            found = next((p for p in pipeline.processes if p.alias.rstrip("/").rsplit("/", 1)[-1] == asked), None)
        if found is None:
            raise InputError(f"{self.folder}: no job {asked!r}; `burnish project list` shows those that there are")
        return found

    def set_alias(self, name: str, alias: str) -> Process:
        """Give a job another name, a link beside its folder as RELION makes it; an empty alias removes it.

        Raises
        ------
        InputError : the alias holds other characters than letters, digits, _ and -, or is taken.
        """
        if alias and not all(c.isalnum() or c in "_-" for c in alias):
            raise InputError(f"alias {alias!r}: only letters, digits, _ and - can stand in an alias")
        kind = name.split("/", 1)[0]
        with self.changing() as held:
            process = held[0].process(name)
            if process is None:
                raise InputError(f"{self.folder}: no job {name!r}")
            if not (self.folder / name).is_dir():
                raise InputError(f"{self.folder / name}: the job's folder is gone; it cannot be named")
            full = f"{kind}/{alias}/" if alias else "None"
            link = self.folder / kind / alias
            if alias and (link.exists() or link.is_symlink()):
                raise InputError(f"alias {alias!r}: {link} exists already; choose another")
            if process.alias != "None":
                old = self.folder / process.alias.rstrip("/")
                if old.is_symlink():
                    old.unlink()
            if alias:
                link.symlink_to(Path(name.rstrip("/")).name)
            changed = replace(process, alias=full)
            held[0] = held[0].with_process(changed)
        return changed

    def mark_killed(self) -> list[str]:
        """Mark jobs of ours that claim to run but whose process is gone; return their names."""
        killed = [
            p.name
            for p in self.read().processes
            if p.status == "Running"
            and any((self.folder / p.name / file).exists() for file in ("job.json", RUNNING_NAME))
            and not is_running(self.folder / p.name)
        ]
        for name in killed:
            self.end(name, "Failed")
        return killed

    def _relative(self, path: Path) -> str | None:
        try:
            return str(Path(path).resolve().relative_to(self.folder.resolve()))
        except ValueError:
            return None


def find_project(folder: Path) -> Project | None:
    """The project that a folder is, or None; RELION too looks only where it stands."""
    return Project(Path(folder)) if (Path(folder) / PIPELINE_NAME).is_file() else None


def init_project(folder: Path) -> Project:
    """Make a folder a project that RELION opens as its own.

    Raises
    ------
    InputError : it is one already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / PIPELINE_NAME).exists():
        raise InputError(f"{folder}: is a project already ({PIPELINE_NAME})")
    _write(folder / PIPELINE_NAME, format_pipeline(Pipeline()))
    (folder / ".gui_projectdir").touch()  # RELION asks no question where it finds this
    return Project(folder)


def _number(name: str) -> int:
    digits = name.rstrip("/").rsplit("/", 1)[-1].removeprefix("job")
    return int(digits) if digits.isdigit() else 0


def _node_type(file: str) -> str | None:
    name = file.rsplit("/", 1)[-1]
    return next((number for pattern, number in OUTPUT_NODES if fnmatch(name, pattern)), None)


def _node(file: str) -> Node:
    number = _node_type(file) or "99"
    return Node(name=file, type_number=number, type_label=NODE_LABEL.get(number, "ProcessData"))


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f".partial-{os.getpid()}-{path.name}")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the history: first among our own processes, then RELION's lock.

    The first lock dies with its process, so that only its holder can meet what a killed process of ours left of the
    second, and may remove it without a race.
    """
    with (folder / ".burnish_lock").open("w", encoding="utf-8") as own:
        fcntl.flock(own, fcntl.LOCK_EX)
        lock = folder / LOCK_NAME
        holder = lock / "burnish"
        deadline = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                lock.mkdir()
                break
            except FileExistsError:
                if holder.exists():
                    _remove_lock(lock)
                elif time.monotonic() > deadline:
                    raise JobError(
                        f"{lock}: the project has been locked for {LOCK_PATIENCE:.0f} s by another program; "
                        "if none is running, remove that folder"
                    ) from None
                else:
                    time.sleep(0.02)
        try:
            holder.touch()
            yield
        finally:
            _remove_lock(lock)


def _remove_lock(lock: Path) -> None:
    for left in lock.iterdir():  # RELION leaves a file with its reason inside
        left.unlink(missing_ok=True)
    lock.rmdir()
