"""Which twin of an operation works: compiled loops on the processor, array operations elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

_VALUES = {"cpu": 2**19, "cuda": 2**23}  # pixels at a time: some 300 bytes each while they are interpolated


def compiled(values: Tensor) -> bool:
    """Whether the compiled loops take these values."""
    return values.device.type == "cpu"


def runs(slices: int, pixels: int, like: Tensor) -> Iterator[tuple[int, int]]:
    """First and last + 1 of runs of slices whose pixels array operations take at a time."""
    at_once = max(1, _VALUES.get(like.device.type, _VALUES["cuda"]) // max(pixels, 1))
    for low in range(0, max(slices, 1), at_once):  # one empty run of nothing
        yield low, min(low + at_once, slices)
