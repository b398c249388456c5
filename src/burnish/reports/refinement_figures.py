"""Figures of the refinement reports, as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from burnish.models.data_term import ShellStatistics
from burnish.reports.charts import Bars, Chart, Curve, as_svg
from burnish.reports.colours import BLUE, GREY, ORANGE, VIOLET

BOND_BAND = (0.5, 1.0)  # where the rms Z of bonds should end
BINS = 40


def cycles_figure(cycles: Sequence[Mapping[str, float]]) -> bytes:
    """R factors and the likelihood of the free set by cycle."""
    factors = [_by_cycle(cycles, "r_work", BLUE, "R-work", 100.0), _by_cycle(cycles, "r_free", ORANGE, "R-free", 100.0)]
    likelihood = [_by_cycle(cycles, "work_value", BLUE, "work"), _by_cycle(cycles, "free_value", ORANGE, "free")]
    charts = (
        Chart(curves=_known(factors), title="R factors, %", x_label="cycle", whole=True),
        Chart(curves=_known(likelihood), title="−log likelihood per reflection", x_label="cycle", whole=True),
    )
    return as_svg(charts, 9.0, 3.6)


def shells_figure(shells: Sequence[ShellStatistics]) -> bytes:
    """Agreement by resolution."""
    s = [0.5 * (1 / x.d_max + 1 / x.d_min) for x in shells]
    charts = []
    for title, top, curves in (
        ("R factors", None, (("work", "r_work", BLUE), ("free", "r_free", ORANGE))),
        ("correlation of amplitudes", 1.02, (("work", "cc_work", BLUE), ("free", "cc_free", ORANGE))),
        ("completeness and figure of merit", 1.02, (("complete", "completeness", GREY), ("FOM", "fom", VIOLET))),
    ):
        drawn = [
            Curve(x=s, y=[getattr(x, name) for x in shells], colour=colour, label=label)
            for label, name, colour in curves
        ]
        chart = Chart(
            curves=_known(drawn),
            title=title,
            resolution=True,
            x_limits=(0.0, 1.04 * max(s)),
            y_limits=(0.0, top),
        )
        charts.append(chart)
    return as_svg(charts, 11.0, 3.6)


def geometry_figure(cycles: Sequence[Mapping[str, float]]) -> bytes:
    """Root mean square Z of bonds and angles, with the weight of the data."""
    top = max(c[k] for c in cycles[1:] or cycles for k in ("bond_rmsz", "angle_rmsz"))
    z = (_by_cycle(cycles, "bond_rmsz", BLUE, "bonds"), _by_cycle(cycles, "angle_rmsz", ORANGE, "angles"))
    charts = (
        Chart(
            curves=z, band=BOND_BAND, title="rms Z", x_label="cycle", whole=True, y_limits=(0.0, max(1.5, 1.15 * top))
        ),
        Chart(
            curves=(_by_cycle(cycles, "weight", GREY),),
            title="weight of the data",
            x_label="cycle",
            whole=True,
            y_limits=(0.0, None),
        ),
    )
    return as_svg(charts, 9.0, 3.2)


def b_figure(b_model: Sequence[float], b_water: Sequence[float]) -> bytes:
    """Histogram of B, waters on top of the model."""
    every = np.array([*b_model, *b_water])
    top = max(float(np.percentile(every, 99.5)) if len(every) else 1.0, 1.0)
    bars: list[Bars] = []
    bottom = np.zeros(BINS)
    for name, colour, values in (("model", BLUE, b_model), ("water", ORANGE, b_water)):
        counts, edges = np.histogram(np.clip(values, 0.0, top), bins=BINS, range=(0.0, top))
        if len(values) or not bars:
            label = f"{name}, {len(values)}"
            bars.append(
                Bars(edges=edges.tolist(), counts=counts.tolist(), bottom=bottom.tolist(), colour=colour, label=label)
            )
        bottom = bottom + counts
    return as_svg((Chart(bars=bars, x_label="B, Å²", y_label="atoms"),), 8.0, 3.2)


def _by_cycle(
    cycles: Sequence[Mapping[str, float]], name: str, colour: str, label: str = "", scale: float = 1.0
) -> Curve:
    """One number of every cycle."""
    return Curve(
        x=[c["cycle"] for c in cycles],
        y=[scale * c[name] for c in cycles],
        colour=colour,
        label=label,
        dots=True,
    )


def _known(curves: Sequence[Curve]) -> tuple[Curve, ...]:
    """Those of which something is known."""
    return tuple(curve for curve in curves if any(math.isfinite(y) for y in curve.y))
