"""What a refinement leaves after each cycle so that it can go on."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from burnish.core.errors import DataError, InputError
from burnish.data.atoms import Atoms
from burnish.io.atomic import write_aside
from burnish.models.data_term import DataTerm
from burnish.models.refinement import RefinementState, state_arrays, state_from_arrays
from burnish.models.refinement_system import RefinementSystem

CHECKPOINT = "checkpoint.npz"
SAME_START = 1e-3  # Å
SAME_DATA = 1e-6  # relative
_START, _OBSERVED = "start_xyz", "observed"
_DATA = "data_"


def write_checkpoint(
    path: Path,
    state: RefinementState,
    fitted: Mapping[str, np.ndarray],
    start_xyz: Tensor,
    observed: Sequence[float],
) -> None:
    """Write a state.

    Parameters
    ----------
    fitted : scales and error model of the data that the next cycle starts from.
    start_xyz : where the atoms stood before the first cycle, Å. (n, 3)
    observed : numbers by which the data are told from others, resolution and strength.
    """
    further = {_DATA + name: array for name, array in fitted.items()}
    further |= {_START: start_xyz.numpy(), _OBSERVED: np.array(observed)}
    with write_aside(path) as aside, aside.open("wb") as file:
        np.savez(file, **state_arrays(state), **further)  # type: ignore[arg-type]


def read_checkpoint(path: Path, system: RefinementSystem) -> RefinementState:
    """The state that was written, of the same model."""
    arrays = _read(path)
    try:
        state = state_from_arrays(arrays, system)
    except (KeyError, ValueError) as error:
        raise _unfit(path, error) from None
    if len(state.atoms.b_iso) != len(system.model.atoms):
        raise _of_another_model(path, len(state.atoms.b_iso), len(system.model.atoms))
    if _START in arrays:
        refuse_other_start(path, torch.from_numpy(arrays[_START]), system.model.atoms.xyz)
    return state


def refuse_other_start(path: Path, start: Tensor, xyz: Tensor) -> None:
    """A checkpoint whose refinement started from other positions than those of the model is not gone on from. (n, 3)"""
    away = float((start - xyz).abs().max())
    if away > SAME_START:
        raise DataError(
            f"{path}: its refinement started from atoms up to {away:.2f} Å from those of this model; "
            "name the model that it was started with, or start anew"
        )


def refuse_other_data(path: Path, observed: Sequence[float]) -> None:
    """A checkpoint that was written with other data, or to another resolution, is not gone on from."""
    known = _read(path).get(_OBSERVED, np.array(observed))
    same = known.shape == (len(observed),) and np.allclose(known, observed, rtol=SAME_DATA, atol=0.0, equal_nan=True)
    if not same:
        raise DataError(
            f"{path}: was left by a refinement against other data, or to another resolution; "
            "name what it was started with, or start anew"
        )


def resume_data(path: Path, data: DataTerm, first: Atoms, now: Atoms) -> None:
    """Bring the data to where they stood when the checkpoint was written; see `DataTerm.resume`."""
    fitted = {n.removeprefix(_DATA): array for n, array in _read(path).items() if n.startswith(_DATA)}
    try:
        data.resume(first, now, fitted)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise _unfit(path, error) from None


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
    if path.is_file() and not zipfile.is_zipfile(path):
        raise DataError(f"{path}: is no checkpoint; name the checkpoint.npz that a refinement left in its folder")
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
