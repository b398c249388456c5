"""Giving freed memory back to the system."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
LARGE = 1 << 20  # bytes
WORTH_RETURNING = 16 << 20  # bytes
KEPT, KEPT_FREE = 32 << 20, 64 << 20  # bytes; to where glibc raises its thresholds by itself


def return_freed_memory() -> bool:
    """Make the C library give arrays above 1 MiB back as soon as they are freed; says whether it could.

    glibc raises the size from which it maps memory apart up to 32 MiB as such blocks are freed; the grids and matrices
    of a refinement then come from a heap that only grows. Fixing the size ends that. Other C libraries are left alone.
    """
    return _set_thresholds(LARGE, LARGE)


def keep_freed_memory() -> bool:
    """Make the C library keep arrays up to 32 MiB for the next ones from the start on; says whether it could.

    For processes that somebody starts with `MALLOC_TRIM_THRESHOLD_` set, as Dask does: they would otherwise ask the
    system for every array anew, which can take a third of the time.
    """
    return _set_thresholds(KEPT, KEPT_FREE)


def _set_thresholds(mapped: int, trimmed: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, mapped)) and bool(mallopt(M_TRIM_THRESHOLD, trimmed))


def return_small_blocks(*, least: int = WORTH_RETURNING) -> bool:
    """Give free pages of the heap back, where small arrays of different ages lie among each other; says whether it
    could.

    Parameters
    ----------
    least : bytes that must be free; the heap of a small model has less, and to ask the system for the same pages again
        and again takes a twentieth of the time of its refinement.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        library = ctypes.CDLL(None)
        trim = library.malloc_trim
    except (OSError, AttributeError):
        return False
    state = getattr(library, "mallinfo2", None)  # from glibc 2.33 on; clusters run older ones
    if state is not None:
        state.restype = _HeapState
        if state().fordblks < least:
            return True
    return bool(trim(0))


class _HeapState(ctypes.Structure):
    """`struct mallinfo2` of glibc; `fordblks` is what is free in the heap, bytes."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip
