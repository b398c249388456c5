"""Rows of a file to unique reflections: asymmetric unit, sorting, merging, phases moved along."""

from __future__ import annotations

from dataclasses import dataclass, replace

import gemmi
import numpy as np
from numpy.typing import NDArray

from burnish.core.errors import DataError
from burnish.core.events import Message
from burnish.io.free_flags import to_asu
from burnish.io.miller_keys import indices_of, keys_of
from burnish.io.reflection_table import Column, ReflectionTable

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """How the rows of a file belong to unique reflections.

    Attributes
    ----------
    hkl : unique reflections in the asymmetric unit, sorted by h, k, l. (m, 3)
    s2 : 1/d² of each, Å⁻². (m,)
    centric : which are centric. (m,)
    group : unique reflection of each row, −1 for rows that are left out. (n,)
    first : first row of each unique reflection. (m,)
    friedel : rows whose index is a Friedel mate of the listed one. (n,)
    phase_shift : 2π h·t of the operation that moved each row, rad. (n,)
    """

    hkl: NDArray[np.int64]
    s2: FloatArray
    centric: NDArray[np.bool_]
    group: NDArray[np.int64]
    first: NDArray[np.int64]
    friedel: NDArray[np.bool_]
    phase_shift: FloatArray

    def lists_friedel_mates(self, value: FloatArray) -> bool:
        """Whether measured rows of both signs of acentric reflections are listed apart."""
        rows = np.isfinite(value) & (self.group >= 0)
        rows &= ~self.centric[np.maximum(self.group, 0)]
        plus = np.bincount(self.group[rows & ~self.friedel], minlength=len(self.hkl)) > 0
        minus = np.bincount(self.group[rows & self.friedel], minlength=len(self.hkl)) > 0
        return bool((plus & minus).any())


def map_to_asu(table: ReflectionTable) -> tuple[Mapping, list[Message]]:
    """Move every row into the asymmetric unit, sort and group them; systematic absences are left out."""
    crystal = table.crystal
    operations = crystal.group.operations()
    absent = np.array(operations.systematic_absences(table.hkl.astype(np.int32)), dtype=bool)
    origin = (table.hkl == 0).all(1)
    used = ~absent & ~origin
    if not used.any():
        raise DataError(f"{table.source}: every reflection is systematically absent in {crystal.space_group}")
    messages: list[Message] = []
    if absent.any():
        messages.append(Message(f"{table.source.name}: {int(absent.sum())} rows are systematically absent: left out"))
    moved, isym = to_asu(table.hkl, crystal)
    shift = np.zeros(len(table))
    for number in np.unique(isym[isym > 1]):
        rows = isym == number
        operation = operations.sym_ops[(number - 1) // 2]
        shift[rows] = 2.0 * np.pi * (table.hkl[rows] @ (np.array(operation.tran) / gemmi.Op.DEN))
    keys, inverse = np.unique(keys_of(moved[used]), return_inverse=True)
    unique = indices_of(keys)
    group = np.full(len(table), -1)
    group[used] = inverse.reshape(-1)
    first = np.full(len(unique), len(table))
    np.minimum.at(first, group[used], np.flatnonzero(used))
    index = unique.astype(np.int32)
    s2 = np.array(crystal.unit_cell.calculate_1_d2_array(index), dtype=np.float64)
    mapping = Mapping(
        hkl=unique,
        s2=s2,
        centric=np.array(operations.centric_flag_array(index), dtype=bool),
        group=group,
        first=first,
        friedel=(isym % 2 == 0),
        phase_shift=shift,
    )
    if (twice := int(used.sum()) - len(unique)) > 0:
        messages.append(Message(f"{table.source.name}: {twice} rows repeat a reflection or its mates: merged"))
    return mapping, messages


def merge(value: FloatArray, sigma: FloatArray, mapping: Mapping) -> tuple[FloatArray, FloatArray]:
    """Mean of the rows of each unique reflection, weighted by 1/σ²; σ² = 1/Σ(1/σ²). (m,) each

    Rows that repeat the same value and sigma are one measurement written twice, not two.
    """
    m = len(mapping.hkl)
    rows = np.flatnonzero(np.isfinite(value) & np.isfinite(sigma) & (mapping.group >= 0))
    if len(rows):
        triples = np.stack([mapping.group[rows].astype(np.float64), value[rows], sigma[rows]], 1)
        rows = (
            rows[np.unique(triples, axis=0, return_index=True)[1]]
            if len(np.unique(triples[:, 0])) < len(rows)
            else rows
        )
    weight = 1.0 / np.maximum(sigma[rows], 1e-12) ** 2
    total = np.bincount(mapping.group[rows], weights=weight, minlength=m)
    summed = np.bincount(mapping.group[rows], weights=weight * value[rows], minlength=m)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, summed / total, np.nan), np.where(total > 0, 1.0 / np.sqrt(total), np.nan)


def sign_pairs(value: FloatArray, sigma: FloatArray, mapping: Mapping) -> tuple[FloatArray, FloatArray]:
    """Pairs (+, −) of the unique reflections from those of the rows; a Friedel mate's change places. (m, 2) each"""
    value, sigma = value.copy(), sigma.copy()
    value[mapping.friedel], sigma[mapping.friedel] = value[mapping.friedel, ::-1], sigma[mapping.friedel, ::-1]
    parts = [merge(value[:, sign], sigma[:, sign], mapping) for sign in (0, 1)]
    return np.stack([p[0] for p in parts], 1), np.stack([p[1] for p in parts], 1)


def merge_pair(value: FloatArray, sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean of + and −, weighted by 1/σ², or the one that is there. (n,) each

    Equal values and sigmas of both signs (as files list centric reflections) are one measurement, not two.
    """
    weight = np.where(np.isfinite(value) & np.isfinite(sigma), 1.0 / np.maximum(sigma, 1e-12) ** 2, 0.0)
    same = (value[:, 0] == value[:, 1]) & (sigma[:, 0] == sigma[:, 1])
    weight[same, 1] = 0.0
    total = weight.sum(1)
    summed = (weight * np.where(weight > 0, value, 0.0)).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, summed / total, np.nan), np.where(total > 0, 1.0 / np.sqrt(total), np.nan)


def carried_columns(table: ReflectionTable, mapping: Mapping) -> tuple[Column, ...]:
    """All columns of the file for the unique reflections, from the first row of each, moved with its index.

    Phases turn by −h·t and change sign for a Friedel mate, Hendrickson–Lattman coefficients likewise, anomalous
    differences change sign, and (+) and (−) columns change places.
    """
    first = mapping.first
    friedel, shift = mapping.friedel[first], mapping.phase_shift[first]
    by_label = {c.label: c.values[first] for c in table.columns}
    moved: dict[str, FloatArray] = {}
    for column in table.columns:
        values = by_label[column.label].copy()
        if column.kind == "P" and (shift.any() or friedel.any()):
            turned = np.where(friedel, -1.0, 1.0) * (values - np.degrees(shift))
            values = np.where((shift != 0) | friedel, (turned + 180.0) % 360.0 - 180.0, values)
        elif column.kind == "D":
            values = np.where(friedel, -values, values)
        elif column.kind in "GLKM" and friedel.any():
            other = by_label.get(_other_sign(column.label))
            values = np.where(friedel, other, values) if other is not None else values
        moved[column.label] = values
    _turn_hendrickson_lattman(table, moved, shift, friedel)
    return tuple(replace(c, values=moved[c.label]) for c in table.columns)


def _other_sign(label: str) -> str:
    pairs = (("(+)", "(-)"), ("PLUS", "MINUS"), ("plus", "minus"), ("+", "-"))
    for plus, minus in pairs:
        if plus in label:
            return label.replace(plus, minus)
        if minus in label:
            return label.replace(minus, plus)
    return ""


def _turn_hendrickson_lattman(
    table: ReflectionTable, moved: dict[str, FloatArray], shift: FloatArray, friedel: NDArray[np.bool_]
) -> None:
    """Turn sets of A B C D (in file order) by −shift, and by a change of sign of B and D for Friedel mates, in place.

    exp(A cos φ + B sin φ + C cos 2φ + D sin 2φ) of φ = φ' + shift, in terms of φ' (Hendrickson & Lattman 1970, eq. 5).
    """
    labels = [c.label for c in table.columns if c.kind == "A"]
    sign = np.where(friedel, -1.0, 1.0)
    for start in range(0, len(labels) - 3, 4):
        for (one, two), order in (((0, 1), 1.0), ((2, 3), 2.0)):
            p, q = moved[labels[start + one]], moved[labels[start + two]]
            c, s = np.cos(order * shift), np.sin(order * shift)
            moved[labels[start + one]], moved[labels[start + two]] = p * c + q * s, sign * (q * c - p * s)
