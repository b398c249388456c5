"""Measured data: from a reflection file to `Reflections`, one row per unique reflection, and the rest of the file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burnish.core.errors import DataError, InputError
from burnish.core.events import Message
from burnish.data.reflections import AnomalousPairs, Crystal, Reflections
from burnish.io import free_flags
from burnish.io.free_flags import FreeFlags
from burnish.io.measured_values import checked_signal
from burnish.io.miller_keys import places_of, united
from burnish.io.reflection_columns import Choice, Signal, choose
from burnish.io.reflection_table import Column, ReflectionTable, read_table
from burnish.io.unique_reflections import Mapping, carried_columns, map_to_asu, merge, merge_pair, sign_pairs

FloatArray = NDArray[np.float64]
LEAST_COMPLETENESS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffractionData:
    """The data of one refinement.

    Attributes
    ----------
    source : the file.
    reflections : every unique reflection to the resolution limit, measured or not; `f_obs` is NaN throughout when the
        data are intensities, until French and Wilson's method has been applied.
    choice : the columns that were taken, and those that belong to the same measurement.
    flags : free flags of `reflections`, row by row.
    carried_hkl : unique reflections of the file, whatever their resolution. (m, 3)
    carried : all columns of the file for `carried_hkl`.
    wavelength : Å, or None.
    messages : what the user should know about the choice and the state of the data.
    """

    source: Path
    reflections: Reflections
    choice: Choice
    flags: FreeFlags
    carried_hkl: NDArray[np.int64]
    carried: tuple[Column, ...]
    wavelength: float | None
    messages: tuple[Message, ...]

    @property
    def intensities_only(self) -> bool:
        """Whether amplitudes have to be estimated from the intensities."""
        return self.choice.signal.kind in ("I", "I±")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRequest:
    """What the user says about the data; everything has its usual meaning when nothing is said.

    Attributes
    ----------
    labels : columns to take, or None for the only measurement.
    free_label, free_value : column of free flags and its free value, or None for what the file shows.
    new_free : make new flags even where the file has some.
    require_free : refuse data without flags.
    seed : of new flags.
    d_min, d_max : resolution limits, Å; 0 and infinity for all.
    block : data block of an mmCIF file, None for the first.
    """

    labels: tuple[str, ...] | None = None
    free_label: str | None = None
    free_value: float | None = None
    new_free: bool = False
    require_free: bool = False
    seed: int = 0
    d_min: float = 0.0
    d_max: float = float("inf")
    block: str | None = None


def read_reflections(path: Path, request: DataRequest | None = None) -> DiffractionData:
    """Read measured data from an MTZ or structure-factor mmCIF file.

    Raises
    ------
    InputError, DataError
        when the file cannot be read, holds no measurement or several, impossible values, or no usable free flags.

    Examples
    --------
    >>> data = read_reflections(Path("data.mtz"))                                        # doctest: +SKIP
    >>> data.reflections.f_obs                                                           # doctest: +SKIP
    """
    request = request or DataRequest()
    table = read_table(Path(path), request.block)
    choice = choose(table, request.labels)
    messages = [Message(note) for note in table.notes]
    messages.append(Message(_describe_choice(table, choice)))

    table, values, found = _checked_values(table, choice)
    messages += found
    mapping, found = map_to_asu(table)
    messages += found
    unique = _unique_signals(values, mapping, table)
    chosen = unique[choice.signal.kind]
    measured: NDArray[np.bool_] = np.asarray(np.isfinite(chosen[0]).reshape(len(mapping.hkl), -1).any(1))
    limits, kept = _resolution(mapping, measured, request, table)
    flags, found = _flags(table, mapping, measured, request)
    messages += found

    crystal = table.crystal
    _refuse_wrong_cell(table, int((measured & kept).sum()), limits)
    hkl = _complete_list(mapping.hkl[kept], crystal, limits)
    rows = places_of(hkl, mapping.hkl)
    flags = replace(flags, values=_spread(flags.values, rows))
    if flags.generated:
        flags = free_flags.generate(hkl, crystal, request.seed)
    reflections = _reflections(hkl, crystal, flags, choice, unique, rows, _phases(table, mapping))
    messages.append(Message(_describe_data(reflections, flags, choice)))
    return DiffractionData(
        source=Path(path),
        reflections=reflections,
        choice=choice,
        flags=flags,
        carried_hkl=mapping.hkl,
        carried=carried_columns(table, mapping),
        wavelength=table.wavelength,
        messages=tuple(messages),
    )


def _describe_choice(table: ReflectionTable, choice: Choice) -> str:
    labels = ",".join(choice.signal.labels)
    what = {
        "F": "amplitudes",
        "F±": "amplitudes merged from ± pairs",
        "I": "intensities (amplitudes by French and Wilson's method)",
        "I±": "intensities merged from ± pairs (amplitudes by French and Wilson's method)",
    }[choice.signal.kind]
    others = [s for s in choice.measurement.signals if s is not choice.signal]
    more = f"; of the same measurement: {' '.join(','.join(s.labels) for s in others)}" if others else ""
    return f"data: {labels} of {table.source.name}, {what}{more}"


def _checked_values(
    table: ReflectionTable, choice: Choice
) -> tuple[ReflectionTable, dict[str, tuple[FloatArray, FloatArray]], list[Message]]:
    """Value and sigma of each signal of the measurement, impossible ones refused; (n,) each, or (n, 2) for pairs."""
    status = table.column("STATUS")
    rejected = np.isnan(status.values) if status is not None else np.zeros(len(table), dtype=bool)
    values: dict[str, tuple[FloatArray, FloatArray]] = {}
    messages: list[Message] = []
    for signal in choice.measurement.signals:
        chosen = signal is choice.signal
        if choice.by_user and not chosen and signal.kind in ("F", "F±") and choice.signal.kind in ("I", "I±"):
            continue
        value, sigma, notes = checked_signal(table, signal, must_be_good=chosen)
        if chosen and (count := int((np.isfinite(value).reshape(len(table), -1).any(1) & rejected).sum())):
            notes.append(f"{count} reflections with a value are marked as not used (status): left out")
        value[rejected], sigma[rejected] = np.nan, np.nan
        messages += [Message(f"{table.source.name}: {note}", "warning") for note in notes if chosen]
        values[signal.kind] = (value, sigma)
    return table, values, messages


def _unique_signals(
    values: dict[str, tuple[FloatArray, FloatArray]], mapping: Mapping, table: ReflectionTable
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """One value per unique reflection of each signal; means of pairs are added where there is no mean in the file."""
    unique: dict[str, tuple[FloatArray, FloatArray]] = {}
    for kind, (value, sigma) in values.items():
        if kind in ("F±", "I±"):
            unique[kind] = sign_pairs(value, sigma, mapping)
        else:
            unique[kind] = merge(value, sigma, mapping)
            if kind + "±" not in values and mapping.lists_friedel_mates(value):
                both = (
                    np.stack([value, np.full_like(value, np.nan)], 1),
                    np.stack([sigma, np.full_like(sigma, np.nan)], 1),
                )
                unique[kind + "±"] = sign_pairs(*both, mapping)
    return unique


def _resolution(
    mapping: Mapping, measured: NDArray[np.bool_], request: DataRequest, table: ReflectionTable
) -> tuple[tuple[float, float], NDArray[np.bool_]]:
    """Limits (d_min, d_max) of the measured data inside the request, and which unique rows lie between."""
    d = 1.0 / np.sqrt(mapping.s2)
    inside = measured & (d >= request.d_min) & (d <= request.d_max)
    if not inside.any():
        if not measured.any():
            raise DataError(f"{table.source}: {','.join(_labels(table))}: no reflection is measured")
        raise InputError(
            f"{table.source}: no measured reflection between {request.d_min:g} and {request.d_max:g} Å; the data reach "
            f"from {d[measured].max():.2f} to {d[measured].min():.2f} Å"
        )
    d_min, d_max = float(d[inside].min()), min(float(d.max()), request.d_max)
    return (d_min, d_max), (d >= d_min * (1 - 1e-9)) & (d <= d_max * (1 + 1e-9))


def _labels(table: ReflectionTable) -> list[str]:
    return [c.label for c in table.columns if c.kind in "FGJK"]


def _flags(
    table: ReflectionTable, mapping: Mapping, measured: NDArray[np.bool_], request: DataRequest
) -> tuple[FreeFlags, list[Message]]:
    """Flags of the unique reflections of the file."""
    column = None if request.new_free else free_flags.find_column(table, request.free_label)
    if column is None:
        if request.require_free:
            there = ", ".join(c.label for c in table.columns)
            raise DataError(
                f"{table.source}: no free flags and --require-free is given; name the column with --free-label (there "
                f"are {there}) or have flags made by leaving --require-free out"
            )
        made = free_flags.generate(mapping.hkl, table.crystal, request.seed)
        replaced = "as asked" if request.new_free else "the file has no free flags"
        text = (
            f"{table.source.name}: new free flags made with seed {request.seed} ({replaced}): R-free starts from here"
        )
        return made, [Message(text, "warning")]
    rows_measured = measured[mapping.group]
    flags = free_flags.interpret(table.source, column, rows_measured, request.free_value)
    messages = [Message(f"{table.source.name}: {w}", "warning") for w in flags.warnings]
    messages += [Message(f"{table.source.name}: {w}", "warning") for w in free_flags.check_mates(flags, mapping.group)]
    flags = replace(flags, values=_flag_of_group(flags, mapping))
    lacking = measured & ~np.isfinite(flags.values)
    if lacking.any():
        shown = " ".join("(" + " ".join(str(i) for i in h) + ")" for h in mapping.hkl[lacking][:3].tolist())
        messages.append(
            Message(
                f"{table.source.name}: {int(lacking.sum())} measured reflections have no free flag ({shown}"
                f"{' …' if lacking.sum() > 3 else ''}); flags are drawn for them with seed {request.seed}",
                "warning",
            )
        )
        flags = free_flags.complete(flags, measured, request.seed)
    return flags, messages


def _flag_of_group(flags: FreeFlags, mapping: Mapping) -> FloatArray:
    """One flag per unique reflection: free when any of its rows is, else that of its first row with a flag."""
    values = np.full(len(mapping.hkl), np.nan)
    known = np.flatnonzero(np.isfinite(flags.values))[::-1]  # the first row is written last
    values[mapping.group[known]] = flags.values[known]
    values[mapping.group[np.flatnonzero(flags.free)]] = flags.free_value
    return values


def _refuse_wrong_cell(table: ReflectionTable, n_measured: int, limits: tuple[float, float]) -> None:
    """A crystal has (2π/3) V / (d³ · operations) unique reflections; far more than are measured means a wrong cell."""
    d_min, d_max = limits
    operations = table.crystal.group.operations()
    volume = table.crystal.unit_cell.volume / len(operations.cen_ops)
    possible = 2.0 * np.pi / 3.0 * volume * (d_min**-3 - (1.01 * d_max) ** -3) / len(operations.sym_ops)
    if n_measured < LEAST_COMPLETENESS * possible:
        raise DataError(
            f"{table.source}: {n_measured} reflections measured of about {possible:.3g} that the cell allows to "
            f"{d_min:.2f} Å; the cell or the indices are wrong"
        )


def _complete_list(hkl: NDArray[np.int64], crystal: Crystal, limits: tuple[float, float]) -> NDArray[np.int64]:
    """The listed reflections and all that the limits allow, sorted by h, k, l."""
    d_min, d_max = limits
    every = gemmi.make_miller_array(crystal.unit_cell, crystal.group, d_min * (1 - 1e-6), d_max * (1 + 1e-6))
    return united(hkl, every.astype(np.int64))


def _spread(values: FloatArray, rows: NDArray[np.int64]) -> FloatArray:
    """Values at the rows, NaN where the row is −1."""
    spread = np.full((len(rows), *values.shape[1:]), np.nan)
    spread[rows >= 0] = values[rows[rows >= 0]]
    return spread


def _phases(table: ReflectionTable, mapping: Mapping) -> FloatArray | None:
    """Hendrickson–Lattman coefficients of the unique reflections, None when the file has none. (m, 4)"""
    columns = [c for c in carried_columns(table, mapping) if c.kind == "A"]
    return np.stack([c.values for c in columns[:4]], 1) if len(columns) >= 4 else None


def _reflections(
    hkl: NDArray[np.int64],
    crystal: Crystal,
    flags: FreeFlags,
    choice: Choice,
    unique: dict[str, tuple[FloatArray, FloatArray]],
    rows: NDArray[np.int64],
    hl: FloatArray | None,
) -> Reflections:
    signals = {kind: (_spread(v, rows), _spread(s, rows)) for kind, (v, s) in unique.items()}
    operations = crystal.group.operations()
    index = hkl.astype(np.int32)
    centric = np.array(operations.centric_flag_array(index), dtype=bool)
    f_obs, sigma_f_obs = _mean("F", signals, centric)
    i_obs, sigma_i_obs = _mean("I", signals, centric)
    if choice.signal.kind in ("I", "I±") or f_obs is None or sigma_f_obs is None:
        f_obs, sigma_f_obs = np.full(len(hkl), np.nan), np.full(len(hkl), np.nan)
    pair_f, pair_i = signals.get("F±"), signals.get("I±")
    anomalous = None
    if pair_f is not None or pair_i is not None:
        anomalous = AnomalousPairs(
            f_obs=_tensor(pair_f[0] if pair_f else None),
            sigma_f_obs=_tensor(pair_f[1] if pair_f else None),
            i_obs=_tensor(pair_i[0] if pair_i else None),
            sigma_i_obs=_tensor(pair_i[1] if pair_i else None),
        )
    return Reflections(
        crystal=crystal,
        hkl=torch.from_numpy(np.ascontiguousarray(hkl)),
        f_obs=torch.from_numpy(f_obs),
        sigma_f_obs=torch.from_numpy(sigma_f_obs),
        i_obs=_tensor(i_obs),
        sigma_i_obs=_tensor(sigma_i_obs),
        free=torch.from_numpy(flags.free),
        centric=torch.from_numpy(centric),
        epsilon=torch.from_numpy(np.array(operations.epsilon_factor_without_centering_array(index), dtype=np.float64)),
        s2=torch.from_numpy(np.array(crystal.unit_cell.calculate_1_d2_array(index), dtype=np.float64)),
        anomalous=anomalous,
        hl=_tensor(_spread(hl, rows) if hl is not None else None),
    )


def _mean(
    quantity: str, signals: dict[str, tuple[FloatArray, FloatArray]], centric: NDArray[np.bool_]
) -> tuple[FloatArray | None, FloatArray | None]:
    """Mean values of a quantity: as in the file, else merged from its pairs, else None."""
    if quantity in signals:
        return signals[quantity]
    pair = signals.get(quantity + "±")
    return merge_pair(*pair) if pair is not None else (None, None)


def _tensor(values: FloatArray | None) -> Tensor | None:
    return None if values is None else torch.from_numpy(np.ascontiguousarray(values))


def _describe_data(reflections: Reflections, flags: FreeFlags, choice: Choice) -> str:
    values = cast(Tensor, reflections.i_obs) if choice.signal.kind in ("I", "I±") else reflections.f_obs
    measured = values.isfinite()
    d = reflections.s2[measured].rsqrt()
    n_free = int((reflections.free & measured).sum())
    n = int(measured.sum())
    return (
        f"{n} reflections measured of {len(reflections)} ({n / len(reflections):.1%}), {float(d.max()):.2f}–"
        f"{float(d.min()):.2f} Å, {reflections.crystal.space_group}; free: {n_free} ({n_free / n:.2%}), "
        f"{flags.label} = {flags.convention}"
    )


__all__ = ["DataRequest", "DiffractionData", "Signal", "read_reflections"]
