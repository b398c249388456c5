"""Figures of the refinement report."""

import pytest

from burnish.reports.figures import house_style
from burnish.reports.refinement_figures import cycles_figure, geometry_figure

NUMBERS = ("r_work", "r_free", "work_value", "free_value", "bond_rmsz", "angle_rmsz", "weight")


@pytest.mark.parametrize("count", [1, 2, 11])
def test_cycles_are_counted_in_whole_numbers(count: int) -> None:
    cycles = [{"cycle": float(i), **dict.fromkeys(NUMBERS, 0.5)} for i in range(count)]
    with house_style():
        for figure in (cycles_figure(cycles), geometry_figure(cycles)):
            figure.canvas.draw()
            for axes in figure.axes:
                low, high = axes.get_xlim()
                shown = [t for t in axes.get_xticks() if low <= t <= high]
                assert shown and all(t == round(t) for t in shown)
