"""Where the residues of a chain stand in the sequence of the sample: gaps, missing ends, residues of another kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gemmi

LEAST_IDENTITY = 0.7  # of the residues of a chain with a sequence that is taken for its own


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedChain:
    """A chain against its sequence.

    Attributes
    ----------
    name : of the chain.
    sequence : three-letter codes of the whole molecule.
    residues : index in file order of each residue of the polymer. n
    positions : where each stands in `sequence`, from 0. n
    """

    name: str
    sequence: tuple[str, ...]
    residues: tuple[int, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Residues that are missing between two that are there.

    Attributes
    ----------
    before, after : index in file order of the residues on both sides.
    names : three-letter codes of the missing ones.
    numbers : their sequence numbers.
    """

    before: int
    after: int
    names: tuple[str, ...]
    numbers: tuple[int, ...]


def place_chains(structure: gemmi.Structure, sequences: Sequence[Sequence[str]] = ()) -> tuple[PlacedChain, ...]:
    """Align every protein chain with its sequence.

    Parameters
    ----------
    structure : its entities set up; their sequences are used where none are given.
    sequences : three-letter codes of the molecules in the sample; each chain takes the one that it is most like.
    """
    placed = []
    first = 0
    for chain in structure[0]:
        polymer = chain.get_polymer()
        kind = polymer.check_polymer_type() if len(polymer) else gemmi.PolymerType.Unknown
        if kind in (gemmi.PolymerType.PeptideL, gemmi.PolymerType.PeptideD):
            choices = [list(s) for s in sequences] or _own_sequence(structure, polymer)
            best = max((_align(chain, polymer, kind, s, first) for s in choices), key=_identical, default=None)
            if best is not None and _identical(best) >= 0:
                placed.append(best[0])
        first += len(chain)
    return tuple(placed)


def _own_sequence(structure: gemmi.Structure, polymer: gemmi.ResidueSpan) -> list[list[str]]:
    entity = structure.get_entity_of(polymer)
    if entity is None or not entity.full_sequence:
        return []
    return [[gemmi.Entity.first_mon(name) for name in entity.full_sequence]]


def _identical(found: tuple[PlacedChain, float]) -> float:
    return found[1] if found[1] >= LEAST_IDENTITY else -1.0


def _align(
    chain: gemmi.Chain, polymer: gemmi.ResidueSpan, kind: gemmi.PolymerType, sequence: list[str], first: int
) -> tuple[PlacedChain, float]:
    """A chain against one sequence, and the share of its residues that are as there."""
    result = gemmi.align_sequence_to_polymer(sequence, polymer, kind, gemmi.AlignmentScoring())
    whole = result.add_gaps("".join("x" for _ in sequence), 1)
    there = result.add_gaps("".join("x" for _ in polymer), 2)
    index = {str(residue.seqid): first + k for k, residue in enumerate(chain)}
    codes = [(index[str(r.seqid)], r.name) for r in polymer]
    residues, positions, at, row = [], [], 0, 0
    for one, other in zip(whole, there, strict=True):
        if one == "x" and other == "x":
            residues.append(codes[row][0])
            positions.append(at)
        at += one == "x"
        row += other == "x"
    named = dict(codes)
    same = sum(_alike(named[r], sequence[p]) for r, p in zip(residues, positions, strict=True))
    placed = PlacedChain(
        name=chain.name, sequence=tuple(sequence), residues=tuple(residues), positions=tuple(positions)
    )
    return placed, same / max(len(codes), 1)


def _alike(name: str, wanted: str) -> bool:
    """Whether two codes are of the same amino acid, modified ones counting as what they come from."""
    one, other = (gemmi.find_tabulated_residue(n).one_letter_code.upper() for n in (name, wanted))
    return name == wanted or (one == other and one != " ")


def differs(name: str, wanted: str) -> bool:
    """Whether a residue is not what the sequence says."""
    return not _alike(name, wanted)


def find_gaps(placed: PlacedChain, numbers: Mapping[int, int], longest: int) -> tuple[tuple[Gap, ...], tuple[str, ...]]:
    """Gaps of a chain that may be closed, and words about those that may not.

    Parameters
    ----------
    placed : the chain.
    numbers : sequence number of each residue by its index in file order.
    longest : number of residues of the longest gap to be closed.
    """
    gaps, words = [], []
    for k in range(len(placed.residues) - 1):
        here, there = placed.positions[k], placed.positions[k + 1]
        missing = there - here - 1
        if missing <= 0:
            continue
        before, after = placed.residues[k], placed.residues[k + 1]
        between = f"{placed.name} {numbers[before]} – {numbers[after]}"
        if missing > longest:
            words.append(f"{between}: {missing} residues missing, more than {longest}")
        elif numbers[after] - numbers[before] - 1 != missing:
            words.append(f"{between}: {missing} residues missing, but the numbering leaves room for another count")
        else:
            gaps.append(
                Gap(
                    before=before,
                    after=after,
                    names=placed.sequence[here + 1 : there],
                    numbers=tuple(range(numbers[before] + 1, numbers[after])),
                )
            )
    return tuple(gaps), tuple(words)
