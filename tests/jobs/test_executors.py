"""Tasks in this process and on Dask workers: one contract for both; deaths of workers; queues and addresses."""

from __future__ import annotations

import os
import signal
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from pydantic import ValidationError

pytest.importorskip("distributed", reason="needs the extra burnish[cluster]")

from burnish.core.errors import BurnishError
from burnish.core.events import Event, Message
from burnish.jobs.dask_executor import count_gpus, gpu_of_worker, open_executor
from burnish.jobs.executors import Executor, LocalExecutor
from burnish.options.executor import ExecutorOptions

told: list[Event] = []


@pytest.fixture(scope="module")
def on_dask() -> Iterator[Executor]:
    with open_executor(ExecutorOptions(executor="dask", workers=2), told.append) as executor:
        yield executor


@pytest.fixture(params=["local", "dask"])
def executor(request: pytest.FixtureRequest, on_dask: Executor) -> Executor:
    return LocalExecutor() if request.param == "local" else on_dask


def test_values_come_with_their_numbers(executor: Executor) -> None:
    handles = [executor.submit("math:sqrt", n * n, place=n / 5) for n in range(5)]
    assert executor.gather(handles) == [0, 1, 2, 3, 4]
    assert sorted(o.number for o in executor.completed(handles)) == [0, 1, 2, 3, 4]


def test_values_feed_other_tasks(executor: Executor) -> None:
    two, three = executor.submit("math:sqrt", 4), executor.submit("math:sqrt", 9)
    assert executor.gather([executor.submit("operator:sub", two, three)]) == [-1]


def test_one_failure_leaves_the_others(executor: Executor) -> None:
    outcomes = {o.number: o for o in executor.completed([executor.submit("math:sqrt", n) for n in (4, -1, 9)])}
    assert [outcomes[n].value for n in (0, 2)] == [2, 3]
    assert isinstance(outcomes[1].error, ValueError)
    with pytest.raises(ValueError, match=r"math domain|nonnegative"):
        outcomes[1].unwrap()


def test_workers_are_other_processes_with_one_thread(on_dask: Executor) -> None:
    assert on_dask.workers == 2
    pids = on_dask.gather([on_dask.submit("os:getpid", place=p) for p in (0.0, 0.9)])
    assert len({*pids, os.getpid()}) == 3
    assert on_dask.gather([on_dask.submit("os:getenv", "OMP_NUM_THREADS")]) == ["1"]
    assert on_dask.dashboard is not None and on_dask.dashboard.startswith("http://127.0.0.1:")
    assert any(isinstance(e, Message) and on_dask.dashboard in e.text for e in told)


def test_a_task_survives_its_worker(on_dask: Executor) -> None:
    pid = on_dask.gather([on_dask.submit("os:getpid", place=0.0)])[0]
    kept = on_dask.submit("os:urandom", 4, place=0.0)
    on_dask.gather([kept])
    sleeping = [on_dask.submit("time:sleep", 1.0, place=p) for p in (0.0, 0.9)]
    os.kill(pid, signal.SIGKILL)
    assert on_dask.gather(sleeping) == [None, None]
    assert len(on_dask.gather([kept])[0]) == 4
    assert on_dask.gather([on_dask.submit("math:sqrt", 16, place=0.0)]) == [4]


@pytest.mark.slow
def test_workers_that_die_while_they_start_are_replaced(on_dask: Executor) -> None:
    """Both killed, and what is started in their place as well, until none would be left."""
    process, deadline = psutil.Process(), time.monotonic() + 8
    while time.monotonic() < deadline:
        for child in process.children(recursive=True):
            with suppress(psutil.Error):
                if "spawn_main" in " ".join(child.cmdline()):
                    child.kill()
        time.sleep(0.2)
    assert on_dask.gather([on_dask.submit("math:sqrt", 25)]) == [5]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_tasks_near_workers_that_all_died_at_once_are_done_by_others(on_dask: Executor) -> None:
    waiting = [on_dask.submit("time:sleep", 1.0, place=k / 8) for k in range(8)]
    time.sleep(0.3)
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()
    assert on_dask.gather(waiting) == [None] * 8


def test_nobody_at_the_address() -> None:
    from burnish.jobs import dask_executor

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dask_executor, "_PATIENCE", 0.5)
        with (
            pytest.raises(BurnishError, match=r"tcp://127.0.0.1:9: no scheduler answers") as caught,
            open_executor(ExecutorOptions(executor="tcp://127.0.0.1:9"), told.append),
        ):
            pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"executor": "cloud"}, "tcp://HOST:PORT"),
        ({"executor": "tcp://host"}, "tcp://HOST:PORT"),
        ({"workers": 0}, "greater than or equal to 1"),
        ({"cluster": "queue.yaml"}, "slurm or pbs"),
    ],
)
def test_options_that_cannot_be(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ExecutorOptions(**given)  # type: ignore[arg-type]


def test_workers_alone_start_a_cluster_of_this_machine() -> None:
    assert ExecutorOptions().in_this_process and ExecutorOptions(workers=1).in_this_process
    assert not ExecutorOptions(workers=2).in_this_process
    assert not ExecutorOptions(executor="dask", workers=1).in_this_process


def test_each_worker_sees_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert count_gpus() == 2
    assert [gpu_of_worker(n, 2)["CUDA_VISIBLE_DEVICES"] for n in range(3)] == ["2", "5", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert count_gpus() == 0 and gpu_of_worker(0, 0) == {}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert [gpu_of_worker(n, 4)["CUDA_VISIBLE_DEVICES"] for n in (0, 3)] == ["0", "3"]


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A queue of this machine: `sbatch` runs the job at once and keeps its script, `scancel` ends it."""
    programs = {
        "sbatch": f'cp "$1" {tmp_path}/script; setsid bash {tmp_path}/script > {tmp_path}/job.log 2>&1 < /dev/null & '
        "echo Submitted batch job $!",
        "scancel": "kill -TERM -- -$1 || true",
    }
    for name, text in programs.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    return tmp_path


def test_workers_as_jobs_of_a_queue(queue: Path) -> None:
    settings = queue / "queue.yaml"
    settings.write_text(
        f"cores: 2\nmemory: 2GB\nqueue: short\naccount: us\nwalltime: '01:00:00'\ninterface: lo\n"
        f"python: {sys.executable}\njob_extra_directives: ['--gres=gpu:1']\n"
        "scheduler_options: {dashboard_address: ':0'}\n"
    )
    options = ExecutorOptions(executor="slurm", workers=1, cluster=settings)
    with open_executor(options, told.append) as executor:
        assert executor.gather([executor.submit("math:sqrt", 81)]) == [9]
    script = (queue / "script").read_text()
    for line in (
        "#SBATCH -p short",
        "#SBATCH -A us",
        "#SBATCH --gres=gpu:1",
        "export OMP_NUM_THREADS=1",
        "--cpus-per-task=2",
    ):
        assert line in script


@pytest.mark.parametrize(
    ("text", "message"),
    [("cores: 1", "memory of a worker"), ("- 1", "settings by name"), ("cores: 1\nprocesses: 4", "one worker"),
     ("a: [", "not YAML"), ("cores: 1\nmemory: 1GB\ncoffee: 3", "coffee")],
)  # fmt: skip
def test_settings_that_no_queue_takes(queue: Path, text: str, message: str) -> None:
    settings = queue / "queue.yaml"
    settings.write_text(text)
    with (
        pytest.raises(BurnishError, match=message) as caught,
        open_executor(ExecutorOptions(executor="slurm", cluster=settings), told.append),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_no_queue_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(BurnishError, match="no `qsub` here"),
        open_executor(ExecutorOptions(executor="pbs"), told.append),
    ):
        pass
