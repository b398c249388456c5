"""How the process of a short command ends."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import NoReturn


def leave(status: int) -> NoReturn:
    """End the process with what was registered for its end, but without taking apart all that it imported.

    Of torch, numba and what stands on them that is a million objects, and a quarter of a second: a fifteenth of the
    refinement of a small model. Where other threads still run, or nobody reads the output any more, Python ends in its
    own way, as it does where `main` is called with its arguments: a profiler must do that to have its say at the end.
    """
    if threading.active_count() > 1:
        sys.exit(status)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        sys.exit(status)
    atexit._run_exitfuncs()
    os._exit(status)
