"""Figures of a refinement of optics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from burnish.reports.colours import BLUE, GREY, LINE, ORANGE, RED, SOFT

LOW_TO_HIGH = LinearSegmentedColormap.from_list("defocus", [BLUE, "#ddd6c6", ORANGE])
COLUMNS, ROWS = 6, 5  # micrographs on a page


@dataclass(frozen=True, slots=True, kw_only=True)
class MicrographPanel:
    """Particles of one micrograph.

    Attributes
    ----------
    name : of the micrograph.
    x, y : positions of its particles, pixels.
    defocus : of each, Å.
    failed : whether the micrograph kept its old values.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    defocus: np.ndarray
    failed: bool


def defocus_pages(panels: Sequence[MicrographPanel]) -> list[Figure]:
    """Particles at their coordinates, coloured by defocus about their micrograph's mean; a page for 30 micrographs."""
    deviations = [p.defocus - p.defocus.mean() for p in panels if len(p.defocus)]
    spread = float(np.percentile(np.abs(np.concatenate(deviations)), 98)) if deviations else 1.0
    norm = Normalize(-max(spread, 1.0), max(spread, 1.0))
    # one frame for all micrographs: they come from one camera
    width = max((float(np.nanmax(p.x)) for p in panels if len(p.x)), default=1.0) * 1.02
    height = max((float(np.nanmax(p.y)) for p in panels if len(p.y)), default=1.0) * 1.02
    size = COLUMNS * ROWS
    return [_defocus_page(panels[i : i + size], norm, width, height) for i in range(0, len(panels), size)]


def change_figure(change: np.ndarray, sigma: np.ndarray) -> Figure:
    """Histogram of the changes of defocus, and of their uncertainties, Å."""
    figure, (left, right) = _axes_in_a_row(8.4, 2.9, 2, right=0.98)
    left.hist(change, bins=40, color=BLUE)
    left.set_title("Change of defocus")
    left.set_xlabel("new − old, Å")
    left.set_ylabel("particles")
    right.hist(sigma[np.isfinite(sigma)], bins=40, color=ORANGE)
    right.set_title("Its standard uncertainty")
    right.set_xlabel("Å")
    return figure


def phase_figure(observed: np.ndarray, fitted: np.ndarray, limit: float, title: str) -> Figure:
    """Observed and fitted phase over the Fourier plane, and what the fit leaves, rad.

    Parameters
    ----------
    observed, fitted : with zero frequency in the middle, NaN outside the data. (n, n)
    limit : highest frequency at the edge of the images, Å⁻¹.
    """
    figure, axes = _axes_in_a_row(9.4, 3.2, 3, right=0.88, top=0.83)
    top = max(float(np.nanpercentile(np.abs(fitted), 99)), 0.2) if np.isfinite(fitted).any() else 1.0
    rest = np.angle(np.exp(1j * (observed - fitted)))
    for axis, image, name in zip(axes, (observed, fitted, rest), ("observed", "fitted", "left over"), strict=True):
        shown = axis.imshow(
            image, origin="lower", cmap=LOW_TO_HIGH, vmin=-top, vmax=top, extent=(-limit, limit, -limit, limit)
        )
        axis.set_title(name, fontweight="normal")
        axis.grid(visible=False)
        axis.set_xlabel("Å⁻¹")
    figure.colorbar(shown, cax=figure.add_axes((0.91, 0.2, 0.015, 0.58)), label="rad")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    return figure


def _axes_in_a_row(
    width: float, height: float, count: int, *, right: float, top: float = 0.88
) -> tuple[Figure, list[Axes]]:
    """Axes at fixed places: a solved layout costs a fifth of a second each time that a figure is written."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, count, squeeze=False)
    figure.subplots_adjust(left=0.08, right=right, bottom=0.18, top=top, wspace=0.24)
    return figure, list(axes.flat)


def _defocus_page(panels: Sequence[MicrographPanel], norm: Normalize, width: float, height: float) -> Figure:
    """One page: all micrographs in one pair of axes, side by side; thirty pairs would take seconds to lay out."""
    rows = -(-len(panels) // COLUMNS)
    columns = min(len(panels), COLUMNS)
    gap, title = 0.12 * width, 0.32 * height
    step_x, step_y = width + gap, height + title
    inches = 9.4
    tall = inches * 0.86 * (rows * step_y) / (COLUMNS * step_x)
    figure = Figure(figsize=(inches, tall + 0.3))
    FigureCanvasAgg(figure)
    axis = figure.add_axes((0.01, 0.15 / (tall + 0.3), 0.86, tall / (tall + 0.3)))
    axis.set(xlim=(0, COLUMNS * step_x), ylim=(0, rows * step_y))
    axis.set_axis_off()
    frames, x, y, deviation = [], [], [], []
    for number, panel in enumerate(panels):
        left, bottom = (number % columns) * step_x, (rows - 1 - number // columns) * step_y
        frames.append(
            [(left, bottom), (left + width, bottom), (left + width, bottom + height), (left, bottom + height)]
        )
        _write_title(axis, panel, left, bottom + height)
        if panel.failed:
            axis.plot(left + panel.x, bottom + panel.y, "x", color=GREY, markersize=2.5, markeredgewidth=0.6)
        elif len(panel.x):
            x.append(left + panel.x)
            y.append(bottom + panel.y)
            deviation.append(panel.defocus - panel.defocus.mean())
    axis.add_collection(PolyCollection(frames, facecolors="none", edgecolors=LINE, linewidths=0.8, clip_on=False))
    if x:
        shown = axis.scatter(
            np.concatenate(x), np.concatenate(y), c=np.concatenate(deviation), s=6, cmap=LOW_TO_HIGH, norm=norm
        )
        place = figure.add_axes((0.90, 0.25, 0.015, 0.5))
        figure.colorbar(shown, cax=place, label="defocus − mean of its micrograph, Å")
    return figure


def _write_title(axis: Axes, panel: MicrographPanel, left: float, top: float) -> None:
    name = panel.name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    name = name if len(name) <= 20 else f"…{name[-19:]}"
    below, colour = "kept its old values", RED
    if not panel.failed:
        below, colour = (f"{panel.defocus.mean() / 1e4:.3f} µm" if len(panel.defocus) else ""), SOFT
    axis.text(left, top, f" {name}\n {below}", fontsize=6.5, color=colour, va="bottom", linespacing=1.1)
