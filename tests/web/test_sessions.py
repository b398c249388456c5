"""Sessions of hand editing through the server: a process a model, which may be killed at any moment."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra burnish[web]")
from fastapi.testclient import TestClient

from burnish.core.errors import JobError
from burnish.jobs.project import Project, init_project
from burnish.web import sessions as sessions_module
from burnish.web.security import HEADER
from burnish.web.server import create_app
from burnish.web.sessions import Sessions
from hand_peptide import density_of, library, true_model, write_inputs

TOKEN = "a-token-of-the-tests"
REFINE = {"tool": "refine", "chain": "A", "number": "4"}
MOVE = {"tool": "move", "chain": "A", "number": "5", "extent": "residue", "shift": [0.3, 0.0, 0.0]}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = init_project(tmp_path / "project")
    structure = true_model(library().monlib)
    write_inputs(project.folder, structure, density_of(structure))
    return project


@pytest.fixture
def client(project: Project) -> Iterator[TestClient]:
    app = create_app(project, TOKEN, frozenset({"127.0.0.1"}))
    with TestClient(app, base_url="http://127.0.0.1:8377", headers={HEADER: TOKEN}) as client:
        client.cookies.set("burnish_token", TOKEN)
        yield client


def ask(client: TestClient, path: str, body: Any) -> dict[str, Any]:
    response = client.post(path, content=json.dumps(body))
    assert response.status_code == 200, response.text
    return response.json()


def test_a_session_from_opening_to_its_job(client: TestClient, project: Project) -> None:
    opened = ask(client, "/api/sessions", {"model": "model.cif", "map": "map.mrc"})
    assert opened["job"] == "Rebuild/job001"
    assert opened["model"].startswith("data_")
    assert client.get("/api/sessions").json() == ["Rebuild/job001"]
    assert client.get("/api/jobs").json()[0]["status"] == "Running"
    moved = ask(client, "/api/sessions/Rebuild/job001", {"command": MOVE})
    assert moved["undo"] == 1
    assert moved["model"] != opened["model"]
    refused = client.post("/api/sessions/Rebuild/job001", content=json.dumps({"command": {"tool": "explode"}}))
    assert (refused.status_code, "tool" in refused.json()["error"]) == (400, True)
    missing = client.post("/api/sessions/Rebuild/job001", content=json.dumps({"command": {**REFINE, "chain": "Q"}}))
    assert "no such residue" in missing.json()["error"]
    undone = ask(client, "/api/sessions/Rebuild/job001", {"command": {"tool": "undo"}})
    assert (undone["undo"], undone["redo"]) == (0, 1)
    (project.folder / "other.mrc").write_bytes((project.folder / "map.mrc").read_bytes())
    assert ask(client, "/api/sessions/Rebuild/job001", {"do": "map", "map": "other.mrc"})["map"] == "other.mrc"
    for path in ("../map.mrc", "none.mrc", ".burnish_lock"):
        other = client.post("/api/sessions/Rebuild/job001", content=json.dumps({"do": "map", "map": path}))
        assert other.status_code == 404
    ask(client, "/api/sessions/Rebuild/job001", {"command": REFINE})
    ask(client, "/api/sessions/Rebuild/job001", {"do": "save"})
    assert (project.folder / "Rebuild/job001/rebuilt.cif").is_file()
    assert ask(client, "/api/sessions/Rebuild/job001", {"do": "finish"})["edits"] == 1
    (job,) = client.get("/api/jobs").json()
    assert job["status"] == "Succeeded"
    shown = client.get("/api/jobs/Rebuild/job001").json()
    assert shown["view"] == {"model": "Rebuild/job001/rebuilt.cif", "maps": [{"path": "map.mrc", "kind": "file"}]}
    assert [m["kind"] for m in shown["moves"]] == ["by hand: refine"]
    closed = client.post("/api/sessions/Rebuild/job001", content=json.dumps({"command": REFINE}))
    assert "no session is open" in closed.json()["error"]


def test_a_killed_worker_loses_nothing(project: Project) -> None:
    sessions = Sessions(project)
    try:
        name = sessions.start(project.folder / "model.cif", project.folder / "map.mrc")["job"]
        after = sessions.ask(name, {"command": MOVE})["model"]
        os.kill(sessions._open[f"{name}/"].process.pid, signal.SIGKILL)
        sessions._open[f"{name}/"].process.wait()
        with pytest.raises(JobError, match=r"open it again|no session is open"):
            sessions.ask(name, {"command": REFINE})
        assert project.mark_killed() == [f"{name}/"]
        again = sessions.resume(name)
        assert again["model"] == after
        assert again["undo"] == 1
        assert sessions.resume(name)["model"] == after  # one that lives is found, not started twice
        assert sessions.ask(name, {"do": "finish"})["finished"]
    finally:
        sessions.close()
    assert project.find(name).status == "Succeeded"


def test_a_server_that_ends_leaves_the_edits(project: Project) -> None:
    sessions = Sessions(project)
    name = sessions.start(project.folder / "model.cif", project.folder / "map.mrc")["job"]
    sessions.ask(name, {"command": MOVE})
    sessions.close()
    assert project.find(name).status == "Aborted"
    assert (project.folder / name / "rebuilt.cif").is_file()
    other = Sessions(project)
    assert other.resume(name)["undo"] == 1
    other.close()


def test_what_sessions_refuse(client: TestClient, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    start = {"model": "model.cif", "map": "map.mrc"}
    without = client.post("/api/sessions", content=json.dumps(start), headers={HEADER: "wrong"})
    crossed = client.post("/api/sessions", content=json.dumps(start), headers={"sec-fetch-site": "cross-site"})
    assert (without.status_code, crossed.status_code) == (403, 403)
    outside = client.post("/api/sessions", content=json.dumps({**start, "model": "../model.cif"}))
    assert outside.status_code == 404
    assert client.post("/api/sessions", content="[]").status_code == 400
    assert client.post("/api/sessions", content=json.dumps({"model": 1})).status_code == 400
    assert client.post("/api/sessions/Rebuild/job009/open").status_code == 400
    assert project.read().job_counter == 1
    monkeypatch.setattr(sessions_module, "MOST_SESSIONS", 0)
    full = client.post("/api/sessions", content=json.dumps(start))
    assert (full.status_code, "sessions are open" in full.json()["error"]) == (400, True)
    monkeypatch.undo()
    (project.folder / "bad.cif").write_text("data_x\n")
    bad = client.post("/api/sessions", content=json.dumps({**start, "model": "bad.cif"}))
    assert "no atoms" in bad.json()["error"]
    assert not list((project.folder / "Rebuild").iterdir())
