"""Pages of repeated refinements: complete cross-validation, paired refinement, choice of the displacement model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from burnish.reports.colours import BLUE, GREY, ORANGE
from burnish.reports.figures import as_png, house_style, new_figure
from burnish.reports.page import Block, Note, Numbers, Page, Picture, Section, Table, Text


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100.0 * value:.2f}"


def _signed(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:+.{digits}f}"


def rcomplete_page(record: dict[str, Any]) -> Page:
    """The page of `burnish rcomplete`."""
    final, folds = record["final"], record["folds"]
    numbers = Numbers(
        [
            ("R-complete", f"{_percent(final['r_complete'])} %"),
            ("mean R-work", f"{_percent(final['r_work'])} %"),
            ("R-free by fold", f"{_percent(final['r_free_mean'])} ± {_percent(final['r_free_sd'])} %"),
            ("Reflections", str(final["reflections"])),
        ]
    )
    text = (
        "Each reflection was held out of one refinement; R-complete is the R factor of all of them. The scatter over "
        "the folds is what one free set of that size leaves to chance."
    )
    rows = [
        [str(i), str(f["reflections"]), _percent(f["r_work"]), _percent(f["r_free"])] for i, f in enumerate(folds, 1)
    ]
    shells = [
        [f"{s['d_max']:.2f} – {s['d_min']:.2f}", str(s["reflections"]), _percent(s["r_complete"])]
        for s in record["shells"]
    ]
    return Page(
        title=f"Complete cross-validation of {record['model'].rpartition('/')[2]}",
        lead=f"R-complete is {_percent(final['r_complete'])} %, from {len(folds)} refinements.",
        sections=[
            Section("", [numbers, Text(text)]),
            Section("By resolution", [Table(["Å", "Reflections", "R-complete, %"], shells)]),
            Section("Folds", [Table(["Fold", "Held out", "R-work, %", "R-free, %"], rows)]),
        ],
    )


def paired_page(record: dict[str, Any]) -> Page:
    """The page of `burnish paired`."""
    rows = [
        [f"{p['d_coarse']:g} → {p['d_fine']:g}", _signed(100 * p["r_work"], 2), _signed(100 * p["r_free"], 2),
         _signed(p["free"]["gain"], 4), "–" if p["free"]["error"] is None else f"{p['free']['error']:.4f}",
         "–" if p["shell_cc_free"] is None else f"{p['shell_cc_free']:.2f}", "yes" if p["worthwhile"] else "no"]
        for p in record["pairs"]
    ]  # fmt: skip
    head = [
        "Step, Å",
        "ΔR-work, %",
        "ΔR-free, %",
        "Free likelihood gained",
        "its error",
        "CC-free, new shell",
        "Worthwhile",
    ]
    text = (
        "Both models of a step are compared on the data to the coarser limit. A step is worthwhile when R-free does "
        "not rise there, or the likelihood of the free data does not get worse by more than its error."
    )
    limits = [[f"{x['d_min']:g}", _percent(x["r_work"]), _percent(x["r_free"])] for x in record["limits"]]
    chosen = record["chosen"]
    return Page(
        title=f"Paired refinement of {record['model'].rpartition('/')[2]}",
        lead=f"The data improve the model to {chosen:g} Å.",
        sections=[
            Section(
                "", [Note(f"Resolution limit: {chosen:g} Å.", "good"), _paired_picture(record["pairs"]), Text(text)]
            ),
            Section("Steps", [Table(head, rows)]),
            Section("Refinements, each to its own limit", [Table(["Å", "R-work, %", "R-free, %"], limits)]),
        ],
    )


def _paired_picture(pairs: Sequence[dict[str, Any]]) -> Block:
    with house_style():
        figure, axes = new_figure(7.0, 2.8)
        panel = axes[0]
        x = range(len(pairs))
        panel.axhline(0.0, color=GREY, linewidth=0.8)
        panel.bar([i - 0.18 for i in x], [100 * p["r_work"] for p in pairs], 0.34, color=BLUE, label="R-work")
        panel.bar([i + 0.18 for i in x], [100 * p["r_free"] for p in pairs], 0.34, color=ORANGE, label="R-free")
        panel.set_xticks(list(x), [f"{p['d_coarse']:g} → {p['d_fine']:g}" for p in pairs])
        panel.set_xlabel("Step, Å")
        panel.set_ylabel("Change, %")
        panel.legend(loc="upper right")
        png = as_png(figure)
    return Picture(
        png, "Change of R by adding the next shell, on the data that both models have; down is better.", "Bars"
    )


def bmodel_page(record: dict[str, Any]) -> Page:
    """The page of `burnish bmodel`."""
    models = [
        [m["label"], str(m["parameters"]), str(m["restraints"]), _percent(m["r_work"]), _percent(m["r_free"]),
         "–" if m["free_value"] is None else f"{m['free_value']:.4f}"]
        for m in record["models"]
    ]  # fmt: skip
    labels = {m["name"]: m["label"] for m in record["models"]}
    steps = [
        [f"{labels[s['smaller']]} → {labels[s['larger']]}", f"{s['residual_ratio']:.4f}",
         f"{s['hamilton']} ({100 * s['accepted_share']:.0f} %)", _signed(s["free_gain"], 4),
         "–" if s["free_error"] is None else f"{s['free_error']:.4f}", "yes" if s["taken"] else "no"]
        for s in record["steps"]
    ]  # fmt: skip
    head = ["Step", "Residual ratio", "Hamilton's test", "Free likelihood gained", "its error", "Taken"]
    text = (
        "A larger model is taken where Hamilton's test does not reject it (the percentage: share of the possible "
        "weights of the restraints for which it is justified) and the likelihood of the free data, per reflection, is "
        "better by more than its standard error."
    )
    return Page(
        title=f"Displacement model of {record['model'].rpartition('/')[2]}",
        lead=f"The data pay for: {labels[record['chosen']]}.",
        sections=[
            Section("", [Table(["Model", "Parameters", "Restraints", "R-work, %", "R-free, %", "−log free"], models)]),
            Section("Steps", [Text(text), Table(head, steps)]),
        ],
    )
