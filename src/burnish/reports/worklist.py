"""Where a person should look first: what is wrong with each residue in one line, the polymer before the solvent."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.reports.page import Block, Note, Section, Table

MOST = 40  # residues in the list
WORST_WATERS = 5  # named in the one line that waters get
POOR_RSCC, HIGH_DIFFERENCE = (
    0.8,
    4.0,
)  # correlation and σ of difference density at an atom from which a residue is named
BAD_OVERLAP = 0.5  # Å of a clash
HIGH_PEAK, REACH = 6.0, 3.5  # σ and Å of a peak or hole near a residue
POLYMER = ("protein", "nucleic")

Reasons = list[tuple[float, str]]


def worklist(record: Mapping[str, Any]) -> Section:
    """Residues by how much is wrong with them: those of the polymer, then ligands, then all waters in one line.

    Parameters
    ----------
    record : of a validation, as `validation.json` has it.
    """
    beside = _beside(record)
    scored: dict[str, list[tuple[float, str, str]]] = {"polymer": [], "ligand": [], "water": []}
    for row in record["by_residue"]:
        reasons = sorted(_reasons(row) + beside.pop(_name(row), []), reverse=True)
        if reasons:
            group = "polymer" if row["kind"] in POLYMER else "water" if row["kind"] == "water" else "ligand"
            found = (sum(weight for weight, _ in reasons), _label(row), "; ".join(text for _, text in reasons))
            scored[group].append(found)
    for found_in in scored.values():
        found_in.sort(key=lambda item: -item[0])
    first = [*scored["polymer"], *scored["ligand"]]
    rows = [[label, f"{score:.1f}", text] for score, label, text in first[:MOST]]
    if scored["water"]:
        rows.append(_waters(scored["water"]))
    blocks: list[Block] = [Note("Nothing stands out.", "good")]
    if rows:
        caption = f"The {MOST} worst of {len(first)} residues." if len(first) > MOST else ""
        blocks = [Table(["Residue", "Weight", "Why"], rows, caption)]
    return Section("Where to look first", blocks)


def _waters(scored: Sequence[tuple[float, str, str]]) -> list[str]:
    """One row for all waters that something is wrong with, the worst of them by name."""
    worst = [f"{label.removesuffix(' HOH')} {text.partition('; ')[0]}" for _, label, text in scored[:WORST_WATERS]]
    others = len(scored) - len(worst)
    text = ", ".join(worst) + (f", and {others} more" if others else "")
    return [f"{len(scored)} water{'s' if len(scored) > 1 else ''}", f"{scored[0][0]:.1f}", text]


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['chain']} {row['number']} {row['name']}"


def _label(row: Mapping[str, Any]) -> str:
    return f"{_name(row)} ({row['altloc']})" if row["altloc"] else _name(row)


def _residue(atom: str) -> str:
    """The residue of an atom: "A 27 LEU" of "A 27 LEU CD1 B"."""
    return " ".join(atom.split()[:3])


def _reasons(row: Mapping[str, Any]) -> Reasons:
    """What the residue's own line of the record says, with weights."""
    reasons: Reasons = []
    if row.get("ramachandran") == "outlier":
        reasons.append((3.0, "Ramachandran outlier"))
    if row.get("rotamer") == "outlier":
        reasons.append((1.5, "rotamer outlier"))
    if row.get("peptide") == "twisted":
        reasons.append((3.0, f"twisted peptide, ω {row['omega_deg']:.0f}°"))
    if row.get("cbeta_deviation", 0.0) >= 0.25:
        reasons.append((2.0, f"Cβ deviation {row['cbeta_deviation']:.2f} Å"))
    if row.get("rscc", 1.0) < POOR_RSCC:
        reasons.append((5.0 * (POOR_RSCC - row["rscc"]) + 1.0, f"RSCC {row['rscc']:.2f}"))
    if abs(row.get("difference_z", 0.0)) > HIGH_DIFFERENCE:
        reasons.append((abs(row["difference_z"]) - 3.0, f"difference density {row['difference_z']:+.1f} σ at an atom"))
    return reasons


def _beside(record: Mapping[str, Any]) -> dict[str, Reasons]:
    """What other lists of the record say of each residue: its worst clash, its highest peak, a side chain to turn."""
    clashes: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for clash in record.get("clashes", ()):
        one, other = _residue(clash["first"]), _residue(clash["second"])
        if clash["overlap"] >= BAD_OVERLAP:
            clashes[one].append((clash["overlap"], other))
            if other != one:
                clashes[other].append((clash["overlap"], one))
    peaks: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for peak in record.get("difference_peaks", ()):
        if abs(peak["sigma"]) >= HIGH_PEAK and peak["distance"] <= REACH:
            peaks[_residue(peak["near"])].append((peak["sigma"], peak["distance"]))
    found: dict[str, Reasons] = defaultdict(list)
    for residue, overlaps in clashes.items():
        overlap, other = max(overlaps)
        more = f" and {len(overlaps) - 1} more" if len(overlaps) > 1 else ""
        text = "with itself" if other == residue else f"with {other}"
        found[residue].append((math.sqrt(len(overlaps)) * 2.0 * overlap, f"clash {text} ({overlap:.1f} Å){more}"))
    for residue, heights in peaks.items():
        sigma, distance = max(heights, key=lambda p: abs(p[0]))
        what = "peak" if sigma > 0 else "hole"
        found[residue].append((0.5 * (abs(sigma) - HIGH_DIFFERENCE), f"{what} {sigma:+.1f} σ {distance:.1f} Å away"))
    for flip in record.get("flips", ()):
        found[_residue(flip["residue"])].append((1.0, f"bonds better turned over, by {flip['gain']:.1f}"))
    return found
