"""Figures of the refinement report."""

import re
import xml.etree.ElementTree as ET

import pytest

from burnish.models.data_term import ShellStatistics
from burnish.reports.refinement_figures import b_figure, cycles_figure, geometry_figure, shells_figure

NUMBERS = ("r_work", "r_free", "work_value", "free_value", "bond_rmsz", "angle_rmsz", "weight")


def words(svg: bytes) -> list[str]:
    return [text.text or "" for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("count", [1, 2, 11])
def test_cycles_are_counted_in_whole_numbers(count: int) -> None:
    cycles = [{"cycle": float(i), **dict.fromkeys(NUMBERS, 0.513)} for i in range(count)]
    for figure in (cycles_figure(cycles), geometry_figure(cycles)):
        marks = re.findall(r'<text x="[\d.]+" y="([\d.]+)"[^>]*text-anchor="middle">([^<]*)</text>', figure.decode())
        under = [text for _, text in marks if re.fullmatch(r"[−\d.]+", text)]
        assert under and all(float(text) == round(float(text)) for text in under)
        assert words(figure).count("cycle") == 2


def test_what_is_not_known_is_left_out() -> None:
    cycles = [{"cycle": float(i), **dict.fromkeys(NUMBERS, 0.5), "r_free": float("nan")} for i in range(3)]
    shown = words(cycles_figure(cycles))
    assert "R-work" in shown and "R-free" not in shown and "free" in shown
    shell = ShellStatistics(
        d_max=10.0, d_min=4.0, measured=5, free=0, completeness=1.0, r_work=0.2, r_free=float("nan"), cc_work=0.9,
        cc_free=float("nan"), d_scale=1.0, fom=0.8,
    )  # fmt: skip
    shown = words(shells_figure([shell, shell]))
    assert "work" in shown and "free" not in shown and "FOM" in shown


def test_waters_stand_on_the_model_and_the_last_bar_holds_the_rest() -> None:
    svg = b_figure([10.0] * 30 + [20.0] * 10, [20.0] * 5)
    assert {"model, 40", "water, 5", "B, Å²", "atoms"} <= set(words(svg))
    assert "water" not in " ".join(words(b_figure([10.0, 500.0], [])))
    assert "model, 0" in words(b_figure([], []))
