"""Texts reach the terminal as they are: names of files may hold what looks like markup or an emoji."""

import pytest

from burnish.cli.terminal import Terminal
from burnish.core.events import Message

ODD = "a:x: [red] [/] b.mtz"


def test_messages_and_errors_are_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal("refine")
    terminal(Message(ODD))
    terminal(Message(ODD, "warning"))
    terminal.error(ODD)
    assert capsys.readouterr().err.splitlines() == [ODD, f"warning: {ODD}", f"burnish refine: {ODD}"]


def test_summaries_are_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal("refine").summary({"report": ODD, "places": [{"file": ODD}]})
    assert capsys.readouterr().out.count(ODD) == 2


def test_a_summary_keeps_its_order(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal("project").summary(
        {"job": "Refine/job001", "options": [{"option": "cycles", "value": "10"}], "r_free": 0.2}
    )
    words = capsys.readouterr().out.split()
    assert [w for w in words if w in ("job", "cycles", "R-free")] == ["job", "cycles", "R-free"]
