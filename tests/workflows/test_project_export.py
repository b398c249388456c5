"""`burnish project`: exports that open as projects and say how each file came about; stale results."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from burnish.core.errors import BurnishError
from burnish.core.events import Message
from burnish.io.star import make_table, write_star
from burnish.jobs.folder import Job
from burnish.jobs.project import Project, find_project, init_project
from burnish.options.project import ProjectOptions
from burnish.workflows import project as workflow


def make_job(project: Project, kind: str, inputs: list[str], outputs: dict[str, str]) -> str:
    name = project.next_name(kind)
    job = Job(kind.lower(), project.folder / name, {"cycles": 3}, project=project)
    job.begin([project.folder / i for i in inputs])
    for file, text in outputs.items():
        job.path(file).write_text(text)
    job.finish({})
    return name


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Particles → refinement → mask and post-processing, beside a branch that nothing here descends from."""
    project = init_project(tmp_path / "project")
    (project.folder / "stack.mrcs").write_bytes(b"images")
    (tmp_path / "outside.mrc").write_text("elsewhere")
    names = [f"{n:06d}@stack.mrcs" for n in (1, 2)]
    write_star(project.folder / "particles.star", [make_table("particles", {"rlnImageName": names})])
    make_job(project, "Refine3D", ["particles.star"], {
        "run_data.star": "d", "run_class001.mrc": "map", "run_half1_class001_unfil.mrc": "half",
        "run_it001_data.star": "i", "run_it001_checkpoint.pt": "c", "report.html": "r",
    })  # fmt: skip
    make_job(project, "MaskCreate", ["Refine3D/job001/run_class001.mrc"], {"mask.mrc": "mask"})
    make_job(project, "Other", ["Refine3D/job001/run_data.star"], {"postprocess.star": "not wanted"})
    make_job(
        project,
        "PostProcess",
        ["Refine3D/job001/run_half1_class001_unfil.mrc", "MaskCreate/job002/mask.mrc", "../outside.mrc"],
        {"postprocess.mrc": "sharp"},
    )
    return project


def act(project: Project, **given: object) -> tuple[dict, list[str]]:  # type: ignore[type-arg]
    said: list[str] = []
    options = ProjectOptions(folder=project.folder, **given)  # type: ignore[arg-type]
    job = Job("project", project.folder, {}, lambda e: said.append(e.text) if isinstance(e, Message) else None,
              keeps_record=False)  # fmt: skip
    return workflow.run(options, job), said


@pytest.mark.parametrize("name", ["out.zip", "out"])
def test_an_export_holds_what_the_job_descends_from(project: Project, tmp_path: Path, name: str) -> None:
    summary, said = act(project, action="export", job="4", to=tmp_path / name)
    assert summary["jobs"] == "Refine3D/job001, MaskCreate/job002, PostProcess/job004"
    assert [s for s in said if "outside.mrc" in s and "outside the project" in s]
    opened = tmp_path / "opened"
    if name.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            assert archive.testzip() is None
            archive.extractall(opened)
    else:
        opened = tmp_path / name
    found = {str(p.relative_to(opened)) for p in opened.rglob("*") if p.is_file()}
    assert "particles.star" in found and "Refine3D/job001/report.html" in found
    assert not [f for f in found if "it001" in f or "Other" in f or f == "stack.mrcs"]
    again = find_project(opened)
    assert again is not None
    assert again.read().previous("PostProcess/job004/") == ["Refine3D/job001/", "MaskCreate/job002/"]
    crate = {e["@id"]: e for e in json.loads((opened / "ro-crate-metadata.json").read_text())["@graph"]}
    part_of = {part["@id"] for part in crate["./"]["hasPart"]}
    assert part_of | {"ro-crate-metadata.json"} == found
    entity = crate["PostProcess/job004/postprocess.mrc"]
    assert entity["sha256"] == hashlib.sha256(b"sharp").hexdigest()
    action = crate["#PostProcess/job004"]
    assert {"@id": "MaskCreate/job002/mask.mrc"} in action["object"]
    assert {"@id": "PostProcess/job004/postprocess.mrc"} in action["result"]
    assert json.loads(action["description"])["options"] == {"cycles": 3}
    assert all(part["@id"] in crate for action in crate["./"]["mentions"] for part in crate[action["@id"]]["object"])


def test_iterations_and_images_on_request(project: Project, tmp_path: Path) -> None:
    act(project, action="export", job="1", to=tmp_path / "all", iterations=True, images=True)
    assert (tmp_path / "all/stack.mrcs").read_bytes() == b"images"
    assert (tmp_path / "all/Refine3D/job001/run_it001_data.star").exists()
    assert not (tmp_path / "all/PostProcess").exists()


def test_what_exists_is_not_written_over(project: Project, tmp_path: Path) -> None:
    (tmp_path / "out.zip").write_text("precious")
    with pytest.raises(BurnishError, match="exists already"):
        act(project, action="export", job="4", to=tmp_path / "out.zip")
    assert (tmp_path / "out.zip").read_text() == "precious"
    with pytest.raises(BurnishError, match="inside the job"):
        act(project, action="export", job="4", to=project.folder / "PostProcess/job004/out")
    with pytest.raises(BurnishError, match="which job"):
        act(project, action="export")


def states(project: Project) -> dict[str, str]:
    return {row["job"]: row["state"] for row in act(project, action="list")[0]["jobs"]}


def test_stale_results_are_told_by_hashes_down_the_line(project: Project) -> None:
    assert set(states(project).values()) == {"Succeeded"}
    particles = project.folder / "particles.star"
    text = particles.read_text()
    particles.write_text(text.replace("000002", "000003"))  # of the same size
    found = states(project)
    assert found["Refine3D/job001"] == "stale: particles.star has changed since"
    assert found["MaskCreate/job002"] == "stale: Refine3D/job001 is stale"
    assert found["PostProcess/job004"] == "stale: Refine3D/job001 is stale"
    particles.write_text(text)
    assert set(states(project).values()) == {"Succeeded"}
    (project.folder / "MaskCreate/job002/mask.mrc").unlink()
    found = states(project)
    assert found["Refine3D/job001"] == "Succeeded"
    assert found["PostProcess/job004"] == "stale: MaskCreate/job002/mask.mrc is gone"


def test_an_empty_project_says_so(tmp_path: Path) -> None:
    init_project(tmp_path / "new")
    heard: list[Message] = []
    job = Job("project", tmp_path, {}, heard.append, keeps_record=False)
    assert workflow.run(ProjectOptions(action="list", folder=tmp_path / "new"), job) == {"jobs": []}
    assert "no jobs yet" in heard[0].text
