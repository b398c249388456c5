"""`refined.mtz`: what was measured, as it came in, and what the refined model says about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from burnish import __version__
from burnish.io.atomic import write_aside
from burnish.io.miller_keys import places_of, united
from burnish.io.reflection_columns import is_calculated
from burnish.io.reflection_table import Column
from burnish.io.reflections import DiffractionData

FloatArray = NDArray[np.float64]
# phases that come with amplitudes of an earlier model; figures of merit belong to them
_MODEL_PHASES = ("PHIC", "PHWT", "PHDELWT", "PHDELFWT", "PH2FOFC", "PHFOFC", "PHIF", "PHFC", "PHCOMB", "PHDM")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputColumn:
    """One column to write, row by row as the reflections; NaN is written as missing."""

    label: str
    kind: str
    values: Tensor


def kept_columns(data: DiffractionData) -> tuple[Column, ...]:
    """What of the file is carried through: measurements, flags, experimental phases; nothing computed from a model."""
    return tuple(c for c in data.carried if not _is_stale(c))


def _is_stale(column: Column) -> bool:
    label = column.label.upper()
    if column.kind == "P":
        return label.startswith(_MODEL_PHASES)
    return column.kind == "W" or (column.kind in "FR" and is_calculated(label))


def write_reflections(path: Path, data: DiffractionData, columns: Sequence[OutputColumn]) -> None:
    """Write an MTZ file with the measured columns, the free flags as used and the given columns.

    Reflections of the file outside the resolution limits stay in it with their measured columns only. A column of the
    file whose label is among the new ones is replaced.
    """
    hkl = data.reflections.hkl.cpu().numpy()
    every = united(hkl, data.carried_hkl)
    of_new, of_old = places_of(hkl, every), places_of(data.carried_hkl, every)
    mtz = gemmi.Mtz(with_base=True)
    mtz.title = "Burnish refinement"
    mtz.spacegroup = data.reflections.crystal.group
    mtz.set_cell_for_all(data.reflections.crystal.unit_cell)
    new_labels = {c.label for c in columns}
    table = [every.astype(np.float64)]

    flag_label = "FreeR_flag" if data.flags.label in ("STATUS", "RFREE") else data.flags.label
    mtz.add_column(flag_label, "I", dataset_id=0)
    table.append(_flag_values(data, len(every), of_new, of_old)[:, None])

    datasets: dict[str, gemmi.Mtz.Dataset] = {}
    for column in kept_columns(data):
        if column.label in new_labels or column.label in (flag_label, data.flags.label, "STATUS"):
            continue
        dataset = _dataset(mtz, datasets, column.dataset or "data", data.wavelength)
        mtz.add_column(column.label, column.kind, dataset_id=dataset.id)
        table.append(_spread(column.values, of_old, len(every))[:, None])
    dataset = _dataset(mtz, datasets, "refined", data.wavelength)
    for new in columns:
        mtz.add_column(new.label, new.kind, dataset_id=dataset.id)
        table.append(_spread(new.values.detach().cpu().double().numpy(), of_new, len(every))[:, None])
    mtz.history = [f"Burnish {__version__}: data and free flags of {data.source.name}"[:80]]
    mtz.set_data(np.concatenate(table, axis=1).astype(np.float32))
    mtz.sort()
    mtz.update_reso()
    with write_aside(path) as aside:
        mtz.write_to_file(str(aside))


def _dataset(
    mtz: gemmi.Mtz, made: dict[str, gemmi.Mtz.Dataset], name: str, wavelength: float | None
) -> gemmi.Mtz.Dataset:
    if name == "HKL_base":
        return mtz.datasets[0]
    if name not in made:
        dataset = mtz.add_dataset(name)
        dataset.project_name, dataset.crystal_name = "burnish", "crystal"
        dataset.wavelength = wavelength or 0.0
        made[name] = dataset
    return made[name]


def _flag_values(data: DiffractionData, n: int, of_new: NDArray[np.int64], of_old: NDArray[np.int64]) -> FloatArray:
    """Flags as used, those of the file where the refinement had no say; the wwPDB's f becomes CCP4's 0."""
    carried = next((c for c in data.carried if c.label == data.flags.label), None)
    values = np.full(n, np.nan)
    if carried is not None and not data.flags.generated:
        values = _spread(carried.values, of_old, n)
    used = _spread(data.flags.values, of_new, n)
    values = np.where(np.isfinite(used), used, values)
    if data.flags.label == "STATUS":
        values = np.where(np.isfinite(values), 1.0 - values, np.nan)
    return values


def _spread(values: FloatArray, rows: NDArray[np.int64], n: int) -> FloatArray:
    spread = np.full(n, np.nan)
    spread[rows] = values
    return spread
