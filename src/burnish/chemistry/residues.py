"""The residues of a model by conformer: atom indices by name, and who is bonded to whom along the chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import gemmi

Kind = Literal["protein", "nucleic", "water", "other"]
MAX_PEPTIDE_BOND = 2.5  # Å; a longer C–N is a gap in the chain for purposes of validation


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidueView:
    """One conformer of one residue.

    Attributes
    ----------
    chain : name of its chain.
    number : sequence number with insertion code.
    name : three-letter code.
    altloc : letter of the conformer; "" where there is one only.
    is_primary : the first conformer of the residue, which counts in percentages.
    kind : what it is.
    atoms : index of each atom by name, hydrogens among them; of the atoms without a letter and those with `altloc`.
    elements : element symbol of each atom by name.
    previous, next : index of the residue before and after it along the polymer, −1 where there is none.
    residue : index of the residue in the model, the same for all its conformers.
    """

    chain: str
    number: str
    name: str
    altloc: str
    is_primary: bool
    kind: Kind
    atoms: Mapping[str, int]
    elements: Mapping[str, str]
    previous: int
    next: int
    residue: int

    @property
    def label(self) -> str:
        """Chain, number and name as a person writes them: "A 27 LEU" or "A 27 LEU (B)"."""
        text = f"{self.chain} {self.number} {self.name}"
        return f"{text} ({self.altloc})" if self.altloc else text

    def indices(self, *names: str) -> tuple[int, ...] | None:
        """Indices of the atoms of these names, or None where one is missing."""
        if any(n not in self.atoms for n in names):
            return None
        return tuple(self.atoms[n] for n in names)


def residue_views(model: gemmi.Model) -> tuple[ResidueView, ...]:
    """List every residue of a model by conformer, atoms numbered in file order."""
    drafts: list[dict] = []
    positions: list[dict[str, gemmi.Position]] = []
    index = 0
    n_residue = -1
    for chain in model:
        for residue in chain:
            n_residue += 1
            letters = sorted({a.altloc for a in residue if a.altloc != "\0"})
            for k, letter in enumerate(letters or [""]):
                chosen = [(index + i, a) for i, a in enumerate(residue) if a.altloc in ("\0", letter)]
                drafts.append(
                    {
                        "chain": chain.name,
                        "number": str(residue.seqid),
                        "name": residue.name,
                        "altloc": letter,
                        "is_primary": k == 0,
                        "kind": _kind(residue),
                        "atoms": {a.name: i for i, a in chosen},
                        "elements": {a.name: a.element.name for _, a in chosen},
                        "residue": n_residue,
                    }
                )
                positions.append({a.name: a.pos for _, a in chosen})
            index += len(residue)
    return _connected(drafts, positions)


def _kind(residue: gemmi.Residue) -> Kind:
    if residue.is_water():
        return "water"
    known = gemmi.find_tabulated_residue(residue.name)
    names = {a.name for a in residue}
    if known.is_amino_acid() or {"N", "CA", "C", "O"} <= names:
        return "protein"
    if known.is_nucleic_acid() or {"C1'", "C3'", "C4'"} <= names:
        return "nucleic"
    return "other"


def _connected(drafts: list[dict], positions: list[dict[str, gemmi.Position]]) -> tuple[ResidueView, ...]:
    """Find the neighbours along the chain: the conformer with the same letter, else the first."""
    by_residue: dict[int, list[int]] = {}
    for i, draft in enumerate(drafts):
        by_residue.setdefault(draft["residue"], []).append(i)
    previous, following = [-1] * len(drafts), [-1] * len(drafts)
    bond = {"protein": ("C", "N", MAX_PEPTIDE_BOND), "nucleic": ("O3'", "P", 2.6)}
    for first in by_residue:
        second = first + 1
        if second not in by_residue:
            continue
        for i in by_residue[first]:
            match = _partner(drafts, by_residue[second], drafts[i]["altloc"])
            if _bonded(drafts, positions, i, match, bond):
                following[i] = match
        for j in by_residue[second]:
            match = _partner(drafts, by_residue[first], drafts[j]["altloc"])
            if _bonded(drafts, positions, match, j, bond):
                previous[j] = match
    return tuple(
        ResidueView(**draft, previous=before, next=after)
        for draft, before, after in zip(drafts, previous, following, strict=True)
    )


def _partner(drafts: list[dict], candidates: list[int], letter: str) -> int:
    return next((c for c in candidates if drafts[c]["altloc"] == letter), candidates[0])


def _bonded(
    drafts: list[dict],
    positions: list[dict[str, gemmi.Position]],
    first: int,
    second: int,
    bond: Mapping[str, tuple[str, str, float]],
) -> bool:
    one, two = drafts[first], drafts[second]
    if one["chain"] != two["chain"] or one["kind"] != two["kind"] or one["kind"] not in bond:
        return False
    tail, head, reach = bond[one["kind"]]
    a, b = positions[first].get(tail), positions[second].get(head)
    return a is not None and b is not None and a.dist(b) < reach
