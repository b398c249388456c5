"""TLS groups from a file in REFMAC's format.

    TLS    first domain
    RANGE  'A   1.' 'A  96.' ALL
    TLS    second domain
    RANGE  'A  97.' 'A 180.' ALL

Origins and tensors that such a file may also hold are those of another refinement and are passed over.
"""

from __future__ import annotations

import re
from pathlib import Path

from burnish.core.errors import DataError
from burnish.data.labels import AtomLabels
from burnish.io.reflection_table import read_bytes

_RANGE = re.compile(r"^\s*RANGE\s+['\"](.)\s*(-?\d+)\.?.?['\"]\s+['\"](.)\s*(-?\d+)\.?.?['\"](.*)$", re.IGNORECASE)


def read_tls_groups(path: Path, labels: AtomLabels) -> tuple[tuple[int, ...], ...]:
    """Atoms of each group of the file.

    Raises
    ------
    InputError, DataError
        when the file cannot be read, a line is not understood, a range holds no atom, or an atom is in two groups.
    """
    groups: list[list[int]] = []
    taken: dict[int, int] = {}
    for number, line in enumerate(read_bytes(path).decode("utf-8", errors="replace").splitlines(), start=1):
        word = line.split()[0].upper() if line.split() else ""
        if word == "TLS":
            groups.append([])
        elif word == "RANGE":
            place = f"{path}: line {number}"
            match = _RANGE.match(line)
            if match is None or match[1] != match[3]:
                raise DataError(f"{place}: found {line.strip()}, expected RANGE 'A   1.' 'A  96.' ALL within one chain")
            if not groups:
                raise DataError(f"{place}: a RANGE before the first line TLS; begin each group with TLS")
            chosen = _atoms(labels, match[1], int(match[2]), int(match[4]))
            if not chosen:
                raise DataError(f"{place}: the model has no atoms in chain {match[1]} from {match[2]} to {match[4]}")
            twice = next((atom for atom in chosen if atom in taken), None)
            if twice is not None:
                raise DataError(
                    f"{place}: residue {labels.chain[twice]} {labels.number[twice]} is in group {taken[twice]} too; "
                    "an atom belongs to one group only"
                )
            taken.update(dict.fromkeys(chosen, len(groups)))
            groups[-1] += chosen
    filled = tuple(tuple(group) for group in groups if group)
    if not filled:
        raise DataError(f"{path}: no TLS groups (lines TLS and RANGE); give a file in REFMAC's format, or --tls auto")
    return filled


def _atoms(labels: AtomLabels, chain: str, first: int, last: int) -> list[int]:
    return [
        atom
        for atom, (name, number) in enumerate(zip(labels.chain, labels.number, strict=True))
        if name == chain and first <= number <= last
    ]
