"""Tasks of refine3d: a worker opens the particles by their files once, then works on chunks of them."""

from __future__ import annotations

import dataclasses
import os
import platform
import threading
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from burnish.core.events import ignore
from burnish.core.memory import keep_freed_memory
from burnish.jobs.shared_array import fill
from burnish.options.refine3d import Refine3DOptions
from burnish.particles.controller import Plan
from burnish.particles.expectation import (
    SHELL_SUMS,
    ChunkFound,
    Reference,
    Setup,
    Tally,
    empty_tally,
    expect_chunks,
    make_reference,
    power_of_chunk,
)
from burnish.particles.modes import Modes
from burnish.particles.state import State, load_state
from burnish.symmetry.point_groups import point_group
from burnish.workflows.device import chosen_device
from burnish.workflows.refine3d_inputs import plan_memory, reopen_inputs
from burnish.workflows.refine3d_setup import make_setup

# Of a tally, what is known particle by particle.
ROWS = tuple(f.name for f in dataclasses.fields(Tally) if f.name not in SHELL_SUMS)


class Bench:
    """What a worker keeps between the tasks of one refinement: the particles, and what it last compared them with."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.tally = empty_tally(setup.store)
        self.lock = threading.Lock()  # a scheduler may give a worker several tasks at a time
        self._state: tuple[str, State] | None = None
        self._reference: tuple[tuple[str, int], Reference] | None = None

    def state(self, path: str) -> State:
        """The state of an iteration; pages of its file are read as they are needed."""
        if self._state is None or self._state[0] != path:
            self._state = (path, load_state(Path(path), mapped=True))
        return self._state[1]

    def reference(self, path: str, plan: Plan, half: int) -> Reference:
        """What a half set is compared with in the iteration of that state."""
        key = (path, half)
        if self._reference is None or self._reference[0] != key:
            self._reference = None  # before the next one is made: each takes a padded transform
            self._reference = (key, make_reference(self.state(path), self.setup, plan, half))
        return self._reference[1]


@lru_cache(maxsize=1)
def open_bench(spec: str) -> Bench:
    """Open the particles that a refinement's specification names.

    Parameters
    ----------
    spec : file that `burnish.workflows.refine3d_crew` wrote.
    """
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    given = torch.load(spec, weights_only=True)
    os.chdir(given["folder"])  # names in STAR files are relative to the project
    options = Refine3DOptions.model_validate_json(given["options"])
    inputs = reopen_inputs(options, given["rows"], given["half_set"])
    fold = len(point_group(given["symmetry"]))
    device, count = chosen_device(options.device), len(inputs.rows)
    plan = plan_memory(inputs.frame, count, options.threads, given["memory"], given["order"], fold, device)
    return Bench(make_setup(options, inputs, given["symmetry"], plan, device, ignore))


def image_power(spec: str, state: str, half: int, number: int) -> dict[str, Any]:
    """Power of the images of a chunk by shell."""
    bench = open_bench(spec)
    with bench.lock:
        chunk = bench.setup.store.chunks(half)[number]
        tally = power_of_chunk(bench.state(state), bench.setup, chunk, bench.tally)
        return _report(tally, bench, chunk, None)


def expect_chunk(spec: str, state: str, plan: Plan, half: int, number: int) -> tuple[dict[str, Any], np.ndarray]:
    """Expectation over a chunk: what is known of its particles, and its sums, which stay with the worker."""
    bench = open_bench(spec)
    with bench.lock:
        began = time.process_time()
        chunk = bench.setup.store.chunks(half)[number]
        reference = bench.reference(state, plan, half)
        prepared = time.process_time()
        found = next(iter(expect_chunks(bench.state(state), bench.setup, plan, reference, [chunk], bench.tally)))
        assert found.sums is not None
        report = _report(found.tally, bench, chunk, found)
        ended = time.process_time()
        report["cpu_seconds"] = np.array([prepared - began, ended - prepared])  # for the reference, for the images
        return report | {"worker": f"{platform.node()}-{os.getpid()}"}, found.sums.values.cpu().numpy()


def _report(tally: Tally, bench: Bench, chunk: Sequence[int], found: ChunkFound | None) -> dict[str, Any]:
    """Arrays, which travel without being copied."""
    index = torch.cat([bench.setup.store.blocks[b] for b in chunk])
    report = {"index": index.numpy()}
    report |= {name: getattr(tally, name)[index].numpy() for name in ROWS}
    report |= {name: getattr(tally, name).numpy() for name in SHELL_SUMS}
    if found is not None:
        report |= {f"modes_{f.name}": getattr(found.modes, f.name).numpy() for f in dataclasses.fields(Modes)}
    return report


def report_of(found: tuple[dict[str, Any], np.ndarray]) -> dict[str, Any]:
    """What a chunk's expectation says of its particles."""
    return found[0]


def planes_of(found: tuple[dict[str, Any], np.ndarray], low: int, high: int) -> np.ndarray:
    """Planes of a chunk's sums."""
    return found[1][low:high]


def add_planes(*parts: np.ndarray) -> np.ndarray:
    """Sum of the same planes of all chunks of a half set, in the order of the chunks."""
    if len(parts) == 1:
        return parts[0]
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total += part
    return total


def add_planes_to(name: str, first: int, *parts: np.ndarray) -> None:
    """Write that sum into memory shared with the client; `first` is the index of its first number there."""
    fill(name, first, add_planes(*parts))
