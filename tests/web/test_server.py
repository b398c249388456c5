"""The web server lets in the holder of the token, for this project's files, and nobody else."""

import json
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra burnish[web]")
from fastapi.testclient import TestClient

from burnish.core.events import Message, Metrics, Shells
from burnish.jobs.folder import Job
from burnish.jobs.pipeline import new_process
from burnish.jobs.project import Project, init_project
from burnish.web.jobs_view import read_events
from burnish.web.security import HEADER, MAX_BODY
from burnish.web.server import create_app

TOKEN = "a-token-of-the-tests"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = init_project(tmp_path / "project")
    (tmp_path / "secret.star").write_text("outside")
    job = Job("refine3d", project.folder / project.next_name("Refine3D"), {"note": SCRIPT}, project=project)
    job.begin()
    job.notify(Message(SCRIPT))
    job.notify(Metrics("iteration", 1, {"resolution": 8.0}))
    job.path("run_data.star").write_text(SCRIPT)
    job.path("report.html").write_text(f"<p>{SCRIPT}</p>")
    job.finish({"resolution": 8.0})
    (job.folder / "leak.star").symlink_to(tmp_path / "secret.star")
    return project


@pytest.fixture
def anonymous(project: Project) -> TestClient:
    app = create_app(project, TOKEN, frozenset({"127.0.0.1"}))
    return TestClient(app, base_url="http://127.0.0.1:8377", follow_redirects=False)


@pytest.fixture
def client(anonymous: TestClient) -> TestClient:
    signed_in = anonymous.get("/", params={"token": TOKEN})
    assert signed_in.status_code == 303
    assert "httponly" in signed_in.headers["set-cookie"].lower()
    assert "samesite=strict" in signed_in.headers["set-cookie"].lower()
    return anonymous


@pytest.mark.parametrize("path", ["/", "/api/jobs", "/files/default_pipeline.star", "/static/page.js"])
@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x"])
def test_nothing_without_the_token(anonymous: TestClient, path: str, token: str | None) -> None:
    response = anonymous.get(path, params={} if token is None else {"token": token})
    assert response.status_code == 403
    assert "default-src 'none'" in response.headers["content-security-policy"]


def test_other_hosts_are_refused(client: TestClient) -> None:
    assert client.get("/api/jobs", headers={"host": "evil.example"}).status_code == 421


def test_changes_need_the_token_in_a_header(client: TestClient, project: Project) -> None:
    body = json.dumps({})
    assert client.post("/api/start/refine3d", content=body).status_code == 403
    crossed = {HEADER: TOKEN, "sec-fetch-site": "cross-site"}
    assert client.post("/api/start/refine3d", content=body, headers=crossed).status_code == 403
    assert client.post("/api/start/no-such-job", content=body, headers={HEADER: TOKEN}).status_code == 404
    assert project.read().job_counter == 2


def test_options_that_do_not_fit_start_nothing(client: TestClient, project: Project) -> None:
    response = client.post("/api/start/refine", content=json.dumps({"cycles": -1}), headers={HEADER: TOKEN})
    assert response.status_code == 422
    assert "cycles" in response.json()["error"]
    assert project.read().job_counter == 2


def test_oversized_bodies_are_refused(client: TestClient) -> None:
    response = client.post("/api/start/refine3d", content=b" " * (MAX_BODY + 1), headers={HEADER: TOKEN})
    assert response.status_code == 413


@pytest.mark.parametrize(
    "path",
    [
        "../secret.star",
        "%2e%2e/secret.star",
        "Refine3D/job001/../../../secret.star",
        "Refine3D/job001/leak.star",
        "/etc/passwd",
        ".burnish_lock",
        "Refine3D/job001/.running",
        "Refine3D",
        "none.star",
        "a%00b",
    ],
)
def test_no_file_outside_the_project(client: TestClient, path: str) -> None:
    response = client.get(f"/files/{path}")
    assert response.status_code in (404, 400)
    assert "outside" not in response.text


def test_script_in_files_is_text(client: TestClient) -> None:
    star = client.get("/files/Refine3D/job001/run_data.star")
    assert star.text == SCRIPT
    assert star.headers["content-type"].startswith("text/plain")
    assert star.headers["x-content-type-options"] == "nosniff"
    report = client.get("/files/Refine3D/job001/report.html")
    policy = report.headers["content-security-policy"]
    assert "sandbox" in policy and "default-src 'none'" in policy
    assert "script-src" not in policy and "allow-scripts" not in policy and "allow-forms" not in policy


def test_jobs_and_their_details(client: TestClient) -> None:
    (job,) = client.get("/api/jobs").json()
    assert (job["name"], job["status"]) == ("Refine3D/job001", "Succeeded")
    details = client.get("/api/jobs/Refine3D/job001").json()
    assert details["record"]["summary"] == {"resolution": 8.0}
    assert {f["name"] for f in details["files"]} >= {"run_data.star", "report.html", "job.json"}
    assert client.get("/api/jobs/Refine3D/job009").status_code == 400


def test_events_are_read_from_where_one_left_off(project: Project) -> None:
    folder = project.folder / "Refine3D/job001"
    events, offset = read_events(folder, 0)
    assert [e["event"] for e in events] == ["message", "metrics"]
    assert events[1]["names"] == {"resolution": "resolution (Å)"}
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"event": "message", "text": "whole"}\n{"event": "half')
    more, further = read_events(folder, offset)
    assert [e["text"] for e in more] == ["whole"]
    assert read_events(folder, further) == ([], further)


def test_numbers_that_are_none_reach_the_browser_as_null(project: Project, client: TestClient) -> None:
    job = Job("refine", project.folder / project.next_name("Refine"), {}, project=project)
    job.begin()
    job.notify(Shells("cycle", 1, {"d_min": (3.0, 2.0), "r_free": (0.3, float("nan"))}))
    job.path("validation.json").write_text('{"clashscore": NaN}')
    events, _ = read_events(job.folder, 0)
    assert events[0]["columns"] == {"d_min": [3.0, 2.0], "r_free": [0.3, None]}
    assert client.get("/api/jobs/Refine/job002").json()["validation"] == {"clashscore": None}
    assert "Shells" not in (job.folder / "run.log").read_text()
    job.finish({})


def test_model_and_maps_of_a_job(project: Project, client: TestClient) -> None:
    refine = Job("refine", project.folder / project.next_name("Refine"), {"model": "start.pdb"}, project=project)
    refine.begin()
    assert client.get("/api/jobs/Refine/job002").json()["view"] is None
    for name in ("refined.cif", "refined.mtz"):
        refine.path(name).write_text("x")
    refine.finish({})
    maps = [{"path": "Refine/job002/refined.mtz", "kind": kind} for kind in ("density", "difference")]
    assert client.get("/api/jobs/Refine/job002").json()["view"] == {"model": "Refine/job002/refined.cif", "maps": maps}
    options = {"model": "Refine/job002/refined.cif", "mask": "../secret.star"}
    judged = Job("validate", project.folder / project.next_name("Validate"), options, project=project)
    judged.begin()
    judged.path("moves.jsonl").write_text('{"kind": "rotamer", "residue": "A 1 LEU", "accepted": true, "undo": []}\n')
    shown = client.get("/api/jobs/Validate/job003").json()
    assert shown["view"] == {"model": "Refine/job002/refined.cif", "maps": maps}
    assert shown["moves"] == [{"kind": "rotamer", "residue": "A 1 LEU", "accepted": True}]
    judged.finish({})


@pytest.mark.parametrize("path", ["/maps/../secret.star", "/maps/Refine3D/job001/leak.star", "/sections/none.mrc"])
def test_maps_only_of_the_project(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_maps_that_are_none_are_refused_in_one_line(client: TestClient) -> None:
    for path in ("/maps/Refine3D/job001/run_data.star", "/sections/Refine3D/job001/run_data.star"):
        response = client.get(path)
        assert response.status_code == 400
        assert "not a CCP4 or MRC map" in response.json()["error"]
    assert client.get("/maps/x.mtz?kind=density&centre=a,b").status_code == 404
    bad = client.get("/maps/Refine3D/job001/run_data.star?kind=file&centre=1,2")
    assert (bad.status_code, "expected x,y,z" in bad.json()["error"]) == (400, True)


def test_a_job_whose_folder_is_gone_is_still_shown(project: Project, client: TestClient) -> None:
    with project.changing() as held:
        held[0] = held[0].with_process(new_process("External/job009/", "Succeeded"))
    shown = client.get("/api/jobs/External/job009").json()
    assert (shown["files"], shown["first_map"]) == ([], None)
    assert client.get("/api/jobs/External/job009/images").json()["maps"] == []
    assert client.get("/api/jobs/External/job009/status").json() == {"status": "Succeeded"}


def test_what_a_form_can_be_filled_in_with(project: Project, client: TestClient) -> None:
    (project.folder / "data").mkdir()
    (project.folder / "data" / "native.mtz").write_text("x")
    refine = Job("refine", project.folder / project.next_name("Refine"), {"data": "data/native.mtz"}, project=project)
    refine.begin()
    refine.path("refined.cif").write_text("x")
    assert client.get("/api/jobs/Refine/job002").json()["starts"] == []  # not yet
    refine.finish({"r_free": 0.2, "low_pass": None})
    shown = client.get("/api/jobs/Refine/job002").json()
    assert shown["results"] == [["R-free", 0.2]]
    starts = {n["command"]: n["options"] for n in shown["starts"]}
    assert starts["deposit"] == {"source": "Refine/job002"}
    edit = Job(
        "edit", project.folder / project.next_name("Rebuild"), {"model": "Refine/job002/refined.cif"}, project=project
    )
    edit.begin()
    edit.path("rebuilt.cif").write_text("x")
    edit.finish({})
    files = client.get("/api/files").json()
    assert files[0] == "data/native.mtz"  # before what jobs made
    assert {"Refine/job002/refined.cif", "Rebuild/job003/rebuilt.cif"} < set(files)
    starts = {n["command"]: n["options"] for n in client.get("/api/jobs/Rebuild/job003").json()["starts"]}
    assert set(starts) == {"refine", "rebuild", "cycle", "validate"}
    assert starts["refine"] == {"model": "Rebuild/job003/rebuilt.cif", "data": "data/native.mtz"}


def test_maps_lead_to_the_next_step(project: Project, client: TestClient) -> None:
    half = project.folder / "Refine3D/job001/run_half1_class001_unfil.mrc"
    half.write_text("x")
    starts = {n["command"]: n["options"] for n in client.get("/api/jobs/Refine3D/job001").json()["starts"]}
    assert starts["postprocess"] == {"half1": "Refine3D/job001/run_half1_class001_unfil.mrc", "mask": "auto"}
    after = Job("postprocess", project.folder / project.next_name("PostProcess"), {"half1": str(half)}, project=project)
    after.begin()
    after.path("postprocess.star").write_text("x")
    after.finish({})
    (start,) = client.get("/api/jobs/PostProcess/job002").json()["starts"]
    assert start["command"] == "ctfrefine"
    assert start["options"]["postprocess"] == "PostProcess/job002/postprocess.star"
