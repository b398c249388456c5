"""Sequences of the polymers: from FASTA aligned to the model, from the file, else what the model shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gemmi

from burnish.core.errors import DataError
from burnish.core.events import Message
from burnish.io.reflection_table import read_bytes

LEAST_IDENTITY = 70.0  # %, of the aligned residues: below, a sequence is of something else
KINDS = {
    gemmi.PolymerType.PeptideL: gemmi.ResidueKind.AA,
    gemmi.PolymerType.PeptideD: gemmi.ResidueKind.AA,
    gemmi.PolymerType.Dna: gemmi.ResidueKind.DNA,
    gemmi.PolymerType.Rna: gemmi.ResidueKind.RNA,
    gemmi.PolymerType.DnaRnaHybrid: gemmi.ResidueKind.DNA,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequenced:
    """What became of the sequences.

    Attributes
    ----------
    structure : a copy with full sequences, sequence numbers, and asym and entity ids in the order of the PDB.
    from_model : names of chains whose sequence is only what the model shows.
    entity_ids : old entity id → new one.
    messages : mismatches and sequences that fit nothing.
    """

    structure: gemmi.Structure
    from_model: tuple[str, ...]
    entity_ids: dict[str, str]
    messages: tuple[Message, ...]


def read_sequences(paths: Sequence[Path]) -> list[tuple[str, str]]:
    """Read FASTA or PIR files: (header, one-letter sequence) of each."""
    found = []
    for path in paths:
        text = read_bytes(path).decode("utf-8", errors="replace")
        try:
            entries = gemmi.read_pir_or_fasta(text)
        except (RuntimeError, ValueError) as error:
            why = " ".join(str(error).split())
            raise DataError(f"{path}: no FASTA ({why}); expected > header, then letters") from None
        for entry in entries:
            letters = "".join(entry.seq.split()).rstrip("*")
            if not letters:
                raise DataError(f"{path}: sequence {entry.header or '(no header)'} is empty; remove it")
            found.append((entry.header, letters))
    return found


def with_sequences(structure: gemmi.Structure, sequences: Sequence[tuple[str, str]]) -> Sequenced:
    """Give each polymer its full sequence, and all residues their place in it.

    Parameters
    ----------
    structure : entities set up; it is not changed.
    sequences : (header, letters); each polymer takes the one that fits best, several may take the same.
    """
    model = structure.clone()
    model.setup_entities()
    messages: list[Message] = []
    from_model: list[str] = []
    used: set[int] = set()
    for entity in model.entities:
        if entity.entity_type != gemmi.EntityType.Polymer:
            continue
        polymer = _span(model, entity)
        best = _best(polymer, entity.polymer_type, sequences)
        if best is not None:
            index, full, result = best
            used.add(index)
            entity.full_sequence = full
            messages += _differences(polymer, entity, full, result, sequences[index][0])
        elif not entity.full_sequence:
            entity.full_sequence = [group[0].name for group in polymer.residue_groups()]
            from_model.append(_chains(model, entity))
    for index, (header, _) in enumerate(sequences):
        if index not in used:
            text = f"sequence {header or index + 1}: no polymer of the model is {LEAST_IDENTITY:g} % alike; not used"
            messages.append(Message(text, "warning"))
    if sequences:
        model.deduplicate_entities()  # chains that now have one sequence
    model.assign_label_seq_id(True)
    ids = _rename(model)
    return Sequenced(structure=model, from_model=tuple(from_model), entity_ids=ids, messages=tuple(messages))


def _span(model: gemmi.Structure, entity: gemmi.Entity) -> gemmi.ResidueSpan:
    """The longest of an entity's copies: its gaps are the fewest."""
    spans = [chain.get_polymer() for chain in model[0]]
    own = [s for s in spans if len(s) and s[0].subchain in entity.subchains]
    if not own:
        raise DataError(f"{model.name}: entity {entity.name} has no residues; write the model again")
    return max(own, key=len)


def _chains(model: gemmi.Structure, entity: gemmi.Entity) -> str:
    return ",".join(c.name for c in model[0] if any(r.subchain in entity.subchains for r in c))


def _best(
    polymer: gemmi.ResidueSpan, kind: gemmi.PolymerType, sequences: Sequence[tuple[str, str]]
) -> tuple[int, list[str], gemmi.AlignmentResult] | None:
    """Index, residue names and alignment of the sequence that fits best, None when none fits."""
    found = []
    for index, (_, letters) in enumerate(sequences):
        try:
            full = gemmi.expand_one_letter_sequence(letters, KINDS.get(kind, gemmi.ResidueKind.AA))
        except (RuntimeError, ValueError):
            continue  # letters of another kind of polymer
        result = gemmi.align_sequence_to_polymer(full, polymer, kind, gemmi.AlignmentScoring("p"))
        if result.calculate_identity() >= LEAST_IDENTITY:
            found.append((result.score, -index, full, result))
    if not found:
        return None
    _, index, full, result = max(found, key=lambda f: f[:2])
    return -index, full, result


def _differences(
    polymer: gemmi.ResidueSpan,
    entity: gemmi.Entity,
    full: Sequence[str],
    result: gemmi.AlignmentResult,
    header: str,
) -> list[Message]:
    """Residues of the model that are not what the sequence says, and what lies outside of it."""
    groups = [group[0] for group in polymer.residue_groups()]
    wrong, outside = [], 0
    in_full = in_model = 0
    for length, code in _steps(result.cigar_str()):
        for _ in range(length):
            if code == "M":
                residue = groups[in_model]
                if residue.name != full[in_full] and residue.name != "MSE":
                    wrong.append(f"{residue.name} {residue.seqid} ({full[in_full]} in the sequence)")
            elif code == "D":
                outside += 1
            in_full += code in "MI"
            in_model += code in "MD"
    messages = []
    name = header or f"of entity {entity.name}"
    if wrong:
        shown = ", ".join(wrong[:6]) + (" …" if len(wrong) > 6 else "")
        text = (
            f"sequence {name}: {len(wrong)} residues differ from it: {shown}; mutate the model or give its own sequence"
        )
        messages.append(Message(text, "warning"))
    if outside:
        messages.append(Message(f"sequence {name}: {outside} residues of the model are not in it", "warning"))
    return messages


def _steps(cigar: str) -> list[tuple[int, str]]:
    steps, digits = [], ""
    for letter in cigar:
        if letter.isdigit():
            digits += letter
        else:
            steps.append((int(digits or 1), letter))
            digits = ""
    return steps


def _rename(model: gemmi.Structure) -> dict[str, str]:
    """Asym ids A, B, … Z, AA …: polymers of all chains first, then ligands, then waters; entities 1, 2, …"""
    order = {gemmi.EntityType.Polymer: 0, gemmi.EntityType.Branched: 1, gemmi.EntityType.NonPolymer: 2}
    kinds: dict[str, int] = {}
    for chain in model[0]:
        for residue in chain:
            kinds.setdefault(residue.subchain, order.get(residue.entity_type, 3))
    new = {old: _letters(i) for i, old in enumerate(sorted(kinds, key=kinds.__getitem__))}
    numeric = all(e.name.isdigit() for e in model.entities)
    ids: dict[str, str] = {}
    for i, entity in enumerate(model.entities, start=1):
        ids[entity.name] = entity.name if numeric else str(i)
        entity.name = ids[entity.name]
        entity.subchains = [new[s] for s in entity.subchains if s in new]
    for chain in model[0]:
        for residue in chain:
            residue.subchain = new[residue.subchain]
            residue.entity_id = ids.get(residue.entity_id, residue.entity_id)
    return ids


def _letters(index: int) -> str:
    text = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        text = chr(ord("A") + rest) + text
    return text
