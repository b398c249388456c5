"""Free-set flags: which column, which value of it is free, whether it can be right, and new ones from a seed.

Conventions: CCP4 numbers the reflections at random 0…19 (or 0…N−1) and 0 is free; CNS, X-PLOR, SHELX and phenix have
two values and the rarer one is free, whatever the column is called (phenix's `R-free-flags` comes with either meaning);
the wwPDB's `status` says `f`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from burnish.core.errors import DataError, InputError
from burnish.data.reflections import Crystal
from burnish.io.reflection_table import Column, ReflectionTable

USUAL_FRACTION = (0.015, 0.15)
LARGEST_FRACTION = 0.30  # more than that is no free set
NEW_SETS = 20  # 0…19 as CCP4's freerflag: 5 %
MAX_OBLIQUITY_DEG = 1.0
_FREE_WORDS = ("FREE", "TEST", "FLAG")


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeFlags:
    """Flags of a list of reflections.

    Attributes
    ----------
    label : the column in the file, or the one that new flags get.
    values : as in the file, NaN where a reflection has none. (n,) float64
    free_value : the value that means free.
    convention : in words, for the log.
    generated : whether they were made here.
    completed : number of measured reflections that had none and got one here.
    warnings : what looks wrong with them.
    """

    label: str
    values: NDArray[np.float64]
    free_value: float
    convention: str
    generated: bool = False
    completed: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def free(self) -> NDArray[np.bool_]:
        """Which reflections are free. (n,)"""
        return self.values == self.free_value


def find_column(table: ReflectionTable, name: str | None = None) -> Column | None:
    """The column of free flags: the named one, else the only one that looks like it; None when there is none."""
    if name is not None:
        column = table.column(name)
        if column is None:
            there = ", ".join(c.label for c in table.columns)
            raise InputError(f"{table.source}: no column {name}; --free-label can name one of: {there}")
        return column
    status, flag = table.column("STATUS"), table.column("RFREE")
    if status is not None and (status.values == 1.0).any():
        return status
    if flag is not None:
        return flag
    candidates = [c for c in table.columns if c.kind == "I" and any(w in c.label.upper() for w in _FREE_WORDS)]
    candidates = [c for c in candidates if c.label != "STATUS"]
    different = {c.values.tobytes(): c for c in candidates}
    if len(different) > 1:
        names = ", ".join(c.label for c in candidates)
        raise DataError(f"{table.source}: several columns of free flags: {names}; name one with --free-label")
    return candidates[0] if candidates else None


def interpret(source: Path, column: Column, measured: NDArray[np.bool_], free_value: float | None = None) -> FreeFlags:
    """Tell which value is free, and refuse a column that cannot be a set of flags.

    Parameters
    ----------
    source : the file, for messages.
    column : the flags.
    measured : which reflections are measured; only these count. (n,)
    free_value : the free value where the user knows better.

    Raises
    ------
    DataError
        when the flags are not whole numbers, are all equal, or would free more than 30 % or none of the data.
    """
    name = column.item or column.label
    values = column.values
    counted = values[measured & np.isfinite(values)]
    remedy = "name another with --free-label, or have new ones made with --new-free-flags"
    if len(counted) == 0:
        raise DataError(f"{source}: free flags {name}: none of the measured reflections has one; {remedy}")
    if (counted != np.round(counted)).any():
        odd = counted[counted != np.round(counted)][0]
        raise DataError(f"{source}: column {name} is not free flags: found {odd:g}, expected whole numbers; {remedy}")
    levels, counts = np.unique(counted, return_counts=True)
    if len(levels) == 1 and free_value is None:
        raise DataError(
            f"{source}: free flags {name} are corrupt: all {len(counted)} equal {levels[0]:g}, so there is no free "
            f"set; {remedy}"
        )
    if free_value is None:
        free_value, convention = _free_value(source, name, levels, counts, remedy, item=column.item)
    else:
        convention = "as given by the user"
    fraction = float((counted == free_value).mean())
    if fraction == 0.0 or fraction > LARGEST_FRACTION:
        raise DataError(
            f"{source}: free flags {name} are corrupt or not flags: value {free_value:g} marks {fraction:.1%} of the "
            f"measured reflections, expected 1.5–15 %; {remedy}"
        )
    warnings: tuple[str, ...] = ()
    low, high = USUAL_FRACTION
    if not low <= fraction <= high:
        warnings = (
            f"free flags {name}: {fraction:.2%} of the data are free, usual is 1.5–15 %: "
            f"R-free is {'uncertain' if fraction < low else 'bought with many data'}",
        )
    return FreeFlags(label=column.label, values=values, free_value=free_value, convention=convention, warnings=warnings)


def _free_value(
    source: Path, name: str, levels: NDArray[np.float64], counts: NDArray[np.int64], remedy: str, *, item: str
) -> tuple[float, str]:
    if item == "status":
        return 1.0, "f in the wwPDB's status"
    if len(levels) == 2:
        rarer = int(np.argmin(counts))
        return float(levels[rarer]), f"{levels[rarer]:g}, the rarer of two values"
    if levels[0] == 0.0 and len(levels) <= 100 and levels[-1] < 200:
        return 0.0, f"0 of 0–{levels[-1]:g} (CCP4)"
    shown = ", ".join(f"{v:g}" for v in levels[:6])
    raise DataError(
        f"{source}: column {name} is not free flags of a known convention: {len(levels)} values ({shown} …); say which "
        f"value is free with --free-value, {remedy}"
    )


def check_mates(flags: FreeFlags, group_of_row: NDArray[np.int64]) -> tuple[str, ...]:
    """Warn when rows of one unique reflection carry different flags.

    Parameters
    ----------
    flags : of the rows of the file.
    group_of_row : index of the unique reflection of each row. (n,)
    """
    known = np.isfinite(flags.values)
    groups, free = group_of_row[known], flags.free[known]
    n = int(group_of_row.max()) + 1 if len(group_of_row) else 0
    total = np.bincount(groups, minlength=n)
    freed = np.bincount(groups, weights=free, minlength=n)
    mixed = int(((freed > 0) & (freed < total)).sum())
    shared = int(((total > 1) & (freed > 0)).sum())
    if mixed == 0:
        return ()
    return (
        f"free flags {flags.label}: {mixed} of {shared} free reflections that are listed more than once have symmetry "
        "mates in the working set (R-free was not independent); here all mates of a free reflection are free",
    )


def twin_agreement(hkl: NDArray[np.int64], free: NDArray[np.bool_], operation: gemmi.Op, crystal: Crystal) -> float:
    """Share of free reflections whose mate under a lattice symmetry is free too; NaN when no mate is listed.

    Parameters
    ----------
    hkl : unique reflections in the asymmetric unit. (n, 3)
    free : their flags. (n,)
    operation : symmetry of the lattice (a twin law), on Miller indices.
    """
    rotation = np.array(operation.rot, dtype=np.int64) // gemmi.Op.DEN
    mates, _ = to_asu(hkl[free] @ rotation, crystal)
    place = {tuple(h): row for row, h in enumerate(hkl.tolist())}
    rows = [place.get(tuple(h), -1) for h in mates.tolist()]
    found = np.array([free[r] for r in rows if r >= 0])
    return float(found.mean()) if len(found) else float("nan")


def to_asu(hkl: NDArray[np.int64], crystal: Crystal) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Move indices into the asymmetric unit of CCP4.

    Returns
    -------
    The moved indices (n, 3), and CCP4's ISYM (n,): 2k + 1 for the k-th operation, 2k + 2 with Friedel's law on top.
    """
    group = crystal.group
    asu, operations = gemmi.ReciprocalAsu(group), group.operations()
    moved = np.array(hkl, dtype=np.int64)
    isym = np.ones(len(hkl), dtype=np.int64)
    for row, index in enumerate(hkl.tolist()):
        if not asu.is_in(index):
            moved[row], isym[row] = asu.to_asu(index, operations)
    return moved, isym


def lattice_orbits(hkl: NDArray[np.int64], crystal: Crystal) -> NDArray[np.int64]:
    """Number reflections so that mates under the full symmetry of the lattice, and Friedel mates, share a number. (n,)

    A twin relates such mates, and pseudo-symmetry does: they must be free together.
    """
    lattice = gemmi.find_lattice_symmetry(crystal.unit_cell, crystal.group.centring_type(), MAX_OBLIQUITY_DEG)
    best = np.full(len(hkl), np.iinfo(np.int64).min)
    for operation in [*lattice.sym_ops, *crystal.group.operations().sym_ops]:
        rotated = hkl @ (np.array(operation.rot, dtype=np.int64) // gemmi.Op.DEN)
        best = np.maximum(best, np.abs(_packed(rotated)))
    return np.unique(best, return_inverse=True)[1]


def _packed(hkl: NDArray[np.int64]) -> NDArray[np.int64]:
    """One odd function of the three indices: opposite indices get opposite numbers. (n,)"""
    return (hkl[:, 0] * 4001 + hkl[:, 1]) * 4001 + hkl[:, 2]


def generate(hkl: NDArray[np.int64], crystal: Crystal, seed: int) -> FreeFlags:
    """New flags in CCP4's convention (0…19, 0 is free), the same for all mates in the lattice.

    Small data sets get a larger free set, up to 10 %, so that about 500 reflections are free where that is possible.

    Parameters
    ----------
    hkl : unique reflections. (n, 3)
    crystal : cell and space group.
    seed : of the random numbers.
    """
    sets = int(np.clip(len(hkl) / 500.0, NEW_SETS / 2, NEW_SETS))
    orbit = lattice_orbits(hkl, crystal)
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, sets, int(orbit.max()) + 1 if len(orbit) else 0)
    return FreeFlags(
        label="FreeR_flag",
        values=drawn[orbit].astype(np.float64) if len(orbit) else np.zeros(0),
        free_value=0.0,
        convention=f"0 of 0–{sets - 1} (CCP4), made here with seed {seed}",
        generated=True,
    )


def complete(flags: FreeFlags, measured: NDArray[np.bool_], seed: int) -> FreeFlags:
    """Give measured reflections without a flag one, drawn from the flags of the others."""
    lacking = measured & ~np.isfinite(flags.values)
    if not lacking.any():
        return flags
    known = flags.values[measured & np.isfinite(flags.values)]
    values = flags.values.copy()
    values[lacking] = np.random.default_rng(seed).choice(known, int(lacking.sum()))
    return replace(flags, values=values, completed=int(lacking.sum()))
