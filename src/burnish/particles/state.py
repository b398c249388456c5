"""All that a refinement knows between two iterations: it saves, loads, and resuming needs nothing else."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from burnish.core.errors import DataError
from burnish.particles.controller import Progress
from burnish.particles.modes import Modes

_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """State after an iteration; what belongs to a half set is kept for each of them apart.

    Attributes
    ----------
    iteration : the next one's number, from 1.
    maps : reference of each half set. (2, n, n, n) float32
    sigma2 : noise power E|N|² of one coefficient of an unnormalised transform, by half, optics group and shell. (2,
        g, shells)
    centre : whole-pixel shift of each particle, px. (p, 2) int64
    rotation : best rotation of each particle. (p, 3, 3) float64
    shift : best shift of each particle from its centre, px. (p, 2) float64
    modes : posterior of the particles once it is narrow; empty before.
    scale : of each half's scale groups. (2, m) float64
    norm : what each image is divided by. (p,) float64
    sigma_shift : of each half's shift prior, Å. (2,) float64
    progress : what the controller decides by.
    """

    iteration: int
    maps: Tensor
    sigma2: Tensor
    centre: Tensor
    rotation: Tensor
    shift: Tensor
    modes: Modes
    scale: Tensor
    norm: Tensor
    sigma_shift: Tensor
    progress: Progress


def save_state(state: State, path: Path) -> None:
    """Write every number of the state, exactly; the caller sees to it that nobody meets half a file."""
    record: dict[str, Any] = {f.name: getattr(state, f.name) for f in dataclasses.fields(State)}
    record["modes"] = {f.name: getattr(state.modes, f.name) for f in dataclasses.fields(Modes)}
    record["progress"] = dataclasses.asdict(state.progress)
    torch.save({"format": _FORMAT, "state": record}, path)


def load_state(path: Path, *, mapped: bool = False) -> State:
    """Read a state back; `DataError` for what is not one.

    Parameters
    ----------
    mapped : leave its numbers in the file until they are needed.
    """
    try:
        record = torch.load(path, weights_only=True, mmap=mapped)
        if record["format"] != _FORMAT:
            raise DataError(
                f"{path}: checkpoint of format {record['format']}, expected {_FORMAT}; start this refinement anew"
            )
        state = dict(record["state"])
        state["modes"] = Modes(**state["modes"])
        state["progress"] = Progress(**state["progress"])
        return State(**state)
    except (KeyError, TypeError, RuntimeError, EOFError, OSError) as error:
        raise DataError(
            f"{path}: not a checkpoint of refine3d ({type(error).__name__}); continue from an earlier iteration"
        ) from None
