"""Values and sigmas of a measurement: unmeasured ones told apart, impossible ones refused with their place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from burnish.core.errors import DataError
from burnish.io.reflection_columns import Signal
from burnish.io.reflection_table import Column, ReflectionTable

FloatArray = NDArray[np.float64]
# an amplitude this many times the median is no diffraction: the strongest of a real crystal stays below about 100
ABSURD_AMPLITUDE = 1e4


def checked_signal(
    table: ReflectionTable, signal: Signal, *, must_be_good: bool
) -> tuple[FloatArray, FloatArray, list[str]]:
    """Values and sigmas of one signal with NaN where not measured.

    Parameters
    ----------
    table, signal : what to take from where.
    must_be_good : refuse impossible values; otherwise (a signal that is only carried along) make them NaN.

    Returns
    -------
    Values and sigmas, (n,) or (n, 2) for pairs, and what was left out, in words.
    """
    parts = [
        _checked(table, signal.columns[i], signal.columns[i + 1], must_be_good=must_be_good)
        for i in range(0, len(signal.columns), 2)
    ]
    notes = [note for _, _, found in parts for note in found]
    if len(parts) == 1:
        return parts[0][0], parts[0][1], notes
    return np.stack([p[0] for p in parts], 1), np.stack([p[1] for p in parts], 1), notes


def _checked(
    table: ReflectionTable, column: Column, sigma_column: Column, *, must_be_good: bool
) -> tuple[FloatArray, FloatArray, list[str]]:
    value, sigma = column.values.copy(), sigma_column.values.copy()
    amplitude = column.kind in "FG"
    if not must_be_good:
        bad = ~np.isfinite(value) | ~np.isfinite(sigma) | (sigma <= 0.0) | (amplitude & (value < 0.0))
        value[bad], sigma[bad] = np.nan, np.nan
        return value, sigma, []
    notes: list[str] = []
    _refuse(table, column, np.isinf(value), "a finite number")
    _refuse(table, sigma_column, np.isinf(sigma), "a finite number")
    empty = amplitude & (value == 0.0) & (sigma == 0.0)  # how CNS writes an unmeasured reflection
    if empty.any() and not empty.all():
        notes.append(
            f"{int(empty.sum())} reflections with {column.label} = {sigma_column.label} = 0 count as unmeasured"
        )
        value[empty], sigma[empty] = np.nan, np.nan
    listed = np.isfinite(value)
    if not listed.any():
        raise DataError(
            f"{table.source}: column {column.label}: none of {len(value)} values is a number; name the measured data "
            "with --labels"
        )
    if amplitude:
        _refuse(table, column, listed & (value < 0.0), "an amplitude of 0 or more")
        _refuse_absurd(table, column, value, listed)
    else:
        _refuse_absurd(table, column, np.sqrt(np.abs(value)), listed)
    _check_sigma(table, column, sigma_column, value, sigma, notes)
    return value, sigma, notes


def _check_sigma(
    table: ReflectionTable,
    column: Column,
    sigma_column: Column,
    value: FloatArray,
    sigma: FloatArray,
    notes: list[str],
) -> None:
    """Refuse negative sigmas and a column of zeros; reflections without a usable sigma become unmeasured, in place."""
    listed = np.isfinite(value)
    _refuse(table, sigma_column, listed & (sigma < 0.0), "a sigma above 0")
    known = listed & np.isfinite(sigma)
    if not known.any() or (sigma[known] == 0.0).all():
        found = "are zero" if known.any() else "are missing"
        raise DataError(
            f"{table.source}: column {sigma_column.label}: all {int(listed.sum())} sigmas {found}; every weight "
            "depends on them, give data with measured sigmas"
        )
    without = listed & (~np.isfinite(sigma) | (sigma == 0.0))
    if without.any():
        first = table.place(int(np.flatnonzero(without)[0]))
        notes.append(
            f"{int(without.sum())} reflections have {column.label} but no {sigma_column.label} above 0 (first: "
            f"{first}): left out"
        )
    value[without] = np.nan
    sigma[~np.isfinite(value)] = np.nan


def _refuse(table: ReflectionTable, column: Column, bad: NDArray[np.bool_], expected: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{table.source}: column {column.label}, {table.place(row)}: found {column.values[row]:g}, expected "
            f"{expected} ({int(bad.sum())} such rows); correct the file or name other data with --labels"
        )


def _refuse_absurd(table: ReflectionTable, column: Column, amplitude: FloatArray, listed: NDArray[np.bool_]) -> None:
    typical = float(np.median(amplitude[listed & (amplitude > 0)])) if (amplitude[listed] > 0).any() else 0.0
    if typical == 0.0:
        raise DataError(
            f"{table.source}: column {column.label}: all values are zero; name the measured data with --labels"
        )
    bad = listed & (amplitude > ABSURD_AMPLITUDE * typical)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{table.source}: column {column.label}, {table.place(row)}: found {column.values[row]:g}, more than "
            f"{ABSURD_AMPLITUDE:g} times the typical amplitude of {typical:.4g}; remove the reflection"
        )
