"""Statistics of unmerged intensities, as `_reflns` and `_reflns_shell` want them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from burnish.core.errors import DataError, InputError
from burnish.io.deposition.categories import Categories, fill, number, rows

SHELLS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MergingStatistics:
    """All data, or one shell.

    Attributes
    ----------
    d_max, d_min : limits, Å.
    observations, unique, possible : numbers of measurements, of unique reflections, of those that the limits allow.
    i_over_sigma : mean I/σ(I) of the merged intensities.
    r_merge, r_meas, r_pim, cc_half : fractions.
    """

    d_max: float
    d_min: float
    observations: int
    unique: int
    possible: int
    i_over_sigma: float
    r_merge: float
    r_meas: float
    r_pim: float
    cc_half: float


def merging_statistics(path: Path, shells: int = SHELLS) -> tuple[MergingStatistics, list[MergingStatistics]]:
    """Overall statistics and those by shell, low to high resolution, Friedel mates merged.

    Parameters
    ----------
    path : unmerged MTZ (as of Aimless or DIALS) or XDS_ASCII.HKL.
    shells : of equal numbers of reflections.

    Notes
    -----
    R-merge, R-meas and R-p.i.m. (Diederichs & Karplus 1997; Weiss 2001) and CC½ with σ-weighted means, by gemmi.
    """
    data = _read(path)
    data.remove_systematic_absences()
    data.prepare_for_merging(gemmi.DataType.Mean)
    if len(data.value_array) == 0:
        raise DataError(f"{path}: no intensities; give scaled, unmerged ones")
    if int(np.unique(data.miller_array, axis=0).shape[0]) == len(data.value_array):
        raise DataError(f"{path}: every reflection is measured once: these data are merged; give unmerged ones")
    binner = gemmi.Binner()
    binner.setup(shells, gemmi.Binner.Method.EqualCount, data)
    by_shell = data.calculate_merging_stats(binner)
    overall = data.calculate_merging_stats(None)[0]
    merged = data.merged(gemmi.DataType.Mean)
    hkl = np.array(merged.miller_array)
    s2 = data.unit_cell.calculate_1_d2_array(hkl.astype(np.int32))
    ratio = np.array(merged.value_array) / np.array(merged.sigma_array)
    of_shell = np.array(binner.get_bins_from_1_d2(s2))
    possible = _possible(data, float(s2.min()), float(s2.max()))
    of_possible = np.array(binner.get_bins_from_1_d2(possible))
    found = []
    for i, one in enumerate(by_shell):
        here = of_shell == i
        found.append(_statistics(one, s2[here], ratio[here], int((of_possible == i).sum())))
    return _statistics(overall, s2, ratio, len(possible)), found


def _read(path: Path) -> gemmi.Intensities:
    data = gemmi.Intensities()
    try:
        if path.suffix.lower() == ".mtz":
            mtz = gemmi.read_mtz_file(str(path))
            if len(mtz.batches) == 0:
                raise DataError(f"{path}: the data are merged; give the unmerged file of scaling")
            data.import_mtz(mtz, gemmi.DataType.Unmerged)
        else:
            data.import_xds(gemmi.read_xds_ascii(str(path)))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give unmerged intensities as MTZ or XDS_ASCII.HKL") from None
    except (OSError, RuntimeError, ValueError) as error:
        why = " ".join(str(error).split())
        raise DataError(f"{path}: no unmerged MTZ or XDS_ASCII.HKL ({why}); give the file of scaling") from None
    return data


def _possible(data: gemmi.Intensities, s2_min: float, s2_max: float) -> np.ndarray:
    """1/d² of every unique reflection between the limits."""
    hkl = gemmi.make_miller_array(data.unit_cell, data.spacegroup, s2_max**-0.5 * (1 - 1e-6), s2_min**-0.5 * (1 + 1e-6))
    return np.array(data.unit_cell.calculate_1_d2_array(np.asarray(hkl, dtype=np.int32)))


def _statistics(one: gemmi.MergingStats, s2: np.ndarray, ratio: np.ndarray, possible: int) -> MergingStatistics:
    return MergingStatistics(
        d_max=float(s2.min() ** -0.5),
        d_min=float(s2.max() ** -0.5),
        observations=int(one.all_refl),
        unique=int(one.unique_refl),
        possible=possible,
        i_over_sigma=float(ratio.mean()),
        r_merge=float(one.r_merge()),
        r_meas=float(one.r_meas()),
        r_pim=float(one.r_pim()),
        cc_half=float(one.cc_half()),
    )


def add_merging(categories: Categories, overall: MergingStatistics, shells: Sequence[MergingStatistics]) -> None:
    """Fill `_reflns` and `_reflns_shell`; what was there gives way to what was measured."""
    fill(
        categories,
        "reflns",
        {
            "number_obs": overall.unique,
            "d_resolution_high": number(overall.d_min, 2),
            "d_resolution_low": number(overall.d_max, 2),
            "percent_possible_obs": number(100.0 * overall.unique / max(1, overall.possible), 2),
            "pdbx_number_measured_all": overall.observations,
            "pdbx_redundancy": number(overall.observations / max(1, overall.unique), 2),
            "pdbx_netI_over_sigmaI": number(overall.i_over_sigma, 2),
            "pdbx_Rmerge_I_obs": number(overall.r_merge, 4),
            "pdbx_Rrim_I_all": number(overall.r_meas, 4),
            "pdbx_Rpim_I_all": number(overall.r_pim, 4),
            "pdbx_CC_half": number(overall.cc_half, 4),
        },
        over=True,
    )
    items = ("pdbx_ordinal", "pdbx_diffrn_id", "d_res_high", "d_res_low", "number_unique_obs", "number_measured_all",
             "percent_possible_all", "pdbx_redundancy", "meanI_over_sigI_obs", "Rmerge_I_obs", "pdbx_Rrim_I_all",
             "pdbx_Rpim_I_all", "pdbx_CC_half")  # fmt: skip
    table = [
        (i, "1", number(s.d_min, 2), number(s.d_max, 2), s.unique, s.observations,
         number(100.0 * s.unique / max(1, s.possible), 2), number(s.observations / max(1, s.unique), 2),
         number(s.i_over_sigma, 2), number(s.r_merge, 4), number(s.r_meas, 4), number(s.r_pim, 4), number(s.cc_half, 4))
        for i, s in enumerate(reversed(shells), start=1)
    ]  # fmt: skip
    categories["reflns_shell"] = rows(items, table)
