"""A server that is killed takes no job with it, and the next one shows what became of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import gemmi
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra burnish[web]")

from tests.workflows.small_crystal import write_case

from burnish.jobs.project import init_project
from burnish.jobs.record import read_record
from burnish.web.security import HEADER

TOKEN = "a-token-of-the-tests"
PATIENCE = 120.0  # s, for a loaded machine


def serve(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a server; return it and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "burnish.cli.main", "serve", f"--token={TOKEN}", "--port=18377"],
        cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        found = re.search(r"http://[\d.]+:\d+", line)
        if found:
            return process, found[0]
    raise AssertionError("the server did not start")


def ask(address: str, path: str, body: object = None) -> dict:  # type: ignore[type-arg]
    """Ask as the page does: signed in by a cookie, changes with the token in a header."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            browser.open(f"{address}/?token={TOKEN}", timeout=60).close()
            break
        except urllib.error.HTTPError:
            raise
        except OSError:  # it has told its address, but does not listen yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    data = None if body is None else json.dumps(body).encode()
    with browser.open(urllib.request.Request(address + path, data=data, headers={HEADER: TOKEN}), timeout=60) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_job_outlives_its_server_with_the_same_result(tmp_path: Path) -> None:
    write_case(tmp_path)
    project = init_project(tmp_path)
    given = {"model": "model.cif", "data": "data.mtz", "cycles": 3}
    first, address = serve(tmp_path)
    killed = ask(address, "/api/start/refine", given)["job"]
    deadline = time.monotonic() + PATIENCE
    while read_record(tmp_path / killed) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    kill(first)
    while (record := read_record(tmp_path / killed)) and record.state == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert record is not None and record.state == "finished"
    second, address = serve(tmp_path)
    try:
        jobs = ask(address, "/api/jobs")
        assert killed in json.dumps(jobs)
        undisturbed = ask(address, "/api/start/refine", given)["job"]
        deadline = time.monotonic() + PATIENCE
        while project.find(undisturbed).status != "Succeeded" and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        kill(second)
    assert {p.status for p in project.read().processes} == {"Succeeded"}
    models = [gemmi.read_structure(str(tmp_path / name / "refined.cif")) for name in (killed, undisturbed)]
    places = [np.array([cra.atom.pos.tolist() for cra in m[0].all()]) for m in models]
    assert np.array_equal(*places)
