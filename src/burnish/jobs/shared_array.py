"""Arrays that processes of one machine fill together, without a network between them.

The memory belongs to a file that has no name in any folder (memfd, Linux): it goes when the last process that holds it
ends, however that ends.
"""

from __future__ import annotations

import math
import mmap
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def can_share() -> bool:
    """Whether this system has such arrays."""
    return hasattr(os, "memfd_create")


@contextmanager
def shared_array(shape: tuple[int, ...]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """An array of float32, valid after the block too, and the name under which processes fill it within the block."""
    size, token = 4 * math.prod(shape), f"burnish-{uuid.uuid4().hex}"
    descriptor = os.memfd_create(token)
    try:
        os.ftruncate(descriptor, size)
        values = np.frombuffer(mmap.mmap(descriptor, size), dtype=np.float32).reshape(shape)
        yield f"/proc/{os.getpid()}/fd/{descriptor} {token}", values
    finally:
        os.close(descriptor)


def fill(name: str, first: int, values: NDArray[np.float32]) -> None:
    """Write a part of an array.

    Parameters
    ----------
    name : as `shared_array` gave it.
    first : index of the part's first number in the whole array.
    values : in C order.

    Raises
    ------
    OSError : the block has ended; nothing is written, even where its place was given to another array.
    """
    path, token = name.split()
    with Path(path).open("r+b", buffering=0) as file:
        if token not in str(Path(f"/proc/self/fd/{file.fileno()}").readlink()):
            raise FileNotFoundError(f"{name}: gone")
        file.seek(4 * first)
        left = np.ascontiguousarray(values, dtype=np.float32).data.cast("B")
        while left:  # the system writes at most 2 GiB at a time
            left = left[file.write(left) :]
