"""`burnish refine` against diffraction data of a crystal."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

from burnish.core.events import Event, Listener, Message, Metrics, Progress, Shells
from burnish.core.memory import return_freed_memory, return_small_blocks
from burnish.data.reflections import Reflections
from burnish.jobs.folder import Job
from burnish.models.crystal_term import CrystalTerm
from burnish.models.data_term import DataStatistics
from burnish.models.refinement import (
    RefinementState,
    Stop,
    initial_state,
    iterate,
    n_cycles,
    plan_next,
)
from burnish.models.refinement_system import RefinementSystem, make_system
from burnish.options.refine import RefineOptions
from burnish.workflows.device import chosen_device
from burnish.workflows.refine_checkpoint import (
    CHECKPOINT,
    read_checkpoint,
    refuse_other_data,
    resume_data,
    write_checkpoint,
)
from burnish.workflows.refine_inputs import data_term, read_inputs, refuse_no_working_data
from burnish.workflows.refine_model import refinement_settings
from burnish.workflows.refine_outputs import Finished, write_outputs

BAD_START = 0.5  # R: a model in its place with most of its atoms is below
SHOWN = ("r_work", "r_free", "bond_rmsz", "angle_rmsz", "weight")


def run(options: RefineOptions, job: Job) -> dict[str, Any]:
    """Read, refine cycle by cycle, write; Ctrl-C writes what the last complete cycle reached."""
    return_freed_memory()
    listener = _Recorder(job.notify)
    inputs = read_inputs(options, listener)
    gc.collect()
    return_small_blocks()
    refuse_no_working_data(inputs.data)
    settings = refinement_settings(options, inputs.refinable.labels)
    device = chosen_device(options.device)
    term = data_term(options, inputs.data, inputs.refinable.atoms.elements, listener)
    system = make_system(
        inputs.refinable,
        settings,
        d_min=inputs.data.reflections.d_min,
        n_observations=int(term.work.sum()),
    )
    earlier = None
    if options.continue_from is not None:
        earlier = read_checkpoint(options.continue_from, system)
        refuse_other_data(options.continue_from, _observed(term.reflections))
        resume_data(options.continue_from, term, system.model.atoms, earlier.atoms)
    job.begin(inputs.files, seed=options.seed, device=device)
    return_small_blocks()
    state, interrupted = _refine(system, term, listener, earlier, job.path(CHECKPOINT))
    if interrupted:
        term.update_scaling(state.atoms)  # the cycle that was cut off may have left scales of other atoms
    done = Finished(
        inputs=inputs, system=system, term=term, state=state, interrupted=interrupted, warnings=listener.warnings
    )
    gc.collect()
    return_small_blocks()
    summary = write_outputs(options, job, done)
    if interrupted:
        raise KeyboardInterrupt
    return summary


def _refine(
    system: RefinementSystem,
    term: CrystalTerm,
    listener: Listener,
    earlier: RefinementState | None,
    checkpoint: Path,
) -> tuple[RefinementState, bool]:
    """All cycles, or as many as the user lets pass; the second value says that Ctrl-C ended them.

    `earlier` is the state to go on from, which the term has been brought to.
    """
    state = initial_state(system, term) if earlier is None else earlier
    observed = _observed(term.reflections)
    _tell(state, system, listener)
    listener(shells_of(term.statistics(), state.cycle))
    if state.history[0].data["r_work"] > BAD_START:
        listener(Message(_why_bad(state), "warning"))
    try:
        for later in iterate(state, system, term):
            state = later
            write_checkpoint(checkpoint, state, term.fitted(), system.model.atoms.xyz, observed)
            _tell(state, system, listener)
            listener(shells_of(term.statistics(), state.cycle))
    except KeyboardInterrupt:
        listener(Message(f"interrupted: cycle {state.cycle}, the last complete one, is written", "warning"))
        return state, True
    reason = plan_next(state, system)
    if isinstance(reason, Stop) and reason is Stop.CONVERGED:
        listener(Message(f"refinement ended after cycle {state.cycle}: {reason.value}"))
    return state, False


def _observed(reflections: Reflections) -> list[float]:
    """What tells these data from others."""
    return [reflections.d_min, float(len(reflections)), float(reflections.f_obs.nanmean())]


def _tell(state: RefinementState, system: RefinementSystem, listener: Listener) -> None:
    """One line a cycle, and how far along it is."""
    record = state.history[-1]
    numbers = {**record.data, **record.geometry, "weight": record.weight}
    listener(Metrics("cycle", record.cycle, {name: numbers[name] for name in SHOWN}))
    listener(Progress("refinement", record.cycle, n_cycles(system)))


def shells_of(statistics: DataStatistics, cycle: int) -> Shells:
    """Agreement by shell after a cycle, for those who watch."""
    names = ("d_min", "r_work", "r_free")
    return Shells("cycle", cycle, {name: [getattr(s, name) for s in statistics.shells] for name in names})


def _why_bad(state: RefinementState) -> str:
    data = state.history[0].data
    return (
        f"R = {data['r_work']:.3f} at the start (correlation {data['cc_work']:.2f}): the model hardly fits "
        "these data. Is it placed in this crystal (molecular replacement), in this space group, hand and indexing? Are "
        "the data those of this crystal?"
    )


class _Recorder:
    """A listener that passes events on and keeps the warnings for the report."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.warnings: list[str] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Message) and event.level == "warning":
            self.warnings.append(event.text)
        self._listener(event)
