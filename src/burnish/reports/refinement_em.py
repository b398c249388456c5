"""The report of a refinement against maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.reports.charts import Chart, Curve, as_svg
from burnish.reports.colours import BLUE, GREEN, INK, ORANGE
from burnish.reports.page import Block, Note, Numbers, Page, Picture, Section, Table
from burnish.reports.refinement_figures import b_figure, geometry_figure

OVERFITTED = 0.03  # gap of the average correlations with the two half maps that is worth a warning
TOO_CLOSE = 0.01  # average correlation with the map above what a model without errors would have, worth a warning


@dataclass(frozen=True, slots=True, kw_only=True)
class EmReport:
    """What the report tells.

    Attributes
    ----------
    cycles : numbers by name of every cycle, the start first.
    s : centre of each shell, Å⁻¹.
    counts : coefficients in each shell.
    fsc_model : of model and map by shell.
    fsc_halves : of the half maps in the mask, None from one map.
    fsc_work, fsc_free : of a model refined against half map 1 with half maps 1 and 2, None if not asked for.
    fsc_expected : of a model without errors with the map, from `fsc_halves`.
    expected_average : the same, averaged.
    averages : of `fsc_work` and `fsc_free`.
    b : of the atoms, Å².
    """

    model: str
    maps: Sequence[str]
    resolution: float
    cycles: Sequence[Mapping[str, float]]
    s: Sequence[float]
    counts: Sequence[int]
    fsc_model: Sequence[float]
    fsc_halves: Sequence[float] | None
    fsc_work: Sequence[float] | None
    fsc_free: Sequence[float] | None
    fsc_average: float
    fsc_expected: Sequence[float] | None
    expected_average: float | None
    averages: tuple[float, float] | None
    b: Sequence[float]
    warnings: Sequence[str]
    interrupted: bool


def em_refinement_page(report: EmReport) -> Page:
    """The report as a page."""
    first, count = report.cycles[0], int(report.cycles[-1]["cycle"])
    fsc, course = _fsc_figure(report), _course_figure(report.cycles)
    geometry, b_values = geometry_figure(report.cycles), b_figure(report.b, [])
    return Page(
        title=f"Refinement of {report.model}",
        lead=(
            f"Average model–map correlation {first['cc_work']:.3f} → {report.fsc_average:.3f} to "
            f"{report.resolution:g} Å in {count} cycle{'' if count == 1 else 's'} against {', '.join(report.maps)}."
        ),
        sections=[
            Section("", [*_notes(report), _numbers(report)]),
            Section("Model and map by resolution", [Picture(fsc, _fsc_caption(report)), _shell_table(report)]),
            Section("Course of the refinement", [Picture(course, "FSC average by cycle; cycle 0 is the start.")]),
            Section("Geometry", [Picture(geometry, "rms Z of bonds and angles, and the weight of the data.")]),
            Section("B factors", [Picture(b_values, "B of the atoms; the last bar holds all above it.")]),
        ],
    )


def _notes(report: EmReport) -> list[Block]:
    notes: list[Block] = []
    if report.interrupted:
        notes.append(Note("Ended by the user: these are the results of the last complete cycle.", "warning"))
    if report.averages is not None:
        gap = report.averages[0] - report.averages[1]
        verdict = (
            f"Refined against half map 1 alone, the model correlates {report.averages[0]:.3f} with it and "
            f"{report.averages[1]:.3f} with half map 2, which it never saw: "
        )
        if gap > OVERFITTED:
            remedy = "lower --closeness, or --weight"
            notes.append(Note(verdict + f"{gap:.3f} of it is fitted noise; {remedy}.", "warning"))
        else:
            notes.append(Note(verdict + "no sign of overfitting.", "good"))
    if report.expected_average is not None and report.fsc_average > report.expected_average + TOO_CLOSE:
        text = (
            f"The model correlates {report.fsc_average:.3f} with the map, a model without errors would "
            f"{report.expected_average:.3f}: what lies above that is fitted noise."
        )
        notes.append(Note(text, "warning"))
    notes += [Note(text, "warning") for text in report.warnings[:12]]
    return notes


def _numbers(report: EmReport) -> Numbers:
    last = report.cycles[-1]
    return Numbers(
        [
            ("FSC average", f"{report.fsc_average:.4f}"),
            *([("FSC work / free", "{:.3f} / {:.3f}".format(*report.averages))] if report.averages else []),
            *([("expected without errors", f"{report.expected_average:.4f}")] if report.expected_average else []),
            ("bonds, rmsd (rms Z)", f"{last['bond_rmsd']:.4f} Å ({last['bond_rmsz']:.2f})"),
            ("angles, rmsd (rms Z)", f"{last['angle_rmsd']:.2f}° ({last['angle_rmsz']:.2f})"),
        ]
    )


def _fsc_figure(report: EmReport) -> bytes:
    curves = [Curve(x=report.s, y=report.fsc_model, colour=INK, width=2.2, label="model and map")]
    if report.fsc_halves is not None:
        curves.append(Curve(x=report.s, y=report.fsc_halves, colour=BLUE, label="half maps, near the model"))
    if report.fsc_expected is not None:
        label = "expected of a model without errors"
        curves.append(Curve(x=report.s, y=report.fsc_expected, colour=BLUE, width=1.0, dashed=True, label=label))
    if report.fsc_work is not None and report.fsc_free is not None:
        curves.append(Curve(x=report.s, y=report.fsc_work, colour=GREEN, width=1.2, label="work: half map 1"))
        curves.append(Curve(x=report.s, y=report.fsc_free, colour=ORANGE, width=1.2, label="free: half map 2"))
    chart = Chart(curves=curves, levels=(0.5, 0.143), y_label="FSC", y_limits=(-0.05, 1.03), resolution=True)
    return as_svg((chart,), 8.0, 3.8)


def _fsc_caption(report: EmReport) -> str:
    """Where the curve of model and map falls below the usual levels, or that it does not."""
    curve = report.fsc_model
    falls = [level for level in (0.5, 0.143) if min(curve, default=1.0) < level]
    stays = [level for level in (0.5, 0.143) if level not in falls]
    parts = []
    if falls:
        places = [f"{level:g} at {crossing(report.s, curve, level)}" for level in falls]
        parts.append(f"falls to {' and to '.join(places)}")
    if stays:
        parts.append(f"stays above {' and '.join(f'{level:g}' for level in stays)} to {1.0 / report.s[-1]:.2f} Å")
    return f"The correlation of model and map {' and '.join(parts)}."


def crossing(s: Sequence[float], curve: Sequence[float], level: float) -> str:
    """Where a curve first falls below a level, as text in Å."""
    for k in range(1, len(curve)):
        if curve[k] < level <= curve[k - 1]:
            share = (curve[k - 1] - level) / (curve[k - 1] - curve[k])
            return f"{1.0 / (s[k - 1] + share * (s[k] - s[k - 1])):.2f} Å"
    return f"beyond {1.0 / s[-1]:.2f} Å" if curve and curve[0] >= level else "no resolution at all"


def _course_figure(cycles: Sequence[Mapping[str, float]]) -> bytes:
    curve = Curve(x=[c["cycle"] for c in cycles], y=[c["cc_work"] for c in cycles], colour=INK, dots=True)
    return as_svg((Chart(curves=(curve,), x_label="cycle", y_label="FSC average", whole=True),), 8.0, 3.0)


def _shell_table(report: EmReport) -> Table:
    rows = []
    for k, s in enumerate(report.s):
        halves = "" if report.fsc_halves is None else f"{report.fsc_halves[k]:.3f}"
        rows.append([f"{1.0 / s:.2f}", str(report.counts[k]), f"{report.fsc_model[k]:.3f}", halves])
    return Table(["d, Å", "coefficients", "model–map", "half maps"], rows, caption="Every shell", more=True)
