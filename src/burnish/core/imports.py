"""Importing many modules at once."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType


def import_whole(name: str) -> ModuleType:
    """Import a module with all that it needs, as `import_module`, while no cyclic garbage is looked for.

    Torch and what stands on it are a million objects, all of which stay. Their growing number makes the collector walk
    over them again and again, which is an eighth of the time that imports take; nor need it ever look at them later.
    """
    if name in sys.modules:
        return sys.modules[name]
    with _without_collector():
        return import_module(name)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Inside, no cyclic garbage is collected; what is alive at the end is left alone from then on."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
