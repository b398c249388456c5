"""The page of automated changes: what was done, on what evidence, and how to take it back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.reports.colours import BLUE, ORANGE
from burnish.reports.figures import as_png, house_style, new_figure
from burnish.reports.page import Block, Note, Page, Picture, Section, Table, Text


def moves_page(
    lines: Sequence[dict[str, Any]],
    rounds: Sequence[dict[str, Any]],
    name: str,
    pictures: Mapping[str, bytes] | None = None,
    folder: str = "",
) -> Page:
    """The page of a rebuilding job.

    Parameters
    ----------
    lines : of `moves.jsonl`.
    rounds : numbers of each round after refinement, the start first; empty for a single rebuilding.
    name : of the model.
    pictures : of moves, as PNG, by the name that a line has under "picture".
    folder : of the job, for the command that takes a move back.
    """
    accepted = [line for line in lines if line["accepted"]]
    sections = []
    if rounds:
        sections.append(Section("Rounds", _round_blocks(rounds)))
    sections.append(Section("Changes", _change_blocks(accepted, folder)))
    shown = [(line, (pictures or {}).get(line.get("picture", ""))) for line in accepted]
    shown.sort(key=lambda pair: _is_water(pair[0]))  # of many waters the few changes of residues would not be found
    drawn = [_picture(line, png, folder) for line, png in shown if png]
    if drawn:
        sections.append(Section("Before and after", [Text(LEGEND), *drawn]))
    rejected = [line for line in lines if not line["accepted"]]
    if rejected:
        rows = [[str(r["round"]), r["kind"], r["residue"], r["why"], r["reason"]] for r in rejected]
        table = Table(
            ["Round", "Move", "Where", "Why tried", "Why not"], rows, "Weighed and left as it was.", more=True
        )
        sections.append(Section("Not changed", [table]))
    counts = Counter(line["kind"] for line in accepted)
    said = ", ".join(f"{count} × {kind}" for kind, count in counts.most_common()) or "nothing"
    return Page(
        title=f"Changes of {name}", lead=f"{len(accepted)} of {len(lines)} moves accepted: {said}.", sections=sections
    )


def _round_blocks(rounds: Sequence[dict[str, Any]]) -> list[Block]:
    known = {"r_work": "R-work", "r_free": "R-free", "fsc_average": "FSC average", "fsc_free": "FSC, half map 2"}
    fit = {name: title for name, title in known.items() if name in rounds[0]}
    head = ["Round", *fit.values(), "Favoured, %", "Rotamer outliers, %", "Clash score", "MolProbity", "Moves", ""]
    rows = [
        [
            str(r["round"]),
            *(f"{r[name]:.4f}" for name in fit),
            f"{r['favoured_percent']:.1f}",
            f"{r['rotamer_outlier_percent']:.1f}",
            f"{r['clashscore']:.1f}",
            f"{r['molprobity_score']:.2f}",
            f"{r['accepted']:.0f}",
            "kept" if r.get("best") else "",
        ]
        for r in rounds
    ]
    picture = Picture(_round_figure(rounds, fit), f"{' and '.join(fit.values())} by round.")
    caption = "After the refinement of each round."
    if "r_free_error" in rounds[0]:
        error = min(rounds, key=lambda r: float(r["r_free"]))["r_free_error"]
        caption += (
            f" R-free is uncertain by about {error:.4f}: of the rounds that lie within that of the lowest, that "
            "with the best MolProbity score is kept."
        )
    return [Table(head, rows, caption), picture]


def _round_figure(rounds: Sequence[dict[str, Any]], fit: dict[str, str]) -> bytes:
    with house_style():
        figure, (left, right) = new_figure(9.0, 3.0, columns=2)
        x = [r["round"] for r in rounds]
        for (name, label), colour in zip(fit.items(), (BLUE, ORANGE), strict=False):
            left.plot(x, [r[name] for r in rounds], marker="o", color=colour, label=label)
        left.margins(y=0.5)  # room above the curves for their names
        left.legend(loc="upper right")
        left.set_title("Agreement")
        right.plot(x, [r["molprobity_score"] for r in rounds], marker="o", color=BLUE)
        right.set_title("MolProbity score")
        for axes in (left, right):
            axes.set_xlabel("round")
            axes.set_xticks(x)
        return as_png(figure)


LEGEND = (
    "2mFo − DFc (of particles: the weighted density) at 1.2 σ in blue, mFo − DFc (observed less calculated) at +3 σ in "
    "green and −3 σ in red; atoms that the move is about have orange "
    "carbons. Left: the model and its maps before the round; right: after all moves of the round, before refinement."
)


def _picture(line: dict[str, Any], png: bytes, folder: str) -> Picture:
    name = f"{line['round']}.{line['move']}"
    caption = (
        f"{name} · {line['kind']} · {line['residue']} · {line['reason']} · burnish undo {folder or 'FOLDER'} {name}"
    )
    return Picture(png, caption, f"{line['residue']} before and after", wide=False)


def _change_blocks(accepted: Sequence[dict[str, Any]], folder: str) -> list[Block]:
    if not accepted:
        return [Note("Nothing was changed.", "good")]
    conformations = [line for line in accepted if not _is_water(line)]
    waters = [line for line in accepted if _is_water(line)]
    blocks: list[Block] = []
    if conformations:
        head = ["Move", "Kind", "Where", "Why tried", "What it gained"]
        rows = [[f"{c['round']}.{c['move']}", c["kind"], c["residue"], c["why"], c["reason"]] for c in conformations]
        caption = ""
        if any(densities := [_density(c) for c in conformations]):
            head.append("Density, σ")
            rows = [[*row, density] for row, density in zip(rows, densities, strict=True)]
            caption = "Energies in units of −log probability: density or the data, restraints, contacts, torsions."
        blocks.append(Table(head, rows, caption))
    if waters:
        rows = [[f"{w['round']}.{w['move']}", w["kind"], w["residue"], w["reason"]] for w in waters]
        title = f"{len(waters)} waters added or dropped."
        blocks.append(Table(["Move", "Kind", "Where", "Evidence"], rows, title, more=True))
    blocks.append(
        Text(
            f"A move is taken back by its name: burnish undo {folder or 'FOLDER'} "
            f"{accepted[0]['round']}.{accepted[0]['move']}. moves.jsonl holds what that needs: the former positions of "
            "atoms that were moved, the atoms that were added, and those that were removed."
        )
    )
    return blocks


def _is_water(line: dict[str, Any]) -> bool:
    return bool(line["kind"].startswith("water"))


def _density(line: dict[str, Any]) -> str:
    if line["before"] is None or line["after"] is None:
        return ""
    return f"{line['before']['mean_density']:.1f} → {line['after']['mean_density']:.1f}"
