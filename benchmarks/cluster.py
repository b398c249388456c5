"""Expectation of refine3d in one process and on workers: processor time, wall time, and the same bits.

    cluster.py PREFIX --symmetry D2 --diameter 200 [--workers 1 2] [--chunk 64] [--iterations N] [--json FILE]

PREFIX names PREFIX_particles.star and PREFIX_initial.mrc. Every run goes through the same iterations, after four that
are not counted: they compile. The start of the workers is not counted either; it is told apart. On a machine with other
work, wall times mean little: the processor time of the busiest worker is what the expectation would take on as many
free cores. With --json the numbers of each iteration are kept for `scaling.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from burnish.core.events import Event, Metrics
from burnish.jobs.dask_executor import open_executor
from burnish.options.executor import ExecutorOptions
from burnish.options.refine3d import Refine3DOptions
from burnish.particles import refinement
from burnish.particles.controller import Plan
from burnish.particles.expectation import Alone, Crew, Expectation, Setup, Tally
from burnish.particles.state import State
from burnish.symmetry.point_groups import point_group
from burnish.workflows.refine3d_crew import Workers
from burnish.workflows.refine3d_inputs import plan_memory, read_inputs
from burnish.workflows.refine3d_setup import make_setup

ORDER = 3


class Timed(Crew):
    """A crew whose expectations are timed; what lies between them is the client's."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.rows: list[dict[str, float]] = []
        self._ended = (time.process_time(), time.monotonic())

    def image_power(self, state: State, setup: Setup) -> Tally:
        return self.crew.image_power(state, setup)

    def expect(self, state: State, setup: Setup, plan: Plan) -> Expectation:
        began = (time.process_time(), time.monotonic())
        found = self.crew.expect(state, setup, plan)
        ended = (time.process_time(), time.monotonic())
        self.rows.append(
            {
                "iteration": state.iteration,
                "stage": float(("grid", "modes", "last").index(plan.stage)),
                "search": float(plan.search),
                "radius": plan.radius,
                "map_radius": plan.map_radius,
                "modes": len(found.modes) / max(len(state.norm), 1),
                "own_cpu": ended[0] - began[0],
                "wall": ended[1] - began[1],
                "before_cpu": began[0] - self._ended[0],
            }
        )
        self._ended = ended
        return found

    def end(self) -> None:
        self.crew.end()


@dataclass(frozen=True, slots=True)
class Run:
    """A refinement: the numbers of its iterations, its last maps, wall time of the start and of all, s."""

    rows: list[dict[str, float]]
    maps: torch.Tensor
    start: float
    wall: float


def run(o: argparse.Namespace, workers: int, folder: Path, iterations: int) -> Run:
    """All iterations with so many workers (0: this process)."""
    options = Refine3DOptions(
        particles=Path(f"{o.prefix}_particles.star"), reference=Path(f"{o.prefix}_initial.mrc"), symmetry=o.symmetry,
        mask_diameter=o.diameter, initial_lowpass=o.lowpass, out=folder, memory=o.memory, chunk=o.chunk,
        executor="dask" if workers else "local", workers=workers or None,
    )  # fmt: skip
    began = time.monotonic()
    inputs = read_inputs(options)
    plan = plan_memory(inputs.frame, len(inputs.rows), 1, options.memory, ORDER, len(point_group(o.symmetry)), "cpu")
    told: list[Metrics] = []

    def listen(event: Event) -> None:
        if isinstance(event, Metrics):
            told.append(event)

    setup = make_setup(options, inputs, o.symmetry, plan, "cpu", listen)
    corrections = refinement.Corrections()
    limits = refinement.make_limits(setup, initial_lowpass=o.lowpass, fine_order=ORDER, max_iterations=iterations)
    with open_executor(ExecutorOptions(executor=options.executor, workers=options.workers), listen) as executor:
        started = time.monotonic() - began
        crew: Crew = Alone()
        if workers:
            crew = Workers(executor, options, inputs, folder, listen, symmetry=o.symmetry, order=ORDER)
        timed = Timed(crew)
        state = refinement.start(
            setup, inputs.reference, initial_lowpass=o.lowpass, corrections=corrections, crew=timed
        )
        for iteration in refinement.run(state, setup, limits, corrections, timed):
            state = iteration.state
        timed.end()
    rows: list[dict[str, float]] = timed.rows
    for row, event in zip(rows, told, strict=False):
        row.update({f"workers_{k}": v for k, v in event.values.items()})
    return Run(rows=rows, maps=state.maps, start=started, wall=time.monotonic() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", type=Path)
    parser.add_argument("--symmetry", required=True)
    parser.add_argument("--diameter", type=float, required=True)
    parser.add_argument("--lowpass", type=float, default=50.0)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--chunk", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--memory", type=float, default=6.0)
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    os.environ["OMP_NUM_THREADS"] = "1"
    o.prefix = o.prefix.resolve()
    o.json = o.json.resolve() if o.json else None
    os.chdir(o.prefix.parent)
    kept: dict[str, Any] = {}
    print(
        "| run | expectation: wall s | speed | CPU s | of the busiest process | client's other CPU s | start s "
        "| all wall s | same bits |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        run(o, 0, Path(scratch), min(4, o.iterations))
    alone: tuple[float, torch.Tensor] | None = None
    for workers in (0, *o.workers):
        with tempfile.TemporaryDirectory() as scratch:
            found = run(o, workers, Path(scratch), o.iterations)
        rows = found.rows
        took = sum(r["wall"] for r in rows)
        total = sum(r.get("workers_cpu", r["own_cpu"]) for r in rows)
        # the client writes the state, collects reports and sums while workers wait
        busiest = sum(r["workers_cpu_busiest"] + r["own_cpu"] for r in rows) if workers else total
        other = sum(r["before_cpu"] for r in rows)
        alone = alone or (took, found.maps)
        same = "yes" if torch.equal(found.maps, alone[1]) else "NO"
        name = f"{workers} workers" if workers else "one process"
        print(
            f"| {name} | {took:.1f} | {alone[0] / took:.2f} | {total:.1f} | {busiest:.1f} | {other:.1f} "
            f"| {found.start:.1f} | {found.wall:.0f} | {same} |", flush=True
        )  # fmt: skip
        kept[name] = rows
    if o.json:
        o.json.write_text(json.dumps({"prefix": o.prefix.name, "runs": kept}, indent=1))


if __name__ == "__main__":
    main()
