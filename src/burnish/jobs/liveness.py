"""Whether the process of a job still lives: it holds a lock on a file in the job's folder, which dies with it."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

LOCK_NAME = ".running"


def hold(folder: Path) -> IO[str]:
    """Take the lock of a job's folder for as long as the returned file stays open.

    Raises
    ------
    BlockingIOError : another process runs this job.
    """
    file = (folder / LOCK_NAME).open("w", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise
    return file


def let_go(folder: Path, held: IO[str]) -> None:
    """End the job's hold and leave no file of it."""
    (folder / LOCK_NAME).unlink(missing_ok=True)
    held.close()


def is_running(folder: Path) -> bool:
    """Whether some process holds the lock of this job's folder."""
    path = folder / LOCK_NAME
    if not path.exists():
        return False
    with path.open("r", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(file, fcntl.LOCK_UN)
    return False
