"""Names of results as the field writes them: `r_free` is R-free, `bond_rmsz` bond rms Z."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

WRITTEN = {
    "b": "B",
    "cbeta": "Cβ",
    "cc": "CC",
    "emringer": "EMRinger",
    "fsc": "FSC",
    "guinier": "Guinier",
    "molprobity": "MolProbity",
    "pmax": "Pmax",
    "q": "Q",
    "r": "R",
    "ramachandran": "Ramachandran",
    "rmsz": "rms Z",
    "rscc": "RSCC",
    "tls": "TLS",
}
WHOLE = {  # what the words of a name do not say
    "accuracy_shift": "accuracy of shifts (Å)",
    "accuracy_rotation_deg": "accuracy of rotations (°)",
    "ambiguous": "ambiguous (fraction)",
    "angle_rmsd": "angle rmsd (°)",
    "bond_rmsd": "bond rmsd (Å)",
    "b_factor": "B factor (Å²)",
    "box": "box (voxels)",
    "d_min": "d min (Å)",
    "defocus_change_rms": "defocus change, rms (Å)",
    "defocus_sigma_median": "defocus sigma, median (Å)",
    "outliers": "outlying reflections",
    "pixel_size": "pixel size (Å)",
    "pmax": "mean Pmax",
    "radius": "radius (shells)",
    "sigma_shift": "sigma of shifts (Å)",
    "turned_deg": "turned by (°)",
}
UNITS = {"percent": "(%)", "sigma": "(σ)", "deg": "(°)"}  # where they end a name
SETS = {"work", "free", "complete"}  # R-free, CC-work
OF_SETS = {"R", "CC", "FSC"}


def term(name: str) -> str:
    """A result's name for people.

    >>> term("r_free_start"), term("rotamer_outlier_percent"), term("unmasked_resolution")
    ('R-free start', 'rotamer outlier (%)', 'unmasked resolution (Å)')
    """
    if name in WHOLE:
        return WHOLE[name]
    words = name.split("_")
    written = [WRITTEN.get(word, word) for word in words]
    if len(words) > 1:
        written[-1] = "%" if words[-1] == "percent" and words[-2].isdigit() else UNITS.get(words[-1], written[-1])
    if "resolution" in words:
        written.append("(Å)")
    text = written[0]
    for before, word in pairwise(written):
        text += ("-" if before in OF_SETS and word in SETS else " ") + word
    return text


def number_line(series: str, step: int, values: Mapping[str, float]) -> str:
    """One line of numbers, as the terminal and `run.log` show them; a value that is not there yet is a dash.

    >>> number_line("cycle", 2, {"r_free": 0.1726, "weight": math.nan})
    'cycle   2  R-free 0.1726  weight –'
    """
    numbers = (f"{term(name)} " + ("–" if math.isnan(value) else f"{value:.4g}") for name, value in values.items())
    return f"{series} {step:3d}  " + "  ".join(numbers)
