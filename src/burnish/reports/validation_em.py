"""The part of a validation page that compares a model with maps of a particle."""

from __future__ import annotations

from typing import Any

import numpy as np

from burnish.reports.colours import BLUE, GREY, INK, ORANGE, RED, SOFT
from burnish.reports.figures import as_png, house_style, new_figure, resolution_axis
from burnish.reports.page import Block, Note, Numbers, Picture, Section, Table

LOW_Q = 0.15  # below the expected Q-score: such a residue is worth a look
OVERFITTED = 0.03  # gap of the averages that is worth a warning


def map_section(record: dict[str, Any]) -> Section:
    """Model and map in Fourier space and in real space.

    Parameters
    ----------
    record : the whole record of a validation, with `map` and `by_residue`.
    """
    found = record["map"]
    blocks: list[Block] = [_numbers(found), *_notes(found)]
    blocks += [Picture(_fsc_figure(found["fsc"]), _fsc_caption(found["fsc"]), "FSC of model and map")]
    if found["emringer"]["scan"]:
        blocks.append(
            Picture(_ringer_figure(record), _ringer_caption(found["emringer"]), "EMRinger: angles and threshold scan")
        )
    blocks.append(Picture(_inclusion_figure(found["atom_inclusion"]), _inclusion_caption(found), "Atom inclusion"))
    chains: dict[str, list[dict[str, Any]]] = {}
    for row in record["by_residue"]:
        if row["kind"] in ("protein", "nucleic") and row.get("q_score") is not None:
            chains.setdefault(row["chain"], []).append(row)
    for chain, rows in chains.items():
        mean = found["q_score"]["by_chain"].get(chain)
        caption = (
            f"Chain {chain}: Q-score of each residue, mean {mean:.3f}. The line is what this resolution lets expect."
        )
        blocks.append(Picture(_q_figure(rows, found["q_score"]["expected"]), caption, f"Q-scores of chain {chain}"))
    blocks += _tables(record)
    return Section("Model and map", blocks)


def _numbers(found: dict[str, Any]) -> Numbers:
    fsc, ringer = found["fsc"], found["emringer"]
    items = [
        ("FSC average", f"{fsc['average']:.3f}"),
        ("FSC above .5 / .143 to", f"{_shown(fsc['resolution_0.5'])} / {_shown(fsc['resolution_0.143'])} Å"),
        ("CC mask", _shown(found["cc"]["cc_mask"])),
        (f"Q-score (expected {found['q_score']['expected']:.2f})", _shown(found["q_score"]["mean"])),
        ("EMRinger", _shown(ringer["score"])),
        ("atoms inside", f"{_shown(found['atom_inclusion']['all_percent'])} %"),
    ]
    if "cross_validation" in found:
        both = found["cross_validation"]
        items.append(("FSC work / free", f"{both['fsc_work']:.3f} / {both['fsc_free']:.3f}"))
    return Numbers(items)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _notes(found: dict[str, Any]) -> list[Block]:
    both = found.get("cross_validation")
    if both is None:
        return []
    gap = both["fsc_work"] - both["fsc_free"]
    text = (
        f"Shaken and refined against half map 1 alone, the model correlates {both['fsc_work']:.3f} with it and "
        f"{both['fsc_free']:.3f} with half map 2: "
    )
    if gap > OVERFITTED:
        return [Note(text + f"{gap:.3f} of it is fitted noise.", "warning")]
    return [Note(text + "no sign of overfitting.", "good")]


def _fsc_figure(fsc: dict[str, Any]) -> bytes:
    with house_style():
        figure, (axes,) = new_figure(8.0, 3.6)
        axes.plot(fsc["s"], fsc["model_map"], color=INK, lw=2.2, label="model and map")
        if fsc["half_maps"] is not None:
            axes.plot(fsc["s"], fsc["half_maps"], color=BLUE, label="half maps, near the model")
        for level in (0.5, 0.143):
            axes.axhline(level, color=GREY, lw=0.8, ls=":")
        axes.set(ylabel="FSC", ylim=(-0.1, 1.03))
        resolution_axis(axes)
        axes.legend(loc="lower left")
        return as_png(figure)


def _fsc_caption(fsc: dict[str, Any]) -> str:
    levels = ("0.5", "0.143")
    lowest = min(fsc["model_map"])
    falls = [f"{k} at {_shown(fsc[f'resolution_{k}'])} Å" for k in levels if lowest < float(k)]
    stays = [k for k in levels if lowest >= float(k)]
    said = [f"falls to {' and to '.join(falls)}"] if falls else []
    said += [f"stays above {' and '.join(stays)} to its end, {1.0 / fsc['s'][-1]:.2f} Å"] if stays else []
    return f"The correlation of model and map {' and '.join(said)}."


def _ringer_figure(record: dict[str, Any]) -> bytes:
    """Angles of the peaks above the best threshold, and the score over all thresholds."""
    ringer = record["map"]["emringer"]
    rows = [r for r in record["by_residue"] if "ringer_deg" in r and r["ringer_height"] > ringer["threshold"]]
    with house_style():
        figure, axes = new_figure(10.0, 3.2, columns=2)
        for verdict, colour in ((True, BLUE), (False, ORANGE)):
            angles = [r["ringer_deg"] % 360.0 for r in rows if r["ringer_rotameric"] is verdict]
            axes[0].hist(angles, bins=np.arange(0.0, 361.0, 10.0).tolist(), color=colour)
        for centre in (60, 180, 300):
            axes[0].axvline(centre, color=SOFT, lw=0.8, ls=":")
        axes[0].set(xlabel="χ₁ of the highest density, °", ylabel="side chains", xticks=range(0, 361, 60))
        axes[1].plot([s["threshold"] for s in ringer["scan"]], [s["score"] for s in ringer["scan"]], color=INK)
        axes[1].axvline(ringer["threshold"], color=SOFT, lw=0.8, ls=":")
        axes[1].set(xlabel="density threshold", ylabel="score")
        return as_png(figure)


def _ringer_caption(ringer: dict[str, Any]) -> str:
    return (
        f"EMRinger: {ringer['rotameric_percent']:.0f} % of the peaks above {ringer['threshold']:.3g} lie at rotamers "
        f"(blue; 54 % by chance); score {ringer['score']:.2f} over {ringer['residues']} side chains."
    )


def _inclusion_figure(inclusion: dict[str, Any]) -> bytes:
    levels, shares = zip(*inclusion["curve"], strict=True)
    with house_style():
        figure, (axes,) = new_figure(8.0, 2.6)
        axes.plot(levels, [100.0 * s for s in shares], color=INK)
        axes.axvline(inclusion["contour"], color=RED, lw=0.9, ls=":")
        axes.set(xlabel="contour level", ylabel="atoms inside, %", ylim=(0, 103))
        return as_png(figure)


def _inclusion_caption(found: dict[str, Any]) -> str:
    inside = found["atom_inclusion"]
    return (
        f"At the contour {inside['contour']:.3g} (dotted) {_shown(inside['all_percent'])} % of all atoms and "
        f"{_shown(inside['backbone_percent'])} % of the backbone lie inside the map."
    )


def _q_figure(rows: list[dict[str, Any]], expected: float) -> bytes:
    with house_style():
        figure, (axes,) = new_figure(11.0, 2.2)
        values = [r["q_score"] for r in rows]
        axes.bar(range(len(rows)), values, width=0.9, color=[RED if v < expected - LOW_Q else GREY for v in values])
        axes.axhline(expected, color=INK, lw=0.9, ls=":")
        step = max(1, len(rows) // 20)
        axes.set_xticks(range(0, len(rows), step), [rows[k]["number"] for k in range(0, len(rows), step)], fontsize=7.5)
        axes.set(xlim=(-1, len(rows)), ylabel="Q-score", ylim=(min(0.0, *values), 1.0))
        return as_png(figure)


def _tables(record: dict[str, Any]) -> list[Block]:
    found = record["map"]
    cc = found["cc"]
    rows = [
        ["near the model (mask)", _shown(cc["cc_mask"])],
        ["highest of the model's density (volume)", _shown(cc["cc_volume"])],
        ["highest of either (peaks)", _shown(cc["cc_peaks"])],
        ["whole box", _shown(cc["cc_box"])],
    ]
    blocks: list[Block] = [Table(["Points", "Correlation"], rows, "Map and model in real space.")]
    expected = found["q_score"]["expected"]
    poor = [r for r in record["by_residue"] if r.get("q_score") is not None and r["q_score"] < expected - LOW_Q]
    poor.sort(key=lambda r: float(r["q_score"]))
    if poor:
        lines = [
            [f"{r['chain']} {r['number']} {r['name']}", f"{r['q_score']:.2f}", f"{100 * r['inclusion']:.0f}",
             f"{r['rscc']:.2f}" if "rscc" in r else ""]
            for r in poor[:60]
        ]  # fmt: skip
        caption = f"Residues with a Q-score more than {LOW_Q} below what is expected at {found['resolution']:g} Å."
        blocks.append(Table(["Residue", "Q-score", "Atoms inside, %", "RSCC"], lines, caption, more=len(lines) > 12))
    return blocks
