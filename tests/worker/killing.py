"""Commands run as a user runs them, whose processes die at moments drawn by a seed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

LONGEST = 900.0  # s


def start(arguments: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a command in a folder; what it says goes to `said` there."""
    with (folder / "said").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "burnish.cli.main", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The worker processes of a command that started a cluster of this machine."""
    found = []
    try:
        for child in psutil.Process(process.pid).children(recursive=True):
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    except psutil.Error:
        pass  # gone in the meantime
    return sorted(found, key=lambda p: p.pid)


def kill_workers(
    process: subprocess.Popen[bytes], sign: Path, *, times: int, seed: int, pause: tuple[float, float]
) -> int:
    """Kill a worker, drawn at random, as often while the command runs; return how often it came to that.

    Parameters
    ----------
    sign : file whose coming is waited for first.
    pause : shortest and longest time between two kills, s.
    """
    draw, killed, began = random.Random(seed), 0, time.monotonic()
    while not sign.exists() and process.poll() is None and time.monotonic() - began < LONGEST:
        time.sleep(0.05)
    while process.poll() is None and time.monotonic() - began < LONGEST:
        time.sleep(draw.uniform(*pause))
        workers = workers_of(process)
        if workers and killed < times:
            draw.choice(workers).send_signal(signal.SIGKILL)
            killed += 1
    return killed


def kill_when(process: subprocess.Popen[bytes], sign: Path) -> None:
    """Kill a command with nothing said as soon as a file is there."""
    began = time.monotonic()
    while not sign.exists() and process.poll() is None and time.monotonic() - began < LONGEST:
        time.sleep(0.05)
    process.kill()
    process.wait()
