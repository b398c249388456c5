"""Figures of the refinement report; call inside `house_style`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from burnish.models.data_term import ShellStatistics
from burnish.reports.figures import BLUE, GREEN, GREY, ORANGE, VIOLET, new_figure, resolution_axis

MARGINS = (0.62, 0.12, 0.5, 0.32)  # inches around every panel; to have them found would draw everything twice
BOND_BAND = (0.5, 1.0)  # where the rms Z of bonds should end


def cycles_figure(cycles: Sequence[Mapping[str, float]]) -> Figure:
    """R factors and the likelihood of the free set by cycle."""
    figure, (left, right) = new_figure(9.0, 3.6, columns=2, margins=MARGINS)
    number = [c["cycle"] for c in cycles]
    left.plot(number, [100 * c["r_work"] for c in cycles], color=BLUE, marker="o", markersize=3.5, label="R-work")
    if np.isfinite([c["r_free"] for c in cycles]).any():
        free = [100 * c["r_free"] for c in cycles]
        left.plot(number, free, color=ORANGE, marker="o", markersize=3.5, label="R-free")
    left.set(title="R factors, %", xlabel="cycle")
    left.legend(loc="upper right")
    right.plot(number, [c["work_value"] for c in cycles], color=BLUE, marker="o", markersize=3.5, label="work")
    if np.isfinite([c["free_value"] for c in cycles]).any():
        value = [c["free_value"] for c in cycles]
        right.plot(number, value, color=ORANGE, marker="o", markersize=3.5, label="free")
    right.set(title="−log likelihood per reflection", xlabel="cycle")
    right.legend(loc="upper right")
    for axes in (left, right):
        _count_cycles(axes, number)
    return figure


def _count_cycles(axes: Axes, number: Sequence[float]) -> None:
    """Whole numbers on the axis of cycles, also where there is but one."""
    if len(number) == 1:
        axes.set_xticks(list(number))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def shells_figure(shells: Sequence[ShellStatistics]) -> Figure:
    """Agreement by resolution."""
    figure, (left, middle, right) = new_figure(11.0, 3.6, columns=3, margins=MARGINS)
    s = np.array([0.5 * (1 / x.d_max + 1 / x.d_min) for x in shells])
    for axes, title, curves in (
        (left, "R factors", (("work", "r_work", BLUE), ("free", "r_free", ORANGE))),
        (middle, "correlation of amplitudes", (("work", "cc_work", BLUE), ("free", "cc_free", ORANGE))),
        (right, "completeness and figure of merit", (("complete", "completeness", GREY), ("FOM", "fom", VIOLET))),
    ):
        for label, name, colour in curves:
            values = np.array([getattr(x, name) for x in shells], dtype=float)
            if np.isfinite(values).any():
                axes.plot(s, values, color=colour, label=label)
        axes.set_title(title)
        axes.set_ylim(0.0, None if axes is left else 1.02)
        axes.set_xlim(0.0, float(s.max()) * 1.04)
        resolution_axis(axes)
        axes.legend(loc="best")
    return figure


def geometry_figure(cycles: Sequence[Mapping[str, float]]) -> Figure:
    """Root mean square Z of bonds and angles, with the weight of the data."""
    figure, (left, right) = new_figure(9.0, 3.2, columns=2, margins=MARGINS)
    number = [c["cycle"] for c in cycles]
    left.axhspan(*BOND_BAND, color=GREEN, alpha=0.12, linewidth=0)
    left.plot(number, [c["bond_rmsz"] for c in cycles], color=BLUE, marker="o", markersize=3.5, label="bonds")
    left.plot(number, [c["angle_rmsz"] for c in cycles], color=ORANGE, marker="o", markersize=3.5, label="angles")
    top = max(c[k] for c in cycles[1:] or cycles for k in ("bond_rmsz", "angle_rmsz"))
    left.set_ylim(0.0, max(1.5, 1.15 * top))
    left.set(title="rms Z", xlabel="cycle")
    left.legend(loc="upper right")
    right.plot(number, [c["weight"] for c in cycles], color=GREY, marker="o", markersize=3.5)
    right.set(title="weight of the data", xlabel="cycle")
    right.set_ylim(0.0, None)
    for axes in (left, right):
        _count_cycles(axes, number)
    return figure


def b_figure(b_model: Sequence[float], b_water: Sequence[float]) -> Figure:
    """Histogram of B."""
    figure, (axes,) = new_figure(8.0, 3.2, margins=MARGINS)
    every = np.array([*b_model, *b_water])
    top = float(np.percentile(every, 99.5)) if len(every) else 1.0
    bins = list(np.linspace(0.0, max(top, 1.0), 41))
    data = [np.clip(b_model, 0, top), np.clip(b_water, 0, top)] if len(b_water) else [np.clip(b_model, 0, top)]
    labels = [f"model, {len(b_model)}", f"water, {len(b_water)}"][: len(data)]
    axes.hist(data, bins=bins, stacked=True, label=labels, color=[BLUE, ORANGE][: len(data)])
    axes.set(xlabel="B, Å²", ylabel="atoms")
    axes.legend(loc="upper right")
    return figure
