"""`burnish batch` on a small crystal: failures do not stop it, it goes on where it was, and its helper's deaths."""

from __future__ import annotations

import csv
import json
import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from tests.worker.killing import kill_when, kill_workers, start
from tests.workflows.small_crystal import write_case

from burnish.core.errors import BurnishError
from burnish.core.events import Message
from burnish.jobs.folder import Job
from burnish.jobs.record import read_record
from burnish.options.batch import BatchOptions
from burnish.worker import sets
from burnish.workflows import batch


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_case(tmp_path_factory.mktemp("case"))


def run(options: BatchOptions, said: list[str] | None = None) -> dict:  # type: ignore[type-arg]
    def listen(event: object) -> None:
        if said is not None and isinstance(event, Message):
            said.append(event.text)

    job = Job("batch", options.out, options.model_dump(mode="json"), listen)
    summary = batch.run(options, job)
    job.finish(summary)
    return summary


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "summary.csv").open(encoding="utf-8") as file:
        return {row["set"]: row for row in csv.DictReader(file)}


def test_one_table_for_all_and_nothing_twice(case: tuple[Path, Path], tmp_path: Path) -> None:
    model, data = case
    table = tmp_path / "sets.csv"
    bad = tmp_path / "bad.mtz"
    bad.write_text("no reflections")
    table.write_text(
        f"name,model,data,cycles\ngood,{model},{data},2\nno-file,{model},{tmp_path}/none.mtz,2\n"
        f"bad-file,{model},{bad},2\nbad-option,{model},{data},many\nscored,{model},{data},0\n"
    )
    options = BatchOptions(sets=str(table), out=tmp_path / "out")
    summary = run(options)
    assert (summary["sets"], summary["done"], summary["failed"]) == (5, 2, 3)
    found = rows(options.out)
    assert [found[n]["state"] for n in found] == ["done", "failed", "failed", "failed", "done"]
    assert float(found["good"]["r_free"]) < float(found["scored"]["r_free"])
    assert "none.mtz" in found["no-file"]["error"] and "--cycles many" in found["bad-option"]["error"]
    assert not (options.out / "no-file").exists()
    page = (options.out / "report.html").read_text()
    assert 'href="good/report.html"' in page and "2 of 5 data sets are done, 3 failed" in page
    assert json.loads((options.out / "summary.json").read_text())[0]["summary"]["cycles"] == 2
    before = (options.out / "good" / "refined.cif").stat().st_mtime_ns
    said: list[str] = []
    bad.write_bytes(data.read_bytes())
    again = run(options, said)
    assert (again["done"], again["failed"]) == (3, 2)
    assert any(s.startswith("2 of them are done") for s in said)
    assert (options.out / "good" / "refined.cif").stat().st_mtime_ns == before
    assert rows(options.out)["good"]["state"] == "done before"
    assert rows(options.out)["good"]["r_free"] == found["good"]["r_free"]
    table.write_text(f"name,model,data,cycles\ngood,{model},{data},1\n")
    assert run(options)["done"] == 1
    assert rows(options.out)["good"]["state"] == "done"  # other options: run again


def test_folds_have_a_mean(case: tuple[Path, Path], tmp_path: Path) -> None:
    table = tmp_path / "sets.csv"
    table.write_text(f"name,model,data\none,{case[0]},{case[1]}\n")
    o = BatchOptions(sets=str(table), out=tmp_path / "out", set=("cycles=1",), scan=("free-value=0,1",))
    summary = run(o)
    assert summary["done"] == 2
    assert summary["scans"][0]["runs"] == "2" and "±" in summary["scans"][0]["r_free"]
    free = [rows(o.out)[f"one_free-value-{v}"]["r_free"] for v in (0, 1)]
    assert free[0] != free[1]


def request(case: tuple[Path, Path], out: Path, **changes: object) -> dict[str, object]:
    given = {"model": str(case[0]), "data": str(case[1]), "out": str(out), "cycles": 500}
    return {"command": "refine", "options": given, "folder": str(out.parent), "limit": None, **changes}


def test_a_set_that_takes_too_long_is_given_up(case: tuple[Path, Path], tmp_path: Path) -> None:
    answer = sets.run_set(request(case, tmp_path / "a", limit=0.3))
    assert "--time-limit" in answer["error"]
    assert "summary" in sets.run_set(request(case, tmp_path / "b", options={
        "model": str(case[0]), "data": str(case[1]), "out": str(tmp_path / "b"), "cycles": 0,
    }))  # fmt: skip


def end_children(parent: int) -> None:
    """End the first children that a process has, as a crash would."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for child in psutil.Process(parent).children():
            child.send_signal(signal.SIGSEGV)
            return
        time.sleep(0.02)


def test_a_crash_is_told_and_costs_nobody_else(case: tuple[Path, Path], tmp_path: Path) -> None:
    sets.run_set(request(case, tmp_path / "none", options={}))  # the helper runs
    helper = sets._helper()._process.pid
    watcher = threading.Thread(target=end_children, args=(helper,))
    watcher.start()
    answer = sets.run_set(request(case, tmp_path / "a"))
    watcher.join()
    assert "SIGSEGV" in answer["error"]
    os.kill(helper, signal.SIGKILL)
    time.sleep(0.1)
    assert "error" in sets.run_set(request(case, tmp_path / "none", options={}))
    assert sets._helper()._process.pid != helper


def test_only_known_names(case: tuple[Path, Path], tmp_path: Path) -> None:
    table = tmp_path / "sets.csv"
    table.write_text(f"name,model,data\none,{case[0]},{case[1]}\n")
    with pytest.raises(BurnishError, match="--only two"):
        run(BatchOptions(sets=str(table), out=tmp_path / "out", only=("two",)))
    assert not (tmp_path / "out").exists()
    assert read_record(tmp_path / "out") is None


@pytest.mark.slow
def test_a_batch_whose_workers_and_client_are_killed_ends_with_the_same_table(
    case: tuple[Path, Path], tmp_path: Path
) -> None:
    table = tmp_path / "sets.csv"
    lines = [f"s{n},{case[0]},{case[1]},{n}" for n in range(1, 7)]
    table.write_text("\n".join(["name,model,data,cycles", *lines]))
    run(BatchOptions(sets=str(table), out=tmp_path / "whole"))
    arguments = ["batch", str(table), "--out=out", "--workers=2"]
    killed = start(arguments, tmp_path)
    kill_when(killed, tmp_path / "out" / "s3" / "job.json")  # begun when one of the first two had ended
    again = start(arguments, tmp_path)
    kill_workers(again, tmp_path / "out" / "s4" / "job.json", times=3, seed=1, pause=(0.5, 2.0))
    assert again.wait() == 0, (tmp_path / "said").read_text()
    names = ("state", "cpu_seconds")
    found = [[{k: v for k, v in row.items() if k not in names} for row in rows(tmp_path / o).values()]
             for o in ("whole", "out")]  # fmt: skip
    assert found[0] == found[1]
    assert {row["state"] for row in rows(tmp_path / "out").values()} <= {"done", "done before"}
    assert "done before" in {row["state"] for row in rows(tmp_path / "out").values()}
