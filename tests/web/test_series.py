"""Which numbers of a job share a chart on the page."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import burnish.web

SERIES = Path(burnish.web.__file__).parent / "static" / "series.js"


def groups(metrics: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    code = f"import {{ groups }} from {json.dumps(SERIES.as_uri())};"
    code += f"console.log(JSON.stringify([...groups({json.dumps(metrics)})].map(([t, g]) => [t, g.points])))"
    done = subprocess.run([node, "--input-type=module", "-e", code], check=True, capture_output=True, text=True)
    found: dict[str, list[dict[str, Any]]] = dict(json.loads(done.stdout))
    return found


def cycle(step: int, r_free: float, series: str = "cycle") -> dict[str, Any]:
    return {"series": series, "step": step, "values": {"r_free": r_free}, "names": {"r_free": "R-free"}}


def test_names_are_those_that_the_server_sends() -> None:
    values = {"r_free": 0.3, "bond_rmsz": 1.0, "clashscore": 4.0}
    names = {"r_free": "R-free", "bond_rmsz": "bond rms Z", "clashscore": "clashscore"}
    found = groups([{"series": "cycle", "step": 0, "values": values, "names": names}])
    assert {title: points[0]["name"] for title, points in found.items()} == {
        "R factors and correlation": "R-free",
        "rms Z": "bond rms Z",
        "clashscore": "clashscore",
    }


def test_cycles_of_later_rounds_go_on_after_the_earlier_and_rounds_are_by_themselves() -> None:
    found = groups([cycle(0, 0.3), cycle(1, 0.28), cycle(0, 0.28, "round"), cycle(0, 0.27), cycle(1, 0.26)])
    assert [p["step"] for p in found["R factors and correlation by cycle"]] == [0, 1, 2, 3]
    assert [p["step"] for p in found["R factors and correlation by round"]] == [0]


def test_an_iteration_that_was_done_again_stays_where_it_was() -> None:
    found = groups([cycle(6, 0.3), cycle(7, 0.28), cycle(7, 0.28)])
    assert [p["step"] for p in found["R factors and correlation"]] == [6, 7, 7]
