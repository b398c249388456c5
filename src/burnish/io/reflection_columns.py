"""Which columns of a reflection file are the measured data.

Conventions followed: MTZ column types (CCP4: F amplitude, J intensity, Q their sigma, G and K the amplitude and
intensity of one sign of Bijvoet pairs with sigmas L and M); a measured column has a sigma of its own, a calculated one
never has.
Labels of CCP4, phenix and the wwPDB differ only in what is left after the quantity's name, its sign and the word for
"observed" are taken away: that remainder (and nothing else) tells one measurement from another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from burnish.core.errors import DataError, InputError
from burnish.io.reflection_table import Column, ReflectionTable

Kind = Literal["F", "I", "F±", "I±"]
_SIGMA_TYPE = {"F": "Q", "J": "Q", "G": "L", "K": "M"}
_QUANTITY = {"F": "F", "J": "I", "G": "F±", "K": "I±"}
# what programs call calculated amplitudes: never data, whatever stands beside them
_CALCULATED = re.compile(
    r"^(FC|FCALC|F[-_]?CALC|F[-_]?MODEL|F[-_]?MASK|F[-_]?BULK|F[-_]?PART|FWT|DELFWT|2?M?F(O|OBS)?WT|2?M?D?FOFC|FDM|FCOMB|FOFC|FEM|FAN$|F?ANOM)"
)
_SIGN = re.compile(r"\((\+|-)\)|(?<=[A-Z_])(PLUS|MINUS)\b|(?<=[FI])(\+|-)(?=$|_)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A quantity and its sigma; both signs of Bijvoet pairs for `F±` and `I±`: (+, σ+, −, σ−)."""

    kind: Kind
    columns: tuple[Column, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(c.label for c in self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """All that a file has of one measurement: at most one signal of each kind."""

    name: str
    signals: tuple[Signal, ...]

    def signal(self, kind: Kind) -> Signal | None:
        return next((s for s in self.signals if s.kind == kind), None)

    def describe(self) -> str:
        return " or ".join(",".join(s.labels) for s in self.signals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The signal to refine against, and the measurement that it belongs to."""

    signal: Signal
    measurement: Measurement
    by_user: bool


def find_measurements(table: ReflectionTable) -> tuple[Measurement, ...]:
    """Every measurement of a file, calculated columns left out."""
    groups: dict[tuple[str, str], dict[Kind, list[Column]]] = {}
    taken: set[str] = set()
    for column in table.columns:
        if column.kind not in _SIGMA_TYPE or is_calculated(column.label):
            continue
        sigma = _sigma_of(table, column, taken)
        if sigma is None:
            continue
        taken.add(sigma.label)
        kind: Kind = _QUANTITY[column.kind]  # type: ignore[assignment]
        signals = groups.setdefault((remainder(column.label), ""), {})
        if kind in ("F±", "I±"):
            pair = signals.setdefault(kind, [])
            pair[:] = [column, sigma, *pair] if _is_plus(column.label) else [*pair, column, sigma]
        elif kind in signals:  # the same remainder twice: F-obs and F-obs-filtered, the first stands
            continue
        else:
            signals[kind] = [column, sigma]
    found = [_measurement(key[0], signals) for key, signals in groups.items()]
    return _joined_by_dataset(tuple(m for m in found if m is not None))


def choose(table: ReflectionTable, labels: tuple[str, ...] | None = None) -> Choice:
    """The data to refine against.

    Mean amplitudes if present, else merged ± amplitudes, else mean intensities, else merged ± intensities, of the only
    measurement in the file; or what `labels` names.

    Raises
    ------
    InputError
        when the labels do not name a measurement.
    DataError
        when there is no measurement, or more than one.
    """
    measurements = find_measurements(table)
    if labels:
        return _by_labels(table, measurements, labels)
    if not measurements:
        raise DataError(_why_none(table))
    if len(measurements) > 1:
        listed = "; ".join(m.describe() for m in measurements)
        first = ",".join(measurements[0].signals[0].labels)
        raise DataError(
            f"{table.source}: {len(measurements)} different measurements: {listed}; name one, for example "
            f"--labels {first}"
        )
    order: tuple[Kind, ...] = ("F", "F±", "I", "I±")
    signal = next(s for kind in order if (s := measurements[0].signal(kind)) is not None)
    return Choice(signal=signal, measurement=measurements[0], by_user=False)


def is_calculated(label: str) -> bool:
    """Whether a label is one that programs give to amplitudes computed from a model."""
    return _CALCULATED.match(label.upper()) is not None


def remainder(label: str) -> str:
    """What sets the measurement of a label apart from others, upper case; empty for plain F, FP, IMEAN, F-obs(+)…

    Examples
    --------
    >>> [remainder(x) for x in ("FP", "F-obs(+)", "IMEAN", "FOBS", "F_peak", "FGMP18", "I(-)_New")]
    ['', '', '', '', 'PEAK', 'GMP18', 'NEW']
    """
    bare = _SIGN.sub("", label.upper())
    for word in ("F", "I", "J", "DANO"):
        for suffix in ("-OBS-FILTERED", "_MEAS_AU", "-OBS", "_OBS", "_MEAS", "OBS", "MEAS", "MEAN", "P", "O", ""):
            stem = word + suffix
            if bare.startswith(stem) and (suffix not in ("P", "O") or bare == stem or bare[len(stem)] in "_-."):
                return bare[len(stem) :].strip("_-. ")
    return bare.strip("_-. ")


def _is_plus(label: str) -> bool | None:
    match = _SIGN.search(label.upper())
    if match is None:
        return None
    return "+" in match.group() or "PLUS" in match.group()


def _sigma_of(table: ReflectionTable, column: Column, taken: set[str]) -> Column | None:
    """The sigma of a column: by its name, else the neighbour of the right type that nobody else claims."""
    kind = _SIGMA_TYPE[column.kind]
    names = {p + column.label.upper() for p in ("SIG", "SIG_", "SIGMA", "SIGMA_", "S")}
    for candidate in table.columns:
        if candidate.kind in (kind, "Q") and candidate.label.upper() in names:
            return candidate
    labels = [c.label for c in table.columns]
    after = labels.index(column.label) + 1
    if after < len(labels):
        neighbour = table.columns[after]
        claimed = any(
            neighbour.label.upper() in {p + c.label.upper() for p in ("SIG", "SIG_", "SIGMA")} for c in table.columns
        )
        if neighbour.kind == kind and neighbour.label not in taken and not claimed:
            return neighbour
    return None


def _measurement(name: str, signals: dict[Kind, list[Column]]) -> Measurement | None:
    whole = [
        Signal(kind=kind, columns=tuple(columns))
        for kind, columns in signals.items()
        if len(columns) == (4 if "±" in kind else 2)
    ]
    return Measurement(name=name, signals=tuple(whole)) if whole else None


def _joined_by_dataset(found: tuple[Measurement, ...]) -> tuple[Measurement, ...]:
    """Join what differs in name only: two measurements, one of amplitudes and one of intensities, of one dataset."""
    if len(found) != 2:
        return found
    first, second = found
    kinds = {s.kind for s in first.signals} | {s.kind for s in second.signals}
    datasets = {c.dataset for m in found for s in m.signals for c in s.columns}
    if len(kinds) == len(first.signals) + len(second.signals) and len(datasets) == 1 and "" not in datasets:
        return (Measurement(name=first.name or second.name, signals=first.signals + second.signals),)
    return found


def _by_labels(table: ReflectionTable, measurements: tuple[Measurement, ...], labels: tuple[str, ...]) -> Choice:
    columns = []
    for label in labels:
        column = table.column(label)
        if column is None:
            there = ", ".join(c.label for c in table.columns)
            raise InputError(f"{table.source}: no column {label}; --labels can name some of: {there}")
        columns.append(column)
    first = columns[0]
    if first.kind not in _SIGMA_TYPE:
        raise InputError(
            f"{table.source}: column {first.label} (type {first.kind}) is neither amplitude nor intensity; "
            "--labels takes VALUE,SIGMA or VALUE+,SIGMA+,VALUE-,SIGMA-"
        )
    for measurement in measurements:
        for signal in measurement.signals:
            if set(labels) <= {n for c in signal.columns for n in (c.label, c.item)} and (
                len(labels) == len(signal.columns) or len(labels) == 1
            ):
                return Choice(signal=signal, measurement=measurement, by_user=True)
    if len(columns) not in (2, 4) or any(c.kind not in ("Q", "L", "M") for c in columns[1::2]):
        raise InputError(
            f"{table.source}: --labels {','.join(labels)}: expected VALUE,SIGMA or VALUE+,SIGMA+,VALUE-,SIGMA-, the "
            f"sigmas of type Q, L or M; found types {' '.join(c.kind for c in columns)}"
        )
    kind: Kind = _QUANTITY[first.kind]  # type: ignore[assignment]
    if len(columns) == 2:
        kind = "F" if kind.startswith("F") else "I"
    signal = Signal(kind=kind, columns=tuple(columns))
    return Choice(signal=signal, measurement=Measurement(name=first.label, signals=(signal,)), by_user=True)


def _why_none(table: ReflectionTable) -> str:
    calculated = [c.label for c in table.columns if c.kind in "FGJK" and is_calculated(c.label)]
    bare = [c.label for c in table.columns if c.kind in "FGJK" and not is_calculated(c.label)]
    if bare:
        return (
            f"{table.source}: no measured data: {', '.join(bare)} without a sigma column; give a file with sigmas, or "
            "name both columns with --labels VALUE,SIGMA"
        )
    if calculated:
        return (
            f"{table.source}: no measured data, only calculated columns ({', '.join(calculated)}); give the file of "
            "the measurement"
        )
    there = ", ".join(c.label for c in table.columns) or "no columns at all"
    return f"{table.source}: no amplitudes or intensities; the file has {there}"
