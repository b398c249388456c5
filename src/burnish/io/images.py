"""Particle images on disk: found, checked, memory-mapped, read when they are needed."""

from __future__ import annotations

import mmap
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from burnish.core.errors import DataError
from burnish.data.particles import Particles
from burnish.io.mrc import MrcHeader, map_stack, read_header

_OPEN_STACKS = 64


def find_stack(name: str, star: Path) -> Path | None:
    """Return the file that a STAR file means: from the project (current) folder, the STAR file's, or one above it."""
    given = Path(name)
    if given.is_absolute():
        return given if given.exists() else None
    folders = [Path(), star.parent, *star.resolve().parents]
    return next((f / given for f in folders if (f / given).exists()), None)


class ImageStacks:
    """Images of particles by row, from memory-mapped stacks.

    Every stack is looked at and every index checked at once, so that a missing or short stack is told before anything
    is computed; images are read only in `read`.

    Parameters
    ----------
    particles : which images.
    source : file that named them, for finding stacks and for messages.
    """

    def __init__(self, particles: Particles, source: Path) -> None:
        self._particles = particles
        self._headers: list[MrcHeader] = []
        self._maps: OrderedDict[int, np.ndarray] = OrderedDict()  # the last ones in use
        stack, index = particles.stack.numpy(), particles.slice_index.numpy()
        boxes = np.array([g.box_size for g in particles.optics])[particles.optics_index.numpy()]
        order = np.argsort(stack, kind="stable")
        ends = np.searchsorted(stack[order], np.arange(len(particles.stacks) + 1))
        for number, name in enumerate(particles.stacks):
            rows = order[ends[number] : ends[number + 1]]
            header = self._look_at(name, Path(source), int(rows[0]) if len(rows) else 0)
            self._headers.append(header)
            if not len(rows):
                continue
            _check_indices(source, header, rows, index[rows])
            _check_box(source, header, rows, boxes[rows])

    @staticmethod
    def _look_at(name: str, source: Path, row: int) -> MrcHeader:
        found = find_stack(name, source)
        if found is None:
            raise DataError(
                f"{source}, row {row + 1}: no stack {name}; not in the current folder, {source.parent} or above it"
            )
        try:
            return read_header(found)
        except DataError as error:
            raise DataError(f"{source}, row {row + 1}: {error}") from None

    def _map(self, number: int) -> np.ndarray:
        """Memory map of a stack; only the last few stay open, since each takes one of the process's file handles."""
        if number in self._maps:
            self._maps.move_to_end(number)
        else:
            self._maps[number] = map_stack(self._headers[number].path)[0]
            if len(self._maps) > _OPEN_STACKS:
                self._maps.popitem(last=False)
        return self._maps[number]

    def __len__(self) -> int:
        return len(self._particles)

    def read(self, rows: Sequence[int] | Tensor | slice) -> Tensor:
        """Return the images of these particles as float32, (n, box, box) as [y, x]; all of one box size.

        Images are read in the order in which they lie on disk.
        """
        chosen = np.arange(len(self))[rows if isinstance(rows, slice) else np.asarray(rows)]
        stack = self._particles.stack.numpy()[chosen]
        index = self._particles.slice_index.numpy()[chosen]
        shapes = {self._headers[s].shape[1:] for s in set(stack.tolist())}
        if len(shapes) > 1:
            raise ValueError(f"images of several sizes cannot be read at once: {sorted(shapes)}")
        images = np.empty((len(chosen), *next(iter(shapes), (0, 0))), np.float32)
        for at in np.lexsort((index, stack)):
            images[at] = self._map(int(stack[at]))[index[at]]
        return torch.from_numpy(images)

    def announce(self, rows: Sequence[int] | Tensor) -> None:
        """Ask the system to fetch these images from disk, so that a later `read` finds them; waits for nothing."""
        if not hasattr(mmap, "MADV_WILLNEED"):
            return
        for row in np.asarray(rows).tolist():
            number = int(self._particles.stack[row])
            images = self._map(number)
            if not isinstance(images.base, mmap.mmap):  # held in memory
                continue
            size = images[0].nbytes
            first = self._headers[number].offset % mmap.ALLOCATIONGRANULARITY
            first += int(self._particles.slice_index[row]) * size
            page = first // mmap.PAGESIZE * mmap.PAGESIZE
            images.base.madvise(mmap.MADV_WILLNEED, page, first + size - page)


def _check_indices(source: Path, header: MrcHeader, rows: np.ndarray, index: np.ndarray) -> None:
    beyond = np.flatnonzero(index >= header.shape[0])
    if len(beyond):
        row = int(beyond[0])
        claim = (
            f" (its header promises {header.claimed_sections})" if header.claimed_sections != header.shape[0] else ""
        )
        raise DataError(
            f"{source}, row {rows[row] + 1}: image {index[row] + 1} of {header.path}, which holds "
            f"{header.shape[0]}{claim}; the stack is cut short or not the one that was meant"
        )


def _check_box(source: Path, header: MrcHeader, rows: np.ndarray, boxes: np.ndarray) -> None:
    wrong = np.flatnonzero((boxes != header.shape[2]) | (boxes != header.shape[1]))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{source}, row {rows[row] + 1}: images of {header.path} are {header.shape[2]}×{header.shape[1]}, the "
            f"optics group says {boxes[row]}; correct rlnImageSize or the stack"
        )
