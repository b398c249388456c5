"""Merging statistics from unmerged intensities."""

from itertools import pairwise
from pathlib import Path

import gemmi
import numpy as np
import pytest
from tests.io.deposition.test_requirements import minimal

from burnish.core.errors import DataError, InputError
from burnish.io.deposition.requirements import CRYSTAL, find_missing
from burnish.io.deposition.unmerged import add_merging, merging_statistics

CELL = (40.0, 50.0, 60.0, 90.0, 90.0, 90.0)
HEADER = """!FORMAT=XDS_ASCII    MERGE=FALSE    FRIEDEL'S_LAW=TRUE
!SPACE_GROUP_NUMBER=   16
!UNIT_CELL_CONSTANTS=    40.000    50.000    60.000  90.000  90.000  90.000
!X-RAY_WAVELENGTH=  0.979500
!NUMBER_OF_ITEMS_IN_EACH_DATA_RECORD=13
!ITEM_H=1
!ITEM_K=2
!ITEM_L=3
!ITEM_IOBS=4
!ITEM_SIGMA(IOBS)=5
!ITEM_XD=6
!ITEM_YD=7
!ITEM_ZD=8
!ITEM_RLP=9
!ITEM_PEAK=10
!ITEM_CORR=11
!ITEM_MAXC=12
!ITEM_PSI=13
!END_OF_HEADER
"""


def write_xds(path: Path, times: int, noise: float) -> int:
    """Every reflection to 3 Å, measured `times` in different mates with a relative error; returns their number."""
    group = gemmi.SpaceGroup("P 2 2 2")
    hkl = gemmi.make_miller_array(gemmi.UnitCell(*CELL), group, 3.0)
    rng = np.random.default_rng(7)
    lines = []
    for h, k, l in hkl.tolist():
        true = rng.exponential(1000.0)
        for i in range(times):
            sign = [(1, 1, 1), (-1, -1, 1), (1, -1, -1), (-1, 1, -1)][i % 4]
            value = true * (1.0 + noise * rng.normal())
            index = f"{h * sign[0]:6d}{k * sign[1]:6d}{l * sign[2]:6d}"
            lines.append(
                f"{index} {value:.4e} {max(noise, 0.01) * true + 1e-3:.4e} 100.0 100.0 {i + 1}.5 1.0 100 50 9 10.0\n"
            )
    path.write_text(HEADER + "".join(lines) + "!END_OF_DATA\n")
    return len(hkl)


def test_multiplicity_completeness_and_r_of_known_noise(tmp_path):
    path = tmp_path / "XDS_ASCII.HKL"
    count = write_xds(path, 4, 0.1)
    overall, shells = merging_statistics(path)
    assert (overall.unique, overall.observations) == (count, 4 * count)
    assert overall.possible == pytest.approx(count, abs=3)  # some lie at the limit to the last digit
    # R-meas of normal errors of relative size e is e·√(2/π), whatever the multiplicity; R-merge is smaller by √(3/4)
    assert overall.r_meas == pytest.approx(0.1 * np.sqrt(2 / np.pi), rel=0.06)
    assert overall.r_merge == pytest.approx(overall.r_meas * np.sqrt(3 / 4), rel=1e-6)
    assert overall.r_pim == pytest.approx(overall.r_meas / 2.0, rel=1e-6)
    assert overall.i_over_sigma == pytest.approx(20.0, rel=0.1)  # four measurements of I/σ 10
    assert overall.cc_half > 0.98
    assert len(shells) == 10 and sum(s.unique for s in shells) == count
    assert all(a.d_min >= b.d_max for a, b in pairwise(shells))


def test_they_fill_what_would_be_missing(tmp_path):
    path = tmp_path / "XDS_ASCII.HKL"
    write_xds(path, 3, 0.05)
    categories = minimal()
    add_merging(categories, *merging_statistics(path))
    left = {m.requirement.category for m in find_missing(categories, CRYSTAL)}
    assert not left & {"reflns", "reflns_shell"}
    assert categories["reflns_shell"]["d_res_high"][0] == "3.00"  # the outer shell first


def test_merged_data_are_refused(tmp_path):
    path = tmp_path / "XDS_ASCII.HKL"
    write_xds(path, 1, 0.05)
    with pytest.raises(DataError, match="measured once: these data are merged"):
        merging_statistics(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        merging_statistics(tmp_path / "none.HKL")
    (tmp_path / "text.HKL").write_text("not data\n")
    with pytest.raises(DataError, match="no unmerged MTZ"):
        merging_statistics(tmp_path / "text.HKL")
