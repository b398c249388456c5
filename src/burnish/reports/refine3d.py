"""Figures and page of a 3D refinement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from burnish.reports.colours import BLUE, GREY, INK, ORANGE, RED
from burnish.reports.figures import new_figure, resolution_axis
from burnish.reports.map_figures import sections, show_section, show_surface
from burnish.reports.page import Block, Note, Numbers, Page, Picture, Section, Table

_THRESHOLD = 0.143


@dataclass(frozen=True, slots=True, kw_only=True)
class Refine3DReport:
    """What the report shows.

    Attributes
    ----------
    title : what was refined.
    finished : whether this is the end.
    history : numbers of each iteration.
    fsc, fsc_masked : between half maps, by shell.
    box_length, pixel_size : Å.
    density : map [z, y, x].
    surface : shaded picture of it [y, x].
    rot_deg, tilt_deg : views of the particles, °.
    max_weight : share of the best pose of each particle.
    remarks : what was done to the inputs.
    findings : what the reader must know before trusting the result.
    inputs : (what, value).
    """

    title: str
    finished: bool
    history: Sequence[dict[str, float]]
    fsc: np.ndarray
    fsc_masked: np.ndarray
    box_length: float
    pixel_size: float
    density: np.ndarray
    surface: np.ndarray
    rot_deg: np.ndarray
    tilt_deg: np.ndarray
    max_weight: np.ndarray
    remarks: Sequence[str]
    findings: Sequence[str]
    inputs: Sequence[tuple[str, str]]


def refine3d_figures(report: Refine3DReport) -> list[tuple[Figure, str]]:
    """Figures with their captions; call inside `house_style`."""
    return [
        (_fsc_figure(report), "Fourier shell correlation of the unfiltered half maps, whole box and inside the mask."),
        (_course_figure(report), "Resolution, certainty of the poses, and movement, by iteration."),
        (
            _views_figure(report),
            "Views of the particles, one of each set of symmetry mates, and the share of each best pose.",
        ),
        (_map_figure(report), "Sections through the middle of the map, and its surface at three standard deviations."),
    ]


def _fsc_figure(report: Refine3DReport) -> Figure:
    figure, (axes,) = new_figure(8.0, 3.8)
    s = np.arange(len(report.fsc)) / report.box_length
    axes.plot(s, report.fsc, color=INK, label="whole box")
    axes.plot(s, report.fsc_masked, color=BLUE, lw=1.2, label="inside the mask")
    axes.axhline(_THRESHOLD, color=GREY, lw=1, ls=":")
    axes.axhline(0.5, color=GREY, lw=0.6, ls=":")
    axes.set(ylabel="FSC", ylim=(-0.1, 1.05), xlim=(0, s[-1]))
    resolution_axis(axes)
    axes.legend(loc="lower left")
    return figure


def _course_figure(report: Refine3DReport) -> Figure:
    figure, (left, middle, right) = new_figure(11.0, 3.2, columns=3)
    steps = np.arange(1, len(report.history) + 1)

    def column(name: str) -> list[float]:
        return [h[name] for h in report.history]

    left.plot(steps, column("resolution"), "o-", color=INK, ms=3, label="whole box")
    left.plot(steps, column("resolution_masked"), "o-", color=BLUE, ms=3, label="inside the mask")
    left.set(title="FSC = 0.143", ylabel="Å", yscale="log")
    ticks = [
        t
        for t in (3, 4, 5, 6, 8, 10, 15, 20, 30, 40)
        if min(column("resolution_masked")) * 0.9 <= t <= max(column("resolution")) * 1.1
    ]
    left.set_yticks(ticks, [str(t) for t in ticks])
    left.minorticks_off()
    left.legend(loc="upper right")
    middle.plot(steps, column("pmax"), "o-", color=BLUE, ms=3, label="mean share of best pose")
    middle.plot(steps, column("ambiguous"), "o-", color=ORANGE, ms=3, label="particles below one half")
    middle.set(title="Certainty", ylim=(0, 1.02))
    middle.legend(loc="center right")
    right.plot(steps, column("turned_deg"), "o-", color=RED, ms=3, label="median turn")
    right.plot(steps, column("accuracy_rotation_deg"), "o-", color=INK, ms=3, label="posterior width")
    right.set(title="Rotation, °", yscale="log")
    right.legend(loc="upper right")
    for axes in (left, middle, right):
        axes.set_xlabel("iteration")
    return figure


def _views_figure(report: Refine3DReport) -> Figure:
    figure, (north, south, shares) = new_figure(11.0, 3.6, columns=3)
    rot, tilt = np.radians(report.rot_deg), np.radians(report.tilt_deg)
    upper = tilt <= np.pi / 2
    bins = int(np.clip(np.sqrt(max(len(rot), 1)), 8, 48))
    for axes, chosen, name in ((north, upper, "seen from +z"), (south, ~upper, "seen from −z")):
        _hemisphere(axes, rot[chosen], np.minimum(tilt, np.pi - tilt)[chosen], bins, name)
    shares.hist(report.max_weight, bins=np.linspace(0, 1, 21).tolist(), color=BLUE)
    shares.set(title="Share of the best pose", xlabel="share", ylabel="particles", xlim=(0, 1))
    return figure


def _hemisphere(axes: Axes, azimuth: np.ndarray, polar: np.ndarray, bins: int, title: str) -> None:
    """Density of views on a hemisphere, in Lambert's equal-area projection."""
    radius = np.sqrt(2.0) * np.sin(polar / 2.0)
    x, y = radius * np.cos(azimuth), radius * np.sin(azimuth)
    edges = np.linspace(-1.0, 1.0, bins + 1)
    counts, _, _ = np.histogram2d(y, x, bins=(edges, edges))
    middle = 0.5 * (edges[1:] + edges[:-1])
    counts[np.hypot(middle[:, None], middle[None, :]) > 1.0] = np.nan
    picture = axes.imshow(counts, origin="lower", extent=(-1, 1, -1, 1), cmap="viridis", interpolation="nearest")
    t = np.linspace(0, 2 * np.pi, 181)
    axes.plot(np.cos(t), np.sin(t), color=GREY, lw=1)
    axes.set(title=title, aspect="equal", xlim=(-1.05, 1.05), ylim=(-1.05, 1.05))
    axes.axis("off")
    axes.figure.colorbar(picture, ax=axes, shrink=0.75, label="particles")


def _map_figure(report: Refine3DReport) -> Figure:
    figure, axes = new_figure(11.0, 3.1, columns=4)
    middle = report.density.shape[0] // 2
    low, high = (float(q) for q in np.percentile(report.density[:: max(1, middle // 32)], [0.5, 99.8]))
    for panel, cut, name in zip(
        axes, sections(report.density, (middle,) * 3), ("z = 0", "y = 0", "x = 0"), strict=False
    ):
        show_section(panel, cut, report.pixel_size, low, high)
        panel.set_title(name)
    show_surface(axes[3], report.surface, report.pixel_size)
    axes[3].set_title("surface along z")
    return figure


def refine3d_page(report: Refine3DReport, pictures: Sequence[tuple[bytes, str]]) -> Page:
    """The report as a page."""
    last = report.history[-1]
    state = "finished" if report.finished else "running"
    lead = (
        f"{len(report.history)} iterations, {state}. The half maps agree to {last['resolution']:.2f} Å (whole box, "
        f"FSC 0.143) and to {last['resolution_masked']:.2f} Å inside the mask, not corrected for it."
    )
    numbers = Numbers(
        [
            ("resolution, whole box", f"{last['resolution']:.2f} Å"),
            ("inside the mask, uncorrected", f"{last['resolution_masked']:.2f} Å"),
            ("mean share of best pose", f"{last['pmax']:.2f}"),
            ("width of rotations", f"{last['accuracy_rotation_deg']:.2f}°"),
            ("width of shifts", f"{last['accuracy_shift']:.2f} Å"),
        ]
    )
    notes: list[Block] = [Note(text, "warning") for text in report.findings]
    notes += [Note(text, "info") for text in report.remarks]
    course = Table(
        ["iteration", *report.history[-1]],
        [[str(i + 1), *(f"{v:.4g}" for v in h.values())] for i, h in enumerate(report.history)],
        caption="Numbers by iteration",
        more=True,
    )
    return Page(
        report.title,
        lead,
        [
            Section("", [numbers, *notes]),
            Section("Figures", [Picture(png, caption, alt=caption) for png, caption in pictures]),
            Section("Course", [course]),
            Section("Inputs", [Table(["what", "value"], [list(row) for row in report.inputs])]),
        ],
    )
