"""Lengths that transforms are fast for."""

from __future__ import annotations


def fast_even_size(least: int) -> int:
    """Smallest even number of factors 2, 3 and 5 that is not below `least`.

    >>> fast_even_size(7), fast_even_size(64), fast_even_size(101)
    (8, 64, 108)
    """
    size = least + least % 2
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 2
