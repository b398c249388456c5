"""Names of results as the field writes them: `r_free` is R-free, `bond_rmsz` bond rms Z."""

from __future__ import annotations

from itertools import pairwise

WRITTEN = {
    "b": "B",
    "cbeta": "Cβ",
    "cc": "CC",
    "emringer": "EMRinger",
    "fsc": "FSC",
    "molprobity": "MolProbity",
    "q": "Q",
    "r": "R",
    "ramachandran": "Ramachandran",
    "rmsz": "rms Z",
    "rscc": "RSCC",
    "tls": "TLS",
}
UNITS = {"percent": "(%)", "sigma": "(σ)", "deg": "(°)"}  # where they end a name
SETS = {"work", "free", "complete"}  # R-free, CC-work
OF_SETS = {"R", "CC", "FSC"}


def term(name: str) -> str:
    """A result's name for people.

    >>> term("r_free_start"), term("rotamer_outlier_percent")
    ('R-free start', 'rotamer outlier (%)')
    """
    words = name.split("_")
    written = [WRITTEN.get(word, word) for word in words]
    if len(words) > 1:
        written[-1] = UNITS.get(words[-1], written[-1])
    text = written[0]
    for before, word in pairwise(written):
        text += ("-" if before in OF_SETS and word in SETS else " ") + word
    return text
