"""Tasks of batches: one data set in a process of its own.

A worker keeps one helper process that has imported what jobs need and, asked for a set, makes a copy of itself that
runs it. So a set costs no start of Python and PyTorch (about two seconds), and one that crashes, leaks or hangs takes
nobody with it. All of them die with the worker: the set can then be run by another one.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

_PR_SET_PDEATHSIG = 1  # prctl.h of Linux


def run_set(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run one set.

    Parameters
    ----------
    request : `command`, `options` (with `out`), `folder` to stand in, `limit` in seconds or None.

    Returns
    -------
    `error`, or `summary`; `seconds` and `cpu_seconds` that it took.
    """
    try:
        return _helper().ask(request)
    except (BrokenPipeError, ValueError):  # the helper itself was killed
        _helper().close()
        _helper.cache_clear()
        return _helper().ask(request)


class _Helper:
    """The helper process, asked by lines of JSON."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "burnish.worker.sets"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        atexit.register(self.close)

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(dict(request)) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the helper, and the set that it may be running."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._process.kill()
        self._process.wait()


@lru_cache(maxsize=1)
def _helper() -> _Helper:
    return _Helper()


def main() -> None:
    """The helper's life: until its worker closes the pipe."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the set that runs
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a job prints is no answer
    import burnish.workflows.refine_crystal  # noqa: F401  (so that each copy has it)

    for line in sys.stdin:
        answers.write(json.dumps(_in_a_copy(json.loads(line))) + "\n")
        answers.flush()


def _in_a_copy(request: dict[str, Any]) -> dict[str, Any]:
    """Run a set in a copy of this process; say what became of it."""
    reader, writer = os.pipe()
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        status = 1
        try:
            _die_with_parent()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if request["limit"] is not None:
                signal.setitimer(signal.ITIMER_REAL, request["limit"])  # its signal ends the process
            with os.fdopen(writer, "w") as pipe:
                json.dump(_run(request), pipe, default=float)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    _, status, usage = os.wait4(pid, 0)
    took = {"seconds": round(time.monotonic() - began, 2), "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2)}
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return {"error": f"took longer than {request['limit'] / 60:g} minutes (--time-limit)", **took}
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        hint = "; most often too little memory" if name == "SIGKILL" else ""
        return {"error": f"its process was ended by {name}{hint}", **took}
    try:
        return {**json.loads(said), **took}
    except ValueError:
        return {"error": f"its process ended with code {os.waitstatus_to_exitcode(status)} and said nothing", **took}


def _run(request: Mapping[str, Any]) -> dict[str, Any]:
    from pydantic import ValidationError

    from burnish.core.errors import BurnishError
    from burnish.core.events import ignore
    from burnish.jobs.execution import command_named, explain, options_model, run_job

    os.chdir(request["folder"])
    command = command_named(request["command"])
    try:
        options = options_model(command).model_validate(request["options"])
        return {"summary": run_job(command, options, ignore, None)}
    except ValidationError as error:
        return {"error": explain(error)}
    except BurnishError as error:
        return {"error": str(error)}
    except Exception as error:  # one set's failure is no reason to stop the others
        return {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}


def _die_with_parent() -> None:
    """Let the system kill this process when the one that started it is gone."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
