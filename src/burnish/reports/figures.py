"""House style of all figures: made with matplotlib's objects alone (no pyplot, no global state), rendered to bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import matplotlib
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from burnish.reports.colours import BLUE, GREEN, GREY, INK, LINE, ORANGE, RED, SOFT, VIOLET

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "text.color": INK,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, RED, VIOLET, GREY]),
    "image.cmap": "gray",
    "image.interpolation": "nearest",
    "pdf.fonttype": 3,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Everything drawn inside has the house style; matplotlib's settings are put back after."""
    with matplotlib.rc_context(_STYLE):
        yield


def new_figure(
    width: float = 8.0,
    height: float = 4.2,
    columns: int = 1,
    rows: int = 1,
    margins: tuple[float, float, float, float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Return a figure of that size in inches with a grid of axes, listed row by row; call inside `house_style`.

    Margins are found by matplotlib, which draws everything twice for it, or given in inches where they are known: left,
    right, bottom and top of every panel.
    """
    figure = Figure(figsize=(width, height), layout="constrained" if margins is None else None)
    FigureCanvasAgg(figure)
    if margins is not None:
        left, right, bottom, top = margins
        across, down = width / columns - left - right, height / rows - bottom - top
        figure.subplots_adjust(
            left=left / width,
            right=1.0 - right / width,
            bottom=bottom / height,
            top=1.0 - top / height,
            wspace=(left + right) / across,
            hspace=(bottom + top) / down,
        )
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.flat)


def as_png(figure: Figure, dpi: int = 130) -> bytes:
    """Render to PNG."""
    out = BytesIO()
    figure.savefig(out, format="png", dpi=dpi)
    return out.getvalue()


def as_pdf(figures: Sequence[Figure], title: str = "") -> bytes:
    """Render to one PDF, a figure a page: `logfile.pdf`, without ghostscript."""
    from matplotlib.backends.backend_pdf import PdfPages  # half a second that pages, whose figures are PNG, never need

    out = BytesIO()
    with PdfPages(out, metadata={"Title": title, "Creator": "Burnish"}) as pages:
        for figure in figures:
            pages.savefig(figure)
    return out.getvalue()


def resolution_axis(axes: Axes, low: float = 0.0) -> None:
    """Label an axis of s = 1/d (Å⁻¹) by d in Å."""
    axes.set_xlabel("resolution, Å")
    right = axes.get_xlim()[1]
    ticks = [t for t in axes.get_xticks() if low < t <= right]
    axes.set_xticks(ticks, [f"{1 / t:.3g}" for t in ticks])
    axes.set_xlim(low, right)
