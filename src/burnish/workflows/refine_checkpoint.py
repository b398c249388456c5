"""What a refinement leaves after each cycle so that it can go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from burnish.core.errors import DataError, InputError
from burnish.io.atomic import write_aside
from burnish.models.refinement import RefinementState, state_arrays, state_from_arrays
from burnish.models.refinement_system import RefinementSystem

CHECKPOINT = "checkpoint.npz"
_START = "start_xyz"


def write_checkpoint(path: Path, state: RefinementState, start_xyz: Tensor | None = None) -> None:
    """Write a state, and where the atoms stood before the first cycle if that is not as in the model's file."""
    start = {} if start_xyz is None else {_START: start_xyz.numpy()}
    with write_aside(path) as aside, aside.open("wb") as file:
        np.savez(file, **state_arrays(state), **start)  # type: ignore[arg-type]


def read_checkpoint(path: Path, system: RefinementSystem) -> RefinementState:
    """The state that was written, of the same model."""
    arrays = _read(path)
    try:
        state = state_from_arrays(arrays, system)
    except (KeyError, ValueError) as error:
        raise _unfit(path, error) from None
    if len(state.atoms.b_iso) != len(system.model.atoms):
        raise _of_another_model(path, len(state.atoms.b_iso), len(system.model.atoms))
    return state


def read_start(path: Path, xyz: Tensor) -> Tensor:
    """Where the atoms stood before the first cycle, Å; `xyz` where the checkpoint does not say. (n, 3)"""
    arrays = _read(path)
    for name in (_START, "xyz"):
        if name in arrays and arrays[name].shape != tuple(xyz.shape):
            raise _of_another_model(path, len(arrays[name]), len(xyz))
    if "rest" not in arrays:
        raise _unfit(path, KeyError("rest"))
    return torch.from_numpy(arrays[_START]) if _START in arrays else xyz


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: np.array(file[name]) for name in file.files}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; name the checkpoint.npz of a refinement") from None
    except (OSError, ValueError) as error:
        raise _unfit(path, error) from None


def _unfit(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: is no checkpoint of a refinement ({error}); start the refinement anew")


def _of_another_model(path: Path, found: int, expected: int) -> DataError:
    return DataError(
        f"{path}: {found} atoms, but the model has {expected} with its hydrogens: "
        "the checkpoint of another model; start the refinement anew"
    )
