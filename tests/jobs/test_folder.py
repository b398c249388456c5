"""The life of a job folder."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from burnish.core.errors import JobError
from burnish.core.events import Event, Message, Metrics, Progress
from burnish.jobs.folder import Job


def test_nothing_is_written_before_the_inputs_are_good(tmp_path: Path) -> None:
    job = Job("refine", tmp_path / "job", {})
    job.notify(Message("reading"))
    job.fail(ValueError("bad input"))
    assert not (tmp_path / "job").exists()


def test_record_log_and_listener_tell_the_same_story(tmp_path: Path) -> None:
    heard: list[Event] = []
    given = tmp_path / "data.mtz"
    given.write_bytes(b"reflections")
    job = Job("refine", tmp_path / "job", {"cycles": 10}, heard.append)
    job.notify(Message("told before the folder exists"))
    job.begin([given], seed=3)
    job.notify(Message("one amplitude is absurd", "warning"))
    job.notify(Progress("cycles", 1, 10))
    job.notify(Metrics("cycle", 1, {"r_free": 0.25}))
    job.finish({"r_free": 0.25})

    record = json.loads((tmp_path / "job" / "job.json").read_text())
    assert record["state"] == "finished"
    assert record["seed"] == 3
    assert record["summary"] == {"r_free": 0.25}
    assert record["inputs"][0]["sha256"] == hashlib.sha256(b"reflections").hexdigest()
    log = (tmp_path / "job" / "run.log").read_text()
    assert "told before the folder exists" in log
    assert "WARNING one amplitude is absurd" in log
    assert "cycle   1  R-free 0.25\n" in log
    assert len(heard) == 4
    events = [json.loads(line) for line in (tmp_path / "job" / "events.jsonl").read_text().splitlines()]
    assert [e["event"] for e in events] == ["message", "progress", "metrics"]
    assert events[2]["values"] == {"r_free": 0.25}


def test_failure_and_interruption_are_told_apart(tmp_path: Path) -> None:
    for name, interrupted, state in (("a", False, "failed"), ("b", True, "interrupted")):
        job = Job("refine", tmp_path / name, {})
        job.begin()
        job.fail(RuntimeError("lost the disk"), interrupted=interrupted)
        record = json.loads((tmp_path / name / "job.json").read_text())
        assert record["state"] == state
        assert record["error"] == "RuntimeError: lost the disk"
        assert "Traceback" in record["traceback"] or "RuntimeError" in record["traceback"]


def test_a_command_without_a_folder_leaves_no_record(tmp_path: Path) -> None:
    job = Job("mask", tmp_path, {}, keeps_record=False)
    job.begin()
    job.notify(Message("hello"))
    job.finish({})
    assert list(tmp_path.iterdir()) == []


def finished(folder: Path, job_type: str = "refine", **options: Any) -> list[Event]:
    heard: list[Event] = []
    job = Job(job_type, folder, options, heard.append)
    job.begin()
    job.finish({})
    return heard


def test_results_that_are_replaced_are_told_of(tmp_path: Path) -> None:
    assert finished(tmp_path / "a") == []
    (again,) = finished(tmp_path / "a")
    assert isinstance(again, Message) and again.level == "warning"
    assert "held the results of an earlier refine" in again.text
    assert finished(tmp_path / "a", continue_from="checkpoint.npz") == []
    assert finished(tmp_path / "b", "cycle") == finished(tmp_path / "b", "cycle") == []


def test_a_job_of_another_kind_is_not_written_over(tmp_path: Path) -> None:
    finished(tmp_path / "a")
    before = (tmp_path / "a" / "job.json").read_bytes()
    with pytest.raises(JobError, match="holds a refine job, which would be lost; give another --out"):
        finished(tmp_path / "a", "validate")
    assert (tmp_path / "a" / "job.json").read_bytes() == before
