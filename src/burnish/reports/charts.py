"""Curves and bars drawn as SVG text, for the reports of commands that are short.

To import matplotlib and draw four small figures takes a second, an eighth of what a refinement of a small model takes
as a whole. Charts are records; `as_svg` turns some of them, side by side, into one picture in the house's colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from burnish.reports.colours import GREEN, GREY, INK, LINE, SOFT

UNIT = 100.0  # of the drawing, to an inch
FONT, SMALL, CHARACTER = 13.0, 12.5, 0.6  # height of letters, and their mean width as a share of it
LEFT, RIGHT, BOTTOM, TOP, TITLE = 62.0, 14.0, 50.0, 12.0, 20.0  # around the axes, and above them where they have one
KEY, ROW = 26.0, 18.0  # length of a line in the legend, and height of its rows
ROOM = 0.04  # share of its range that an axis has beyond the data

Limits = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One line; points that are not finite are left out, and interrupt it.

    Attributes
    ----------
    width : of the line, points.
    dots : whether every point is marked.
    label : in the legend; "" for none.
    """

    x: Sequence[float]
    y: Sequence[float]
    colour: str
    label: str = ""
    width: float = 1.8
    dashed: bool = False
    dots: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """A histogram, drawn from `bottom` to `bottom` + `counts`; one edge more than counts."""

    edges: Sequence[float]
    counts: Sequence[float]
    bottom: Sequence[float]
    colour: str
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One pair of axes.

    Attributes
    ----------
    levels : heights of dotted lines.
    band : heights between which the ground is shaded; None for none.
    x_limits, y_limits : ends of the axes; None where the data say.
    whole : whether x is counted in whole numbers.
    resolution : x is s = 1/d (Å⁻¹), marked by d in Å.
    """

    curves: Sequence[Curve] = ()
    bars: Sequence[Bars] = ()
    levels: Sequence[float] = ()
    band: tuple[float, float] | None = None
    title: str = ""
    x_label: str = ""
    y_label: str = ""
    x_limits: Limits = (None, None)
    y_limits: Limits = (None, None)
    whole: bool = False
    resolution: bool = False


def as_svg(charts: Sequence[Chart], width: float, height: float) -> bytes:
    """Charts side by side as one SVG file.

    Parameters
    ----------
    width, height : of the whole picture, inches.
    """
    across = UNIT * width / len(charts)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {UNIT * width:g} {UNIT * height:g}" '
        f'width="{UNIT * width:g}" height="{UNIT * height:g}" fill="{INK}" '
        f'font-family="DejaVu Sans, Verdana, sans-serif" font-size="{FONT:g}">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for place, chart in enumerate(charts):
        frame = _frame(chart, across, UNIT * height)
        parts.append(f'<g transform="translate({place * across:g} 0)">{"".join(_drawn(chart, frame))}</g>')
    return "\n".join([*parts, "</svg>\n"]).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """Where the axes lie in the drawing, and what they reach from and to."""

    x: tuple[float, float]
    y: tuple[float, float]
    right: float
    bottom: float
    left: float
    top: float

    def across(self, value: float) -> float:
        return self.left + (value - self.x[0]) / (self.x[1] - self.x[0]) * (self.right - self.left)

    def up(self, value: float) -> float:
        return self.bottom - (value - self.y[0]) / (self.y[1] - self.y[0]) * (self.bottom - self.top)


def _frame(chart: Chart, width: float, height: float) -> _Frame:
    x = [value for curve in chart.curves for value in curve.x] + [e for bars in chart.bars for e in bars.edges]
    y = [value for curve in chart.curves for value in curve.y]
    for bars in chart.bars:
        y += [low + n for low, n in zip(bars.bottom, bars.counts, strict=True)]
    floor = 0.0 if chart.bars and chart.y_limits[0] is None else chart.y_limits[0]
    left = LEFT + (FONT if chart.y_label else 0.0)
    return _Frame(
        x=_reach(x, chart.x_limits),
        y=_reach(y, (floor, chart.y_limits[1])),
        left=left,
        top=TOP + (TITLE if chart.title else 0.0),
        right=width - RIGHT,
        bottom=height - BOTTOM,
    )


def _reach(values: Sequence[float], limits: Limits) -> tuple[float, float]:
    """From where to where an axis goes."""
    finite = [v for v in (*values, *limits) if v is not None and math.isfinite(v)] or [0.0, 1.0]
    low, high = (v if v is not None else end for v, end in zip(limits, (min(finite), max(finite)), strict=True))
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-9):
        apart = 0.05 * abs(low) or 0.5
        return (low if limits[0] is not None else low - apart), low + apart
    room = ROOM * (high - low)
    return (low if limits[0] is not None else low - room), (high if limits[1] is not None else high + room)


def ticks(low: float, high: float, most: int = 7, *, whole: bool = False) -> list[float]:
    """Round numbers from `low` to `high`, at most so many, evenly apart.

    Examples
    --------
    >>> ticks(0.0, 10.0, whole=True)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    power = math.floor(math.log10((high - low) / most))
    for step in (m * 10.0**p for p in (power, power + 1) for m in (1.0, 2.0, 2.5, 5.0)):
        if whole and step != round(step):
            continue
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [round(k * step, 12) for k in range(first, last + 1)]
    return [math.ceil(low)]


def _drawn(chart: Chart, frame: _Frame) -> list[str]:
    """Grid, data, axes and words of one chart."""
    parts = _axes(chart, frame)
    if chart.band is not None:
        low, high = (min(max(v, frame.y[0]), frame.y[1]) for v in chart.band)
        box = _box(frame.left, frame.up(high), frame.right, frame.up(low))
        parts.append(f'<path d="{box}" fill="{GREEN}" fill-opacity=".12"/>')
    for level in chart.levels:
        if frame.y[0] <= level <= frame.y[1]:
            y = frame.up(level)
            parts.append(_line(frame.left, y, frame.right, y, GREY, 0.8, "1.5 2.5"))
    for bars in chart.bars:
        boxes = [
            _box(frame.across(a), frame.up(low + n), frame.across(b), frame.up(low))
            for (a, b), low, n in zip(pairwise(bars.edges), bars.bottom, bars.counts, strict=True)
            if n > 0
        ]
        parts.append(f'<path d="{"".join(boxes)}" fill="{bars.colour}"/>')
    for curve in chart.curves:
        parts += _curve(curve, frame)
    return parts + _legend(chart, frame)


def _axes(chart: Chart, frame: _Frame) -> list[str]:
    """The two axes with their marks, a grid, and what they are called."""
    parts: list[str] = []
    x_ticks = ticks(*frame.x, most=9 if frame.right - frame.left > 500 else 6, whole=chart.whole)
    if chart.resolution:
        x_ticks = [t for t in x_ticks if t > 0.0]
    for tick in x_ticks:
        x = frame.across(tick)
        parts.append(
            _line(x, frame.top, x, frame.bottom, LINE, 0.7) + _line(x, frame.bottom, x, frame.bottom + 5, SOFT)
        )
        parts.append(_word(x, frame.bottom + 20, f"{1 / tick:.3g}" if chart.resolution else _number(tick), SOFT))
    for tick in ticks(*frame.y):
        y = frame.up(tick)
        parts.append(_line(frame.left, y, frame.right, y, LINE, 0.7) + _line(frame.left - 5, y, frame.left, y, SOFT))
        parts.append(_word(frame.left - 8, y + 0.35 * FONT, _number(tick), SOFT, "end"))
    parts.append(_line(frame.left, frame.bottom, frame.right, frame.bottom, SOFT))
    parts.append(_line(frame.left, frame.top, frame.left, frame.bottom, SOFT))
    if chart.title:
        parts.append(f'<text x="{frame.left:g}" y="{frame.top - 10:g}" font-weight="bold">{escape(chart.title)}</text>')
    middle = 0.5 * (frame.left + frame.right)
    parts.append(_word(middle, frame.bottom + 40, "resolution, Å" if chart.resolution else chart.x_label))
    if chart.y_label:
        turned = f"translate(16 {0.5 * (frame.top + frame.bottom):.1f}) rotate(-90)"
        parts.append(f'<text transform="{turned}" text-anchor="middle">{escape(chart.y_label)}</text>')
    return parts


def _curve(curve: Curve, frame: _Frame) -> list[str]:
    """The line and its dots, cut off where the axes end."""
    path, dots, pen = [], [], "M"
    low, high = frame.up(frame.y[1]) - 2.0, frame.up(frame.y[0]) + 2.0
    for x, y in zip(curve.x, curve.y, strict=True):
        if not (math.isfinite(x) and math.isfinite(y)):
            pen = "M"
            continue
        across, up = frame.across(x), frame.up(y)
        path.append(f"{pen}{across:.1f} {min(max(up, low), high):.1f}")
        pen = "L"
        if curve.dots and low <= up <= high:
            dots.append(f'<circle cx="{across:.1f}" cy="{up:.1f}" r="2.6" fill="{curve.colour}"/>')
    return [f'<path d="{"".join(path)}" fill="none" {_stroke(curve)}/>', *dots]


def _legend(chart: Chart, frame: _Frame) -> list[str]:
    """What each colour is, in the corner where the fewest points lie."""
    everything: list[Curve | Bars] = [*chart.curves, *chart.bars]
    entries = [entry for entry in everything if entry.label]
    if not entries:
        return []
    width = KEY + 10 + CHARACTER * SMALL * max(len(entry.label) for entry in entries)
    height = ROW * len(entries)
    left, top = min(
        (
            (x, y)
            for y in (frame.top + 6, frame.bottom - height - 8)
            for x in (frame.right - width - 6, frame.left + 10)
        ),
        key=lambda corner: _covered(chart, frame, corner, (width, height)),
    )
    parts = []
    for row, entry in enumerate(entries):
        y = top + ROW * (row + 0.5)
        if isinstance(entry, Bars):
            parts.append(f'<path d="{_box(left, y - 5, left + KEY, y + 5)}" fill="{entry.colour}"/>')
        else:
            parts.append(f'<path d="M{left:.1f} {y:.1f}H{left + KEY:.1f}" {_stroke(entry)}/>')
        place = f'x="{left + KEY + 8:.1f}" y="{y + 0.35 * SMALL:.1f}" font-size="{SMALL:g}"'
        parts.append(f"<text {place}>{escape(entry.label)}</text>")
    return parts


def _covered(chart: Chart, frame: _Frame, corner: tuple[float, float], size: tuple[float, float]) -> int:
    """How much of the data a legend would hide: points along the lines, and bars."""
    left, top = corner
    points: list[tuple[float, float]] = []
    for curve in chart.curves:
        for (x0, y0), (x1, y1) in pairwise(zip(curve.x, curve.y, strict=True)):
            points += [(x0 + t / 8 * (x1 - x0), y0 + t / 8 * (y1 - y0)) for t in range(9)]
    for bars in chart.bars:
        middles = [0.5 * (a + b) for a, b in pairwise(bars.edges)]
        for x, low, n in zip(middles, bars.bottom, bars.counts, strict=True):
            points += [(x, low + t / 8 * n) for t in range(9)] if n > 0 else []
    return sum(
        left - 5 <= frame.across(x) <= left + size[0] + 5 and top - 5 <= frame.up(y) <= top + size[1] + 5
        for x, y in points
        if math.isfinite(x) and math.isfinite(y)
    )


def _number(value: float) -> str:
    return f"{value:.10g}".replace("-", "−")


def _stroke(curve: Curve) -> str:
    dashes = ' stroke-dasharray="5 3"' if curve.dashed else ""
    return f'stroke="{curve.colour}" stroke-width="{curve.width * UNIT / 72:.2f}" stroke-linejoin="round"{dashes}'


def _box(x0: float, y0: float, x1: float, y1: float) -> str:
    return f"M{x0:.1f} {y0:.1f}H{x1:.1f}V{y1:.1f}H{x0:.1f}Z"


def _line(x0: float, y0: float, x1: float, y1: float, colour: str, width: float = 0.8, dashes: str = "") -> str:
    dotted = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="{colour}" '
        f'stroke-width="{width * UNIT / 72:.2f}"{dotted}/>'
    )


def _word(x: float, y: float, text: str, colour: str = INK, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{escape(text)}</text>'
