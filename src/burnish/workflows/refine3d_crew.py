"""Expectation by workers: chunks go out, sums are added where they were made, plane by plane and in a fixed order.

What travels is small: workers read images and states from files that client and workers both see. Each chunk's sums
stay with the worker that made them until those of a run of chunks are there; then every part of the planes of the
volume is added up by one worker, which takes it of each chunk in the order of the chunks. So a worker sends what it
made and receives as much, whatever their number, and the sums are those of one machine to the last bit. Workers of the
client's own machine write their totals into its memory.
"""

from __future__ import annotations

import dataclasses
import math
import time
import uuid
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from burnish.core.events import Listener, Metrics, Progress
from burnish.io.atomic import write_aside
from burnish.jobs.executors import Executor
from burnish.jobs.shared_array import can_share, shared_array
from burnish.options.refine3d import Refine3DOptions
from burnish.particles.controller import Plan
from burnish.particles.expectation import (
    CHUNKS_ADDED,
    SHELL_SUMS,
    Crew,
    Expectation,
    Setup,
    Tally,
    add_sums,
    empty_tally,
)
from burnish.particles.modes import Modes, join_modes
from burnish.particles.projection import FourierSums, half_width
from burnish.particles.state import State, save_state
from burnish.workflows.refine3d_inputs import Inputs, free_memory

_GIB = 2.0**30
_TASKS = "burnish.worker.refine3d"
_SMALLEST_PART = 32 * 2**20  # bytes of planes worth a transfer of their own
SHARED_FOLDER = ".cluster"  # in the job's folder, what workers read


@final
class Workers(Crew):
    """Workers of an executor.

    Parameters
    ----------
    folder : of the job, which workers see under the same name.
    """

    def __init__(
        self,
        executor: Executor,
        options: Refine3DOptions,
        inputs: Inputs,
        folder: Path,
        listener: Listener,
        *,
        symmetry: str,
        order: int,
    ) -> None:
        self._executor, self._listener = executor, listener
        self._shares_memory = can_share() and options.executor in ("local", "dask")
        self._folder = folder.resolve() / SHARED_FOLDER
        self._folder.mkdir(exist_ok=True)
        self._token, self._written = uuid.uuid4().hex[:8], 0  # workers that outlive a job meet no name twice
        self._spec = self._folder / f"particles_{self._token}.pt"
        with write_aside(self._spec) as aside:
            torch.save(
                {
                    "folder": str(Path.cwd()),
                    "options": options.model_dump_json(),
                    "rows": inputs.rows,
                    "half_set": inputs.half_set,
                    "symmetry": symmetry,
                    "order": order,
                    "memory": _memory_of_worker(options, executor.workers),
                },
                aside,
            )

    def image_power(self, state: State, setup: Setup) -> Tally:
        tally = empty_tally(setup.store)
        path = self._write(state)
        chunks = [(half, n) for half in (0, 1) for n in range(len(setup.store.chunks(half)))]
        handles = [
            self._executor.submit(f"{_TASKS}:image_power", str(self._spec), path, *chunk, place=i / len(chunks))
            for i, chunk in enumerate(chunks)
        ]
        for report in self._executor.gather(handles):
            _note(tally, report)
        self._remove(path)
        return tally

    def expect(self, state: State, setup: Setup, plan: Plan) -> Expectation:
        path = self._write(state)
        runs = [(half, run) for half in (0, 1) for run in _runs(len(setup.store.chunks(half)))]
        window = 2 * self._executor.workers  # chunks under way beside those that are being added up
        places = self._places([len(setup.store.chunks(half)) for half in (0, 1)], window)
        totals: list[FourierSums | None] = [None, None]
        reports: list[dict[str, Any]] = []
        sums_took, began, done, waiting = 0.0, time.monotonic(), [0, 0], deque[_Run]()
        while runs or waiting:
            while runs and (not waiting or sum(len(r.found) for r in waiting) <= window):
                waiting.append(self._submit(*runs.pop(0), path, plan, places))
            first = waiting.popleft()
            reports += self._reports(first, setup, state.iteration, done)
            looked = time.monotonic()
            totals[first.half] = add_sums(totals[first.half], self._add_up(first.found, plan))
            sums_took += time.monotonic() - looked
        spent = _spent(reports) | {"expectation": time.monotonic() - began - sums_took, "sums": sums_took}
        self._listener(Metrics("workers", state.iteration, spent))
        tally, modes = empty_tally(setup.store), []
        for report in reports:
            _note(tally, report)
            modes.append(Modes(**{f.name: _tensor(report[f"modes_{f.name}"]) for f in dataclasses.fields(Modes)}))
        self._remove(path)
        halves = tuple(total for total in totals if total is not None)
        return Expectation(tally=tally, halves=halves, modes=join_modes(modes))

    def _places(self, chunks: list[int], window: int) -> dict[tuple[int, int], float]:
        """Where each chunk is best made: neighbours together, so that most workers see one half set only; in turn where
        not all chunks can be under way at the same time."""
        every = [(half, n) for half in (0, 1) for n in range(chunks[half])]
        if len(every) <= window + CHUNKS_ADDED:
            return {chunk: i / len(every) for i, chunk in enumerate(every)}
        workers = self._executor.workers
        return {chunk: (i % workers + 0.5) / workers for i, chunk in enumerate(every)}

    def _submit(self, half: int, numbers: range, path: str, plan: Plan, places: dict[tuple[int, int], float]) -> _Run:
        spec = str(self._spec)
        found = [
            self._executor.submit(f"{_TASKS}:expect_chunk", spec, path, plan, half, n, place=places[half, n])
            for n in numbers
        ]
        return _Run(half, numbers, found, [self._executor.submit(f"{_TASKS}:report_of", f) for f in found])

    def _reports(self, run: _Run, setup: Setup, iteration: int, done: list[int]) -> list[dict[str, Any]]:
        """What is known of the particles of a run, in the order of its chunks; tells of each chunk that is done."""
        reports: list[dict[str, Any]] = [{}] * len(run.told)
        chunks = setup.store.chunks(run.half)
        for outcome in self._executor.completed(run.told):
            reports[outcome.number] = outcome.unwrap()
            done[run.half] += len(chunks[run.numbers[outcome.number]])
            stage = f"iteration {iteration}, half {run.half + 1}"
            self._listener(Progress(stage, done[run.half], len(setup.store.of_half(run.half))))
        return reports

    def _add_up(self, found: list[Any], plan: Plan) -> FourierSums:
        """The sums of a run of chunks: each part of the planes is added up by one worker."""
        half = half_width(plan.map_radius)
        shape = (2 * half + 2, 2 * half + 2, half + 2, 3)
        parts = max(1, min(self._executor.workers, 4 * math.prod(shape) // _SMALLEST_PART))
        edges = list(pairwise(round(shape[0] * p / parts) for p in range(parts + 1)))
        planes = [[self._executor.submit(f"{_TASKS}:planes_of", f, *edge) for f in found] for edge in edges]
        if self._shares_memory:
            with shared_array(shape) as (name, values):
                places = [low * math.prod(shape[1:]) for low, _ in edges]
                handles = [
                    self._executor.submit(f"{_TASKS}:add_planes_to", name, at, *part)
                    for at, part in zip(places, planes, strict=True)
                ]
                for outcome in self._executor.completed(handles):
                    outcome.unwrap()
        else:
            values = np.empty(shape, dtype=np.float32)
            handles = [self._executor.submit(f"{_TASKS}:add_planes", *part) for part in planes]
            for outcome in self._executor.completed(handles):
                values[slice(*edges[outcome.number])] = outcome.unwrap()
        return FourierSums(values=torch.from_numpy(values), half=half, radius=plan.map_radius)

    def _write(self, state: State) -> str:
        """Write the state for the workers; return its name."""
        self._written += 1
        path = self._folder / f"state_{self._token}_{self._written}.pt"
        with write_aside(path) as aside:
            save_state(state, aside)
        return str(path)

    @staticmethod
    def _remove(path: str) -> None:
        Path(path).unlink(missing_ok=True)  # a worker that has it mapped keeps its pages

    def end(self) -> None:
        for path in self._folder.iterdir():
            path.unlink()
        self._folder.rmdir()


def _memory_of_worker(options: Refine3DOptions, workers: int) -> float | None:
    """What a worker may plan with, GiB: workers of one machine share it, others look at their own."""
    if options.executor not in ("local", "dask"):
        return options.memory
    return (options.memory if options.memory is not None else 0.5 * free_memory() / _GIB) / workers


@dataclass(slots=True)
class _Run:
    """Consecutive chunks of a half set whose sums are added up together: their numbers, and handles of what was found.

    As long as the handles are held, a worker that dies costs what it had made; then their memory is free.
    """

    half: int
    numbers: range
    found: list[Any]
    told: list[Any]


def _runs(chunks: int) -> list[range]:
    return [range(first, min(first + CHUNKS_ADDED, chunks)) for first in range(0, chunks, CHUNKS_ADDED)]


def _spent(reports: list[dict[str, Any]]) -> dict[str, float]:
    """Processor time of the workers, s: of all and of the busiest, and what of it went into references."""
    by_worker: dict[str, float] = {}
    for report in reports:
        by_worker[report["worker"]] = by_worker.get(report["worker"], 0.0) + float(report["cpu_seconds"].sum())
    return {
        "cpu": sum(by_worker.values()),
        "cpu_references": sum(float(r["cpu_seconds"][0]) for r in reports),
        "cpu_busiest": max(by_worker.values()),
        "workers": float(len(by_worker)),
    }


def _note(tally: Tally, report: dict[str, np.ndarray]) -> None:
    """Write a chunk's report into the tally."""
    index = _tensor(report["index"])
    for field in dataclasses.fields(Tally):
        values = _tensor(report[field.name])
        if field.name in SHELL_SUMS:
            getattr(tally, field.name).add_(values)
        else:
            getattr(tally, field.name)[index] = values


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values))  # what comes from a worker may not be written to
