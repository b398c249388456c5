"""Columns of names as a list of those that occur and an index into it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def distinct(values: Sequence[str]) -> tuple[tuple[str, ...], Tensor]:
    """Distinct values in order of appearance, and the index of each value among them. (n,) int64

    >>> distinct(["b", "a", "b"])
    (('b', 'a'), tensor([0, 1, 0]))
    """
    known: dict[str, int] = {}
    index = [known.setdefault(v, len(known)) for v in values]
    return tuple(known), torch.tensor(index)
