"""refine3d on workers: the bits of one machine, whoever dies on the way."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

pytest.importorskip("distributed", reason="needs the extra burnish[cluster]")

from burnish.core.events import ignore
from burnish.io.mrc import read_map
from burnish.jobs.executors import LocalExecutor
from burnish.jobs.folder import Job
from burnish.jobs.record import read_record
from burnish.options.refine3d import Refine3DOptions
from burnish.particles import expectation, refinement
from burnish.particles.expectation import Alone, Crew
from burnish.workflows import refine3d, refine3d_crew
from burnish.workflows.refine3d_crew import SHARED_FOLDER, Workers
from burnish.workflows.refine3d_inputs import MemoryPlan, read_inputs
from burnish.workflows.refine3d_setup import make_setup
from tests.particles.phantom import write_set
from tests.worker.killing import kill_when, kill_workers, start, workers_of

FILES = ("run_class001.mrc", "run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc")
GIVEN = {
    "symmetry": "D2", "mask_diameter": 90.0, "initial_lowpass": 30.0, "join_halves": 60.0, "memory": 4.0,
    "offset_range": 4.0, "chunk": 32, "max_iterations": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_set(tmp_path_factory.mktemp("set"), symmetry="D2", count=130, noise=1.0)[:2]


@pytest.fixture(scope="module")
def alone(small_set: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The refinement in one process."""
    o = options(small_set, tmp_path_factory.mktemp("alone") / "job")
    job = Job("refine3d", o.out, o.model_dump(mode="json"))
    job.finish(refine3d.run(o, job))
    return o.out


def options(small_set: tuple[Path, Path], out: Path, **changes: object) -> Refine3DOptions:
    given = {"particles": small_set[0], "reference": small_set[1], "out": out, **GIVEN, **changes}
    return Refine3DOptions(**given)  # type: ignore[arg-type]


def flags(small_set: tuple[Path, Path], **changes: object) -> list[str]:
    given = {"particles": small_set[0], "reference": small_set[1], "out": "job", **GIVEN, "workers": 2, **changes}
    return ["refine3d", *(f"--{name.replace('_', '-')}={value}" for name, value in given.items())]


def assert_same(one: Path, other: Path) -> None:
    for name in FILES:
        assert torch.equal(read_map(one / name).values, read_map(other / name).values), name
    assert (one / "run_data.star").read_text() == (other / "run_data.star").read_text()
    assert not (other / SHARED_FOLDER).exists()


def test_tasks_make_the_sums_of_one_machine(
    small_set: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An iteration on the grid and one by modes, through the tasks, in this process; planes added in several parts."""
    torch.set_flush_denormal(True)  # as every refinement does
    monkeypatch.setattr(refine3d_crew, "_SMALLEST_PART", 1)
    monkeypatch.setattr(refine3d_crew, "CHUNKS_ADDED", 1)  # of two chunks a half: runs of one, added up by the client
    monkeypatch.setattr(expectation, "CHUNKS_ADDED", 1)
    monkeypatch.setattr(LocalExecutor, "workers", 3)
    o = options(small_set, tmp_path)
    inputs = read_inputs(o)
    setup = make_setup(o, inputs, "D2", MemoryPlan(volumes=0, blocks=0, images=0, block_size=32), "cpu", ignore)
    assert [len(setup.store.chunks(h)) for h in (0, 1)] == [2, 2]
    workers = Workers(LocalExecutor(), o, inputs, tmp_path, ignore, symmetry="D2", order=3)
    limits = refinement.make_limits(setup, initial_lowpass=30.0, fine_order=3, max_iterations=3)
    corrections = refinement.Corrections()
    found = []
    for crew in (Alone(), workers):
        assert isinstance(crew, Crew)
        state = refinement.start(setup, inputs.reference, initial_lowpass=30.0, corrections=corrections, crew=crew)
        found.append(list(refinement.run(state, setup, limits, corrections, crew)))
        crew.end()
    assert [i.plan.stage for i in found[0]][-1] == "modes"
    for one, other in zip(*found, strict=True):
        assert torch.equal(one.state.sigma2, other.state.sigma2)
        assert torch.equal(one.maps.unfiltered, other.maps.unfiltered)
        assert torch.equal(one.state.rotation, other.state.rotation)
        assert torch.equal(one.state.modes.information, other.state.modes.information)
        assert torch.equal(one.tally.max_weight, other.tally.max_weight)
    assert not (tmp_path / SHARED_FOLDER).exists()


def test_workers_that_die_cost_nothing_but_time(small_set: tuple[Path, Path], alone: Path, tmp_path: Path) -> None:
    process = start(flags(small_set), tmp_path)
    killed = kill_workers(process, tmp_path / "job" / ".cluster", times=3, seed=1, pause=(1.0, 2.5))
    assert process.wait() == 0, (tmp_path / "said").read_text()
    assert killed >= 2
    assert_same(alone, tmp_path / "job")
    log = (tmp_path / "job" / "run.log").read_text()
    assert "Dask's dashboard: http://127.0.0.1" in log
    record = read_record(tmp_path / "job")
    assert record is not None and record.dashboard is None and record.options["workers"] == 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills(small_set: tuple[Path, Path], tmp_path: Path) -> None:
    """To the end of the refinement, as often as it takes to kill twenty workers while there is work."""
    (tmp_path / "alone").mkdir()
    assert start(flags(small_set, max_iterations=50, workers=1), tmp_path / "alone").wait() == 0
    killed, runs = 0, 0
    while killed < 20:
        folder = tmp_path / f"together{runs}"
        folder.mkdir()
        process = start(flags(small_set, max_iterations=50), folder)
        sign = folder / "job" / ".cluster"
        killed += kill_workers(process, sign, times=20 - killed, seed=2 + runs, pause=(0.8, 2.5))
        assert process.wait() == 0, (folder / "said").read_text()
        assert_same(tmp_path / "alone" / "job", folder / "job")
        runs += 1
    assert killed == 20


@pytest.mark.slow
def test_the_client_dies_and_its_workers_with_it(small_set: tuple[Path, Path], alone: Path, tmp_path: Path) -> None:
    process = start(flags(small_set), tmp_path)
    sign = tmp_path / "job" / "run_it002_optimiser.star"
    while not workers_of(process) and process.poll() is None:
        time.sleep(0.1)
    workers = workers_of(process)
    kill_when(process, sign)
    deadline = time.monotonic() + 20
    while any(w.is_running() for w in workers) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(w.is_running() for w in workers)
    assert not (tmp_path / "job" / "run_class001.mrc").exists()
    again = start(["refine3d", "--out=job", f"--continue={sign}", "--workers=2"], tmp_path)
    assert again.wait() == 0, (tmp_path / "said").read_text()
    for name in FILES:
        assert torch.equal(read_map(alone / name).values, read_map(tmp_path / "job" / name).values), name


@pytest.mark.slow
def test_freshly_compiled_kernels_have_the_bits_of_cached_ones(
    small_set: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        assert start(flags(small_set, workers=1), tmp_path / name).wait() == 0
    assert_same(tmp_path / "first" / "job", tmp_path / "second" / "job")
