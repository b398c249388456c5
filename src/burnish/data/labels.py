"""Names by which people and files know the atoms of a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AtomLabels:
    """Names of each atom, in the order of `Atoms`.

    Attributes
    ----------
    chain : name of the chain.
    number : residue number as the authors gave it.
    insertion : insertion code, "" without one.
    residue_name : component.
    atom_name : name of the atom.
    """

    chain: tuple[str, ...]
    number: tuple[int, ...]
    insertion: tuple[str, ...]
    residue_name: tuple[str, ...]
    atom_name: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.chain)

    def keys(self) -> Iterator[tuple[str, int, str, str, str]]:
        """All names of each atom as one tuple; conformers of one atom share it."""
        return zip(self.chain, self.number, self.insertion, self.residue_name, self.atom_name, strict=True)
