"""`burnish refine3d`: particles and a rough map in; two half maps, poses and reports out."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch

from burnish.core.errors import DataError
from burnish.core.events import Message, Metrics
from burnish.geometry.sampling import rotation_grid, shift_disc
from burnish.jobs.dask_executor import open_executor
from burnish.jobs.folder import Job
from burnish.jobs.record import JobRecord, read_record
from burnish.options.refine3d import Refine3DOptions
from burnish.particles import refinement, twins
from burnish.particles.agreement import unshared_signal
from burnish.particles.controller import Limits, Stop, plan_next
from burnish.particles.expectation import Alone, Crew, Setup
from burnish.particles.reconstruct import crossing
from burnish.particles.refinement import Corrections, Iteration
from burnish.particles.state import State, load_state
from burnish.particles.workload import Rates, measure_rates, work_of
from burnish.symmetry.point_groups import canonical_name, point_group
from burnish.workflows.device import chosen_device
from burnish.workflows.refine3d_crew import Workers
from burnish.workflows.refine3d_inputs import known_poses, plan_memory, read_inputs
from burnish.workflows.refine3d_outputs import Outputs, checkpoint_of
from burnish.workflows.refine3d_report import write_report
from burnish.workflows.refine3d_setup import make_setup

_REPORT_EVERY = 30.0  # s: drawing costs about one of processor time
_UNSHARED = 0.3  # how far the FSC may stay below what the power of the half maps promises
_LOST = 0.3  # mean share of the best pose below which nothing can be said of the resolution


def run(options: Refine3DOptions, job: Job) -> dict[str, Any]:
    """Refine."""
    torch.set_num_threads(1)  # blocks are shared by threads of our own
    torch.set_flush_denormal(True)
    if options.continue_from:
        options = _continued(options)
        job.take_options(options.model_dump(mode="json"))
    symmetry = canonical_name(options.symmetry)
    inputs = read_inputs(options)
    fine_order = _order_of(options.angular_sampling)
    fold = len(point_group(symmetry))
    device = chosen_device(options.device)
    plan = plan_memory(inputs.frame, len(inputs.rows), options.threads, options.memory, fine_order, fold, device)
    setup = make_setup(options, inputs, symmetry, plan, device, job.notify)
    known = known_poses(options, inputs) if options.local else None
    limits = refinement.make_limits(
        setup,
        initial_lowpass=options.initial_lowpass,
        fine_order=fine_order,
        max_iterations=options.max_iterations,
        local=options.local,
    )
    state = _state_to_go_on_from(options.continue_from, limits) if options.continue_from else None
    if state is not None and len(state.norm) != len(inputs.rows):
        raise DataError(
            f"{options.continue_from}: checkpoint of {len(state.norm)} particles, "
            f"{options.particles} has {len(inputs.rows)}"
        )
    files = [p for p in (options.particles, options.reference, options.mask, options.continue_from) if p is not None]
    job.begin(files, seed=options.seed, device=device)
    for text in (*inputs.remarks, str(plan)):
        job.notify(Message(text))
    corrections = Corrections(
        scale=options.scale_correction,
        norm=options.norm_correction,
        absolute_greyscale=options.absolute_greyscale,
    )
    outputs = Outputs(options=options, inputs=inputs, setup=setup, job=job, symmetry=symmetry)
    with open_executor(options, job.notify, threads=options.threads) as executor:
        job.note_dashboard(executor.dashboard)
        crew: Crew = Alone()
        if not options.in_this_process:
            crew = Workers(executor, options, inputs, job.folder, job.notify, symmetry=symmetry, order=fine_order)
        try:
            if state is None:
                state = refinement.start(
                    setup,
                    inputs.reference,
                    initial_lowpass=options.initial_lowpass,
                    corrections=corrections,
                    crew=crew,
                )
                if known is not None:
                    state = refinement.start_at(state, setup, *known, initial_lowpass=options.initial_lowpass)
            return _iterate(state, setup, limits, corrections, crew, outputs, job)
        finally:
            crew.end()


def _iterate(
    state: State, setup: Setup, limits: Any, corrections: Corrections, crew: Crew, outputs: Outputs, job: Job
) -> dict[str, Any]:
    history = outputs.earlier_history(state.iteration)
    began, reported, last = time.monotonic(), -math.inf, None
    device = setup.store.device
    rates = None if twins.compiled(torch.empty(0, device=device)) else measure_rates(device)
    for iteration in refinement.run(state, setup, limits, corrections, crew):
        if rates is not None:
            job.notify(Metrics("device", iteration.state.iteration - 1, against_floor(iteration, setup, rates, began)))
        values = _numbers(iteration, setup)
        history.append(values)
        job.notify(Metrics("iteration", iteration.state.iteration - 1, values))
        if last is None:
            job.notify(
                Message(
                    f"this iteration took {time.monotonic() - began:.1f} s; about fifteen are usual"
                    f", the later ones longer"
                )
            )
        due = time.monotonic() - reported > _REPORT_EVERY
        outputs.write_iteration(iteration, history)
        if due:
            write_report(outputs, iteration, history, [], finished=False)
        reported = time.monotonic() if due else reported
        began = time.monotonic()
        last = iteration
    assert last is not None, "a state to go on from has an iteration left"
    said = findings(last, setup)
    for text in said:
        job.notify(Message(text, "warning"))
    outputs.write_final(last)
    write_report(outputs, last, history, said, finished=True)
    return _summary(last, history, said, setup)


def against_floor(iteration: Iteration, setup: Setup, rates: Rates, began: float) -> dict[str, float]:
    """Seconds of an iteration on a device beside those that its arithmetic or its memory traffic alone would take."""
    plan = iteration.plan
    searched = plan.stage == "grid" or plan.search
    rotations = len(rotation_grid(plan.order, setup.operators)) if searched else 0
    shifts = len(shift_disc(setup.offset_range, setup.offset_step * plan.offset_scale))
    work = work_of(plan, setup.store, rotations, shifts, len(iteration.state.modes))
    return {
        "seconds": time.monotonic() - began,
        "floor": rates.floor(work),
        "operations": work.operations,
        "bytes": work.bytes,
        "operations_per_second": rates.operations,
        "bytes_per_second": rates.bytes,
    }


def _continued(options: Refine3DOptions) -> Refine3DOptions:
    """Options of the run to continue, with those that were given now in their place."""
    assert options.continue_from is not None
    record = read_record(Path(options.continue_from).parent)
    if record is None:
        if options.particles is None:
            raise DataError(
                f"{options.continue_from}: no job.json beside it; give --particles and all other options again"
            )
        return options
    given = {name: getattr(options, name) for name in options.model_fields_set}
    continued = Refine3DOptions(**{**record.options, **given})
    if record.state == "finished" and _asks_the_same(continued, record):
        last = max(Path(options.continue_from).parent.glob("run_it[0-9][0-9][0-9]_optimiser.star"), default=None)
        if last is not None and last.name == Path(options.continue_from).name:
            raise DataError(f"{options.continue_from}: this refinement had ended; nothing is left to do")
    return continued


def _state_to_go_on_from(optimiser: Path, limits: Limits) -> State:
    """State after an iteration; after the one before where this is the last, so that it leaves the results once more.

    A run may have been cut off between its last iteration and the files of the result.
    """
    state = load_state(checkpoint_of(optimiser))
    if not isinstance(plan_next(state.progress, limits), Stop):
        return state
    number = state.iteration - 2  # files count from 0, and the state is that of the next iteration
    before = optimiser.with_name(f"run_it{number:03d}_optimiser.star")
    if not before.exists():
        raise DataError(
            f"{optimiser}: nothing is left to do, and {before.name}, to repeat this iteration from, is missing"
        )
    return load_state(checkpoint_of(before))


def _asks_the_same(options: Refine3DOptions, record: JobRecord) -> bool:
    """Whether a run is to go on as it was, where it was."""
    now = options.model_dump(mode="json")
    return all(now.get(name) == value for name, value in record.options.items() if name != "continue_from")


def _order_of(degrees: float) -> int:
    """HEALPix order whose spacing is nearest to an angle: 30°, 15°, 7.5°, 3.75° … are 1, 2, 3, 4 …"""
    return max(1, round(math.log2(60.0 / degrees)))


def _numbers(iteration: Iteration, setup: Setup) -> dict[str, float]:
    tally, frame, progress = iteration.tally, setup.store.frame, iteration.state.progress
    return {
        "radius": float(iteration.plan.radius),
        "resolution": frame.d_min(crossing(iteration.maps.fsc, 0.143)),
        "resolution_masked": frame.d_min(crossing(iteration.maps.fsc_masked, 0.143)),
        "pmax": progress.max_weight,
        "turned_deg": progress.turned_deg,
        "ambiguous": progress.ambiguous_frac,
        "accuracy_rotation_deg": math.degrees(float(tally.turn_deviation.nanmedian())),
        "accuracy_shift": float(tally.slide_deviation.nanmedian()),
        "sigma_shift": float(iteration.state.sigma_shift.mean()),
    }


def findings(last: Iteration, setup: Setup) -> list[str]:
    """What the user must know of a result before trusting it."""
    frame, said = setup.store.frame, []
    shell = crossing(last.maps.fsc, 0.143)
    shared = max(setup.join_shell, 0.0)
    if last.state.progress.max_weight < _LOST:
        said.append(
            f"the orientations are not determined (mean share of the best pose "
            f"{last.state.progress.max_weight:.2f}): the halves "
            "agree because both remember the starting map; this is no resolution"
        )
    elif shell <= shared + 2.0:
        said.append(
            f"the halves agree no further than what they were given in common "
            f"({frame.d_min(max(shared, 1.0)):.0f} Å): no resolution beyond the starting map "
            "was found; the images may hold no particle like it"
        )
    if unshared_signal(last.maps.unfiltered, last.maps.weight, shared) > _UNSHARED:
        said.append(
            "the half maps are much stronger than they agree: at least one half has not found the molecule, or the "
            "particles differ; try another --seed, a better starting map or more particles"
        )
    if last.state.progress.mirrored:
        said.append(
            "the halves had taken opposite hands, which the starting map hardly tells apart, and the second was "
            "mirrored; which hand is right must be judged from the map"
        )
    if shell >= frame.nyquist - 1:
        said.append(
            f"the FSC stays above .143 to Nyquist, {2 * frame.pixel_size:.2f} Å: smaller pixels would hold more"
        )
    return said


def _summary(last: Iteration, history: list[dict[str, float]], said: list[str], setup: Setup) -> dict[str, Any]:
    found = not any("no resolution" in s for s in said) and last.state.progress.max_weight >= _LOST
    return {
        "resolution": history[-1]["resolution"] if found else None,
        "resolution_masked": history[-1]["resolution_masked"] if found else None,
        "iterations": last.state.iteration - 1,
        "pmax": history[-1]["pmax"],
        "accuracy_rotation_deg": history[-1]["accuracy_rotation_deg"],
        "accuracy_shift": history[-1]["accuracy_shift"],
        "particles": len(last.state.norm),
        "warnings": said,
    }
