"""TLS groups from a file in REFMAC's format, or as selections in that of phenix; and their tensors for a model file.

    TLS    first domain                        refinement.refine.adp {
    RANGE  'A   1.' 'A  96.' ALL                 tls = "chain A and resseq 1:96"
    TLS    second domain                         tls = "chain A and resseq 97:180 or chain B"
    RANGE  'A  97.' 'A 180.' ALL               }

Selections may also stand alone, one a line. Origins and tensors that a file of REFMAC's may also hold are those of
another refinement and are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import gemmi
import numpy as np

from burnish.core.errors import DataError
from burnish.data.labels import AtomLabels
from burnish.io.reflection_table import read_bytes
from burnish.models.tls import TlsGroup

_RANGE = re.compile(r"^\s*RANGE\s+['\"](.)\s*(-?\d+)\.?.?['\"]\s+['\"](.)\s*(-?\d+)\.?.?['\"](.*)$", re.IGNORECASE)
_SELECTION = re.compile(r"^\s*(?:tls\s*=\s*)?[\"']?\s*(\(*\s*chain\b.*?)[\"']?\s*$", re.IGNORECASE)
_PART = re.compile(
    r"^chain\s+['\"]?(\w+)['\"]?(?:\s+and\s+(?:resseq|resid|resi)\s+(-?\d+)(?:\s*(?::|\bthrough\b)\s*(-?\d+))?)?$",
    re.IGNORECASE,
)


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
        place = f"{path}: line {number}"
        selection = _SELECTION.match(line)
        if word == "TLS" and selection is None:
            groups.append([])
            continue
        if word == "RANGE":
            if not groups:
                raise DataError(f"{place}: a RANGE before the first line TLS; begin each group with TLS")
            ranges = [_refmac_range(line, place)]
        elif selection is not None:
            groups.append([])
            ranges = list(_phenix_ranges(selection[1], place))
        else:
            continue
        for chain, first, last in ranges:
            chosen = _atoms(labels, chain, first, last)
            if not chosen:
                raise DataError(f"{place}: the model has no atoms in chain {chain} from {first} to {last}")
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
        raise DataError(
            f"{path}: no TLS groups (lines TLS and RANGE, or selections as chain A and resseq 1:96); or use --tls auto"
        )
    return filled


Range = tuple[str, int, int]  # chain, first and last residue number
_FIRST, _LAST = -10_000, 1_000_000


def _refmac_range(line: str, place: str) -> Range:
    match = _RANGE.match(line)
    if match is None or match[1] != match[3]:
        raise DataError(f"{place}: found {line.strip()}, expected RANGE 'A   1.' 'A  96.' ALL within one chain")
    return match[1], int(match[2]), int(match[4])


def _phenix_ranges(text: str, place: str) -> Iterator[Range]:
    """The parts of a selection that `or` joins."""
    for part in re.split(r"\bor\b", text.replace("(", " ").replace(")", " "), flags=re.IGNORECASE):
        match = _PART.match(" ".join(part.split()))
        if match is None:
            raise DataError(
                f"{place}: found {part.strip()}, expected chain A, or chain A and resseq 1:96, joined by or"
            )
        first = int(match[2]) if match[2] else _FIRST
        last = int(match[3]) if match[3] else first if match[2] else _LAST
        yield match[1], first, last


def tls_records(
    groups: Sequence[Sequence[int]], tensors: Sequence[TlsGroup], labels: AtomLabels
) -> list[gemmi.TlsGroup]:
    """Groups as the headers of model files hold them: T in Å², L in degrees², S in Å degrees, ranges of residues."""
    out = []
    for number, (atoms, found) in enumerate(zip(groups, tensors, strict=True), start=1):
        record = gemmi.TlsGroup()
        record.id, record.origin = str(number), gemmi.Position(*found.origin)
        degrees = np.degrees(1.0)
        record.T = gemmi.SMat33d(*_six(found.t))
        record.L = gemmi.SMat33d(*_six(degrees**2 * found.l))
        record.S = gemmi.Mat33((degrees * found.s).tolist())
        selections = []
        for first, last in _runs(atoms, labels):
            selection = gemmi.TlsGroup.Selection()
            selection.chain = labels.chain[first]
            selection.res_begin = gemmi.SeqId(labels.number[first], labels.insertion[first] or " ")
            selection.res_end = gemmi.SeqId(labels.number[last], labels.insertion[last] or " ")
            selections.append(selection)
        record.selections = selections
        out.append(record)
    return out


def tls_remarks(groups: Sequence[gemmi.TlsGroup]) -> list[str]:
    """TLS DETAILS of REMARK 3 of the PDB format (version 3.3), without the name of the record.

    Units as in `tls_records`. Chains have one character there.
    """
    if not groups:
        return []
    lines = ["", "  TLS DETAILS", f"   NUMBER OF TLS GROUPS  : {len(groups):4d}"]
    for group in groups:
        lines += ["", f"   TLS GROUP : {int(group.id):5d}"]
        lines += [f"    NUMBER OF COMPONENTS GROUP : {len(group.selections):4d}"]
        lines += ["    COMPONENTS        C SSSEQI   TO  C SSSEQI"]
        for part in group.selections:
            first, last = (f"{end.num:6d}{end.icode}" for end in (part.res_begin, part.res_end))
            lines += [f"    RESIDUE RANGE :   {part.chain:1s}{first}       {part.chain:1s}{last}"]
        lines += ["    ORIGIN FOR THE GROUP (A):" + "".join(f"{x:9.4f}" for x in group.origin.tolist())]
        for name, tensor in (("T", group.T), ("L", group.L)):
            six = tensor.elements_pdb()
            pairs = zip(("11", "33", "13"), ("22", "12", "23"), (0, 2, 4), (1, 3, 5), strict=True)
            lines += [f"    {name} TENSOR"]
            lines += [f"      {name}{a}:{six[i]:9.4f} {name}{b}:{six[j]:9.4f}" for a, b, i, j in pairs]
        lines += ["    S TENSOR"]
        for i, row in enumerate(group.S.tolist(), start=1):
            lines += ["      " + " ".join(f"S{i}{j}:{value:9.4f}" for j, value in enumerate(row, start=1))]
    return lines


def _six(tensor: np.ndarray) -> list[float]:
    return [float(tensor[i, j]) for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]


def _runs(atoms: Sequence[int], labels: AtomLabels) -> Iterator[tuple[int, int]]:
    """First and last atom of each stretch of residues that follow each other in the model."""
    keys = list(zip(labels.chain, labels.number, labels.insertion, strict=True))
    place = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    start = before = None
    for atom in sorted(atoms):
        joined = (
            before is not None and keys[atom][0] == keys[before][0] and place[keys[atom]] <= place[keys[before]] + 1
        )
        if start is None or before is None:
            start = atom
        elif not joined:
            yield start, before
            start = atom
        before = atom
    if start is not None and before is not None:
        yield start, before


def _atoms(labels: AtomLabels, chain: str, first: int, last: int) -> list[int]:
    return [
        atom
        for atom, (name, number) in enumerate(zip(labels.chain, labels.number, strict=True))
        if name == chain and first <= number <= last
    ]
