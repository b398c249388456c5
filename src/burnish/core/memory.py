"""Giving freed memory back to the system."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
LARGE = 1 << 20  # bytes


def return_freed_memory() -> bool:
    """Make the C library give arrays above 1 MiB back as soon as they are freed; says whether it could.

    glibc raises the size from which it maps memory apart up to 32 MiB as such blocks are freed; the grids and matrices
    of a refinement then come from a heap that only grows. Fixing the size ends that. Other C libraries are left alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE)) and bool(mallopt(M_TRIM_THRESHOLD, LARGE))


def return_small_blocks() -> bool:
    """Give free pages of the heap back, where small arrays of different ages lie among each other; says whether it
    could."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return False
    return bool(trim(0))
