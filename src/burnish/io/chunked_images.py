"""Particle images whose stacks are opened when they are asked for: one bad stack costs its micrographs alone."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from burnish.core.errors import DataError
from burnish.data.particles import Particles
from burnish.io.images import find_stack
from burnish.io.mrc import map_stack


class ChunkedImages:
    """Images by row of the particle table.

    Beside `images.ImageStacks`, which checks all stacks before anything is computed: here a missing or short stack is
    an error of the rows that need it.

    Parameters
    ----------
    particles : which images.
    source : file that named them, for finding stacks and for messages.
    """

    def __init__(self, particles: Particles, source: Path) -> None:
        self._particles = particles
        self._source = Path(source)
        self._open = lru_cache(maxsize=8)(self._map)

    def read(self, rows: Tensor) -> Tensor:
        """Return the images of these rows as float32, (n, box, box) as [y, x].

        Raises
        ------
        DataError : a stack is missing, unreadable, too short, or of another size than its optics group says.
        """
        particles = self._particles
        box = particles.optics[int(particles.optics_index[rows[0]])].box_size if len(rows) else 0
        images = np.empty((len(rows), box, box), np.float32)
        for place, row in enumerate(rows.tolist()):
            stack, index = int(particles.stack[row]), int(particles.slice_index[row])
            where = f"{self._source}, row {row + 1}"
            try:
                mapped = self._open(stack)
            except DataError as error:
                raise DataError(f"{where}: {error}") from None
            name = particles.stacks[stack]
            if index >= len(mapped):
                raise DataError(f"{where}: image {index + 1} of {name}, which holds {len(mapped)}; it is cut short")
            if mapped.shape[1:] != (box, box):
                raise DataError(
                    f"{where}: images of {name} are {mapped.shape[2]}×{mapped.shape[1]}, the optics group says {box}"
                )
            images[place] = mapped[index]
        return torch.from_numpy(images)

    def _map(self, stack: int) -> np.ndarray:
        name = self._particles.stacks[stack]
        found = find_stack(name, self._source)
        if found is None:
            raise DataError(f"no stack {name}; not in the current folder, {self._source.parent} or above it")
        return map_stack(found)[0]
