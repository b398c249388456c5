"""Charts drawn as SVG."""

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from burnish.reports.charts import Bars, Chart, Curve, as_svg, ticks
from burnish.reports.colours import BLUE, ORANGE

NAMES = {"svg": "http://www.w3.org/2000/svg"}


def drawn(*charts: Chart) -> ET.Element:
    return ET.fromstring(as_svg(charts, 8.0, 3.0))


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path)]


def curves(root: ET.Element, colour: str) -> list[str]:
    return [p.get("d", "") for p in root.iterfind(".//svg:path[@fill='none']", NAMES) if p.get("stroke") == colour]


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-0.05, 1.03), (0.0, 1234.5), (3.0001, 3.0002), (-7e-5, 2e-5), (0.96, 0.99)]
)
def test_marks_are_round_numbers_inside(low, high):
    found = ticks(low, high)
    steps = [b - a for a, b in pairwise(found)]
    assert 2 <= len(found) <= 7 and low - 1e-9 <= found[0] and found[-1] <= high + 1e-9
    assert max(steps) == pytest.approx(min(steps), rel=1e-6)
    mantissa = steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-9)
    assert min(abs(mantissa - m) for m in (1.0, 2.0, 2.5, 5.0)) < 1e-3


def test_whole_marks_have_no_halves():
    assert ticks(-0.2, 3.2, whole=True) == [0.0, 1.0, 2.0, 3.0]
    assert ticks(0.5, 1.5, whole=True) == [1.0]


def test_points_lie_where_the_axes_say():
    chart = Chart(curves=[Curve(x=[0, 5, 10], y=[0, 1, 0], colour=BLUE)], x_limits=(0, 10), y_limits=(0, 1))
    (path,) = curves(drawn(chart), BLUE)
    (x0, y0), (x1, y1), (x2, y2) = points(path)
    assert y0 == y2 > y1 and x1 == pytest.approx(0.5 * (x0 + x2)) and 0 < x0 < x2 < 800 and 0 < y1 < y0 < 300


def test_unknown_points_interrupt_a_line_and_far_ones_stay_inside():
    chart = Chart(curves=[Curve(x=range(5), y=[1, math.nan, 2, 99, math.inf], colour=BLUE)], y_limits=(0, 3))
    (path,) = curves(drawn(chart), BLUE)
    assert path.count("M") == 2 and len(points(path)) == 3 and all(0 < y < 300 for _, y in points(path))


def test_nothing_known_and_a_single_value_are_drawn():
    for y in ([math.nan], [0.0], [7.0]):
        assert drawn(Chart(curves=[Curve(x=[1], y=y, colour=BLUE, dots=True)], whole=True)) is not None
    assert drawn(Chart()) is not None


def test_resolution_is_marked_in_angstrom():
    chart = Chart(curves=[Curve(x=[0.05, 0.3], y=[1, 0], colour=BLUE)], resolution=True, x_limits=(0.0, 0.3))
    shown = [t.text for t in drawn(chart).iterfind(".//svg:text", NAMES)]
    assert "resolution, Å" in shown and "10" in shown and "4" in shown and "inf" not in shown


def test_legend_keeps_off_the_curve():
    falls = Curve(x=range(11), y=[1 - k / 10 for k in range(11)], colour=BLUE, label="falls")
    rises = Curve(x=range(11), y=[k / 10 for k in range(11)], colour=ORANGE, label="rises")
    places = {}
    for curve in (falls, rises):
        (text,) = [t for t in drawn(Chart(curves=[curve])).iterfind(".//svg:text", NAMES) if t.text == curve.label]
        places[curve.label] = float(text.get("x", "nan"))
    assert places["falls"] > 400 > places["rises"]


def test_bars_stand_on_each_other_and_words_are_escaped():
    one = Bars(edges=[0, 1, 2], counts=[2, 1], bottom=[0, 0], colour=BLUE, label="a < b")
    two = Bars(edges=[0, 1, 2], counts=[1, 0], bottom=[2, 1], colour=ORANGE)
    svg = as_svg((Chart(bars=[one, two]),), 8.0, 3.0).decode()
    assert "a &lt; b" in svg
    first = re.findall(rf'<path d="(M[^"]+)" fill="{BLUE}"', svg)[0]
    (second,) = re.findall(rf'<path d="(M[^"]+)" fill="{ORANGE}"', svg)
    top = min(float(v) for v in re.findall(r"V([\d.]+)", first) + re.findall(r" ([\d.]+)H", first))
    assert second.count("Z") == 1 and float(re.findall(r"V([\d.]+)", second)[0]) == pytest.approx(top)
