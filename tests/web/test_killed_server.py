"""kill -9 of the server while a job runs and a model is edited: the job ends, the edits are there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra burnish[web]")
import httpx2

from burnish.jobs.project import Project, init_project
from burnish.web.security import HEADER
from hand_peptide import density_of, library, true_model, write_inputs

TOKEN = "a-token-of-the-tests"
MOVE = {"tool": "move", "chain": "A", "number": "5", "extent": "residue", "shift": [0.3, 0.0, 0.0]}
PATIENCE = 120.0  # s, on a busy machine


def serve(project: Project) -> tuple[subprocess.Popen[bytes], str]:
    """A server in a process of its own, and its address."""
    command = [sys.executable, "-m", "burnish.cli.main", "serve", ".", "--token", TOKEN, "--port", "18900"]
    said = (project.folder / "serve.log").open("ab")
    server = subprocess.Popen(command, cwd=project.folder, stdout=said, stderr=said)
    said.close()
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for line in (project.folder / "serve.log").read_text().splitlines()[::-1]:
            if "http://" in line and answers(address := line.strip().split("/?")[0]):
                return server, address
        time.sleep(0.2)
    server.kill()
    raise AssertionError((project.folder / "serve.log").read_text())


def answers(address: str) -> bool:
    try:
        return httpx2.get(address, timeout=5.0).status_code == 403
    except httpx2.TransportError:
        return False


def ask(address: str, path: str, body: Any) -> dict[str, Any]:
    response = httpx2.post(f"{address}{path}", content=json.dumps(body), headers={HEADER: TOKEN}, timeout=PATIENCE)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.slow
def test_nothing_is_lost(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project")
    structure = true_model(library().monlib)
    write_inputs(project.folder, structure, density_of(structure))
    server, address = serve(project)
    try:
        session = ask(address, "/api/sessions", {"model": "model.cif", "map": "map.mrc"})["job"]
        after = ask(address, f"/api/sessions/{session}", {"command": MOVE})["model"]
        job = ask(address, "/api/start/validate", {"model": "model.cif"})["job"]
    finally:
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
    end = time.monotonic() + PATIENCE
    while project.find(job).status in ("Scheduled", "Running") and time.monotonic() < end:
        time.sleep(0.3)
    assert project.find(job).status == "Succeeded"
    while project.find(session).status == "Running" and time.monotonic() < end:
        time.sleep(0.3)
    assert project.find(session).status == "Aborted"
    (project.folder / "serve.log").unlink()
    again, address = serve(project)
    try:
        assert ask(address, f"/api/sessions/{session}/open", {})["model"] == after
        assert ask(address, f"/api/sessions/{session}", {"do": "finish"})["edits"] == 1
    finally:
        again.terminate()
        again.wait()
    assert project.find(session).status == "Succeeded"
