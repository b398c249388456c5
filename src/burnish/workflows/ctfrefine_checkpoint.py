"""The state of a refinement of optics on disk, for a job that was stopped."""

from __future__ import annotations

import pickle
import time

import torch

from burnish.core.events import Message
from burnish.data.optics import Defocus, OpticsGroup
from burnish.io.atomic import write_aside
from burnish.jobs.folder import Job
from burnish.options.ctfrefine import CtfRefineOptions
from burnish.particles.ctf_refinement.aberration_fit import AberrationSums, TermFit
from burnish.particles.ctf_refinement.magnification_fit import MagnificationFit, MagnificationSums
from burnish.particles.ctf_refinement.phase_fit import PhaseSums
from burnish.particles.ctf_refinement.refinement import GroupFits, State

NAME = "ctfrefine_checkpoint.pt"
INTERVAL = 15.0  # s between two checkpoints
_RECORDS = [
    AberrationSums, Defocus, GroupFits, MagnificationFit, MagnificationSums, OpticsGroup, PhaseSums, State, TermFit,
]  # fmt: skip


class Checkpoint:
    """Saves the state at most every `INTERVAL`, and finds it again if inputs and options are the same.

    A new run into the same folder goes on from it by itself; where to compute and how much memory to use may change.
    """

    def __init__(self, job: Job, options: CtfRefineOptions) -> None:
        self._job = job
        self._path = job.path(NAME)
        self._asked = {
            "options": options.model_dump_json(exclude={"out", "threads", "max_memory"}),
            "inputs": [f.sha256 for f in job.record.inputs],
        }
        self._last = time.monotonic()

    def save(self, state: State) -> None:
        """Write the state aside and rename it, if the last time is long enough ago."""
        if time.monotonic() - self._last < INTERVAL:
            return
        with write_aside(self._path) as aside:
            torch.save({"asked": self._asked, "state": state}, aside)
        self._last = time.monotonic()

    def load(self) -> State | None:
        """The state to go on from, or None."""
        if not self._path.exists():
            return None
        try:
            with torch.serialization.safe_globals(list(_RECORDS)):
                found = torch.load(self._path, weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError):
            self._job.notify(Message(f"{self._path}: unreadable checkpoint; starting from the beginning", "warning"))
            return None
        if found["asked"] != self._asked:
            self._job.notify(
                Message(f"{self._path}: made with other inputs or options; starting from the beginning", "warning")
            )
            return None
        state: State = found["state"]
        self._job.notify(Message(f"going on in pass {state.stage + 1} after {state.done} micrographs"))
        return state

    def remove(self) -> None:
        """The job is complete."""
        self._path.unlink(missing_ok=True)
