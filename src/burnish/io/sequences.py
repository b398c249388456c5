"""Sequences of the molecules in a sample, from FASTA or PIR files."""

from __future__ import annotations

from pathlib import Path

import gemmi

from burnish.core.errors import DataError, InputError


def read_sequences(path: Path) -> tuple[tuple[str, ...], ...]:
    """Three-letter codes of every protein sequence of a FASTA or PIR file; modified residues as "(MSE)"."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a FASTA or PIR file") from None
    try:
        entries = gemmi.read_pir_or_fasta(text)
        found = tuple(
            tuple(gemmi.expand_one_letter_sequence(entry.seq, gemmi.ResidueKind.AA)) for entry in entries if entry.seq
        )
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{path}: {error}; one-letter codes of amino acids were expected in FASTA or PIR") from None
    if not found:
        raise DataError(f"{path}: no sequence in it; one-letter codes after a line that begins with > were expected")
    return found
