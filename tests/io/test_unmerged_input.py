"""Unmerged intensities are merged by 1/σ²."""

import gemmi
import numpy as np
import pytest

from burnish.io.reflections import DataRequest, read_reflections

CELL = (40.0, 50.0, 60.0, 90.0, 90.0, 90.0)


def _write(path):
    """Every reflection of P 2 2 2 to 3 Å in two mates, of different σ; returns indices and the mean that is right."""
    group = gemmi.SpaceGroup("P 2 2 2")
    hkl = np.array(gemmi.make_miller_array(gemmi.UnitCell(*CELL), group, 3.0))
    rng = np.random.default_rng(3)
    first = rng.exponential(1000.0, len(hkl)) + 50.0
    second = first * rng.normal(1.0, 0.05, len(hkl))
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = group, gemmi.UnitCell(*CELL)
    mtz.add_dataset("unmerged").wavelength = 0.9795
    for label, kind in (("M/ISYM", "Y"), ("BATCH", "B"), ("I", "J"), ("SIGI", "Q")):
        mtz.add_column(label, kind)
    one, mate = np.ones(len(hkl)), hkl * [1, -1, -1]  # the second by the axis along a
    rows = [
        np.column_stack([hkl, 257 * one, one, first, 10.0 * one]),
        np.column_stack([mate, one, one, second, 20.0 * one]),
    ]
    mtz.set_data(np.concatenate(rows).astype(np.float32))
    batch = gemmi.Mtz.Batch()
    batch.number = 1
    mtz.batches.append(batch)
    mtz.switch_to_asu_hkl()
    mtz.sort()
    mtz.write_to_file(str(path))
    return hkl, (first / 100.0 + second / 400.0) / (1.0 / 100.0 + 1.0 / 400.0)


def test_mean_and_sigma(tmp_path):
    path = tmp_path / "unmerged.mtz"
    hkl, expected = _write(path)
    data = read_reflections(path, DataRequest())
    assert any(f"{2 * len(hkl)} unmerged observations became {len(hkl)}" in m.text for m in data.messages)
    assert data.wavelength == pytest.approx(0.9795)
    assert data.flags.generated
    found = {
        tuple(h): (i, s)
        for h, i, s in zip(
            data.reflections.hkl.tolist(),
            data.reflections.i_obs.tolist(),
            data.reflections.sigma_i_obs.tolist(),
            strict=True,
        )
    }
    for index, value in zip(hkl.tolist(), expected, strict=True):
        i, sigma = found[tuple(index)]
        assert i == pytest.approx(value, rel=1e-4)
        assert sigma == pytest.approx((1.0 / 100.0 + 1.0 / 400.0) ** -0.5, rel=1e-4)
