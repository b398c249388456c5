"""`burnish continue` and `burnish rerun`: jobs started again from their records."""

from pathlib import Path

import pytest

from burnish.cli.repeat import resume
from burnish.core.errors import JobError
from burnish.jobs.folder import Job
from burnish.jobs.project import Project, init_project
from burnish.options.project import RepeatOptions


def test_a_finished_job_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(init_project(tmp_path).folder)
    project = Project(Path())
    job = Job("refine", Path(project.next_name("Refine")), {"continue_from": None}, project=project)
    job.begin()
    job.path("checkpoint.npz").write_bytes(b"the last cycle")
    job.finish({"r_free": 0.2})
    before = job.path("job.json").read_bytes()
    with pytest.raises(JobError, match="Refine/job001/: has finished; nothing to continue; `burnish rerun 1`"):
        resume(RepeatOptions(job="1"), Job("continue", Path(), {}, keeps_record=False))
    assert job.path("job.json").read_bytes() == before
    assert project.read().processes[0].status == "Succeeded"
