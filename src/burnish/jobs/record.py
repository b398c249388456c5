"""The record of a job, `job.json`: what was asked, with which inputs, by which version, and how it ended."""

from __future__ import annotations

import hashlib
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from burnish import __version__
from burnish.core.errors import DataError

State = Literal["running", "finished", "failed", "interrupted"]


class InputFile(BaseModel, frozen=True):
    """A file that a job read."""

    path: str
    size: int
    sha256: str


class JobRecord(BaseModel, frozen=True):
    """What `job.json` holds."""

    job_type: str
    options: dict[str, Any]
    inputs: list[InputFile] = Field(default_factory=list)
    version: str = __version__
    python: str = sys.version.split()[0]
    machine: str = platform.machine()
    seed: int | None = None
    device: str = "cpu"
    dashboard: str | None = None  # address of Dask's page while the job runs on workers
    state: State = "running"
    started: datetime = Field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None
    error: str | None = None
    traceback: str | None = None
    summary: dict[str, Any] | None = None


def hash_file(path: Path) -> InputFile:
    """Size and SHA-256 of a file, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return InputFile(path=str(path), size=Path(path).stat().st_size, sha256=digest.hexdigest())


def read_record(folder: Path) -> JobRecord | None:
    """The record in a job's folder, or None where there is none (a job of RELION's).

    Raises
    ------
    DataError : there is one that cannot be read.
    """
    path = folder / "job.json"
    if not path.is_file():
        return None
    try:
        return JobRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{path}: not a job record ({first['loc']}: {first['msg']}); remove it or run again") from None


def stale_inputs(record: JobRecord, folder: Path) -> list[str]:
    """Inputs of a job that are gone or no longer what they were when it ran.

    Parameters
    ----------
    folder : what relative paths of the record are relative to.
    """
    changed = []
    for seen in record.inputs:
        path = folder / seen.path
        if not path.is_file() or path.stat().st_size != seen.size or hash_file(path).sha256 != seen.sha256:
            changed.append(seen.path)
    return changed
