"""Reading measured data: values, asymmetric unit, merging, pairs, flags, and every kind of bad input."""

import gzip
from pathlib import Path

import gemmi
import numpy as np
import pytest
import torch
from tests.io.diffraction_files import CELL, PDB, amplitudes, indices, usual_columns, write_mtz, write_usual

from burnish.core.errors import BurnishError, DataError, InputError
from burnish.io.reflections import DataRequest, read_reflections

CASES = {  # measured reflections and free ones, counted once with numpy from the files' columns
    "1dur": ("FP", 3197, 271),
    "1g8a": ("FOBS", 42656, 2133),
    "1l2h_twin": ("IMEAN", 31781, 1519),
    "3io0": ("FOBS", 17475, 883),
    "3zt9": ("FP", 18067, 922),
    "4hg7": ("FP", 21135, 1065),
    "5d5w": ("FP", 6063, 279),
    "lysozyme_unfinished": ("F", 10950, 485),
    "rnase_tutorial": ("FGMP18", 17024, 873),
}


def warnings(data) -> str:
    return " | ".join(m.text for m in data.messages if m.level == "warning")


@pytest.mark.shared
@pytest.mark.parametrize("case", CASES)
def test_measured_cases(case, shared_data):
    label, n, n_free = CASES[case]
    data = read_reflections(shared_data / "mx" / case / "data.mtz")
    r = data.reflections
    values = r.i_obs if data.intensities_only else r.f_obs
    measured = values.isfinite()
    assert data.choice.signal.labels[0] == label
    assert (int(measured.sum()), int((measured & r.free).sum())) == (n, n_free)
    if data.intensities_only:
        assert not r.f_obs.isfinite().any()
    # the file's own values, one by one, through gemmi
    mtz = gemmi.read_mtz_file(str(shared_data / "mx" / case / "data.mtz"))
    mtz.ensure_asu()
    column = mtz.column_with_label(label).array
    theirs = {tuple(h): v for h, v in zip(mtz.make_miller_array().tolist(), column.tolist(), strict=True)}
    for h, v, m in list(zip(r.hkl.tolist(), values.tolist(), measured.tolist(), strict=True))[::97]:
        assert not m or theirs[tuple(h)] == pytest.approx(v, rel=1e-6)


@pytest.mark.shared
def test_structure_factor_mmcif_equals_the_mtz(shared_data):
    folder = shared_data / "mx" / "4hg7"
    one = read_reflections(folder / "data.mtz").reflections
    two = read_reflections(folder / "4hg7-sf.cif").reflections
    assert torch.equal(one.hkl, two.hkl)
    measured = one.f_obs.isfinite()
    assert torch.equal(measured, two.f_obs.isfinite())
    assert torch.allclose(one.f_obs[measured], two.f_obs[measured], rtol=1e-6)
    assert torch.equal(one.free[measured], two.free[measured])


@pytest.mark.shared
def test_pairs_of_3io0_agree_with_the_mean(shared_data):
    r = read_reflections(shared_data / "mx" / "3io0" / "data.mtz").reflections
    assert r.anomalous is not None and r.anomalous.f_obs is not None
    mean = r.anomalous.f_obs.nanmean(1)
    both = mean.isfinite() & r.f_obs.isfinite()
    assert torch.corrcoef(torch.stack([mean[both], r.f_obs[both]]))[0, 1] > 0.995


def test_records_match_gemmi(tmp_path):
    data = read_reflections(write_usual(tmp_path / "a.mtz"))
    r = data.reflections
    cell, operations = r.crystal.unit_cell, r.crystal.group.operations()
    for row in range(0, len(r), 41):
        h = r.hkl[row].tolist()
        assert r.s2[row] == pytest.approx(cell.calculate_1_d2(h), rel=1e-12)
        assert bool(r.centric[row]) == operations.is_reflection_centric(h)
        assert float(r.epsilon[row]) == operations.epsilon_factor_without_centering(h)
    keys = r.hkl.tolist()
    assert keys == sorted(keys)


def test_any_mate_of_each_reflection_gives_the_same_data(tmp_path):
    group, cell = "P 65 2 2", (40.0, 40.0, 60.0, 90.0, 90.0, 120.0)
    hkl = indices(group, cell)
    columns = usual_columns(len(hkl))
    operations = gemmi.SpaceGroup(group).operations()
    generator = np.random.default_rng(3)
    moved = np.array(
        [
            np.array(operations.sym_ops[i].apply_to_hkl([int(x) for x in h])) * sign
            for h, i, sign in zip(
                hkl, generator.integers(0, 12, len(hkl)), generator.choice([-1, 1], len(hkl)), strict=True
            )
        ]
    )
    order = generator.permutation(len(hkl))
    plain = read_reflections(write_mtz(tmp_path / "a.mtz", hkl, columns, group=group, cell=cell)).reflections
    shuffled = {k: (t, v[order]) for k, (t, v) in columns.items()}
    mates = read_reflections(write_mtz(tmp_path / "b.mtz", moved[order], shuffled, group=group, cell=cell)).reflections
    assert torch.equal(plain.hkl, mates.hkl)
    assert torch.equal(plain.f_obs.nan_to_num(), mates.f_obs.nan_to_num())
    assert torch.equal(plain.free, mates.free)


def test_phases_and_hl_coefficients_move_with_the_index(tmp_path):
    """Structure factors of three atoms, listed at symmetry mates: phases come back to those of the unique index."""
    hkl = indices()
    group = gemmi.SpaceGroup("P 21 21 21")
    atoms = np.random.default_rng(5).random((3, 3))
    operations = group.operations().sym_ops
    sites = np.array([op.apply_to_xyz(list(x)) for x in atoms for op in operations])
    generator = np.random.default_rng(7)
    choice, sign = generator.integers(0, 4, len(hkl)), generator.choice([-1, 1], len(hkl))
    moved = np.array(
        [
            np.array(operations[i].apply_to_hkl([int(x) for x in h])) * s
            for h, i, s in zip(hkl, choice, sign, strict=True)
        ]
    )

    def factors(h):
        return np.exp(2j * np.pi * h @ sites.T).sum(1)

    def hl(phase):
        return {"HLA": 2 * np.cos(phase), "HLB": 2 * np.sin(phase), "HLC": np.cos(2 * phase), "HLD": np.sin(2 * phase)}

    there, here = np.angle(factors(moved)), np.angle(factors(hkl))
    columns = usual_columns(len(hkl))
    columns |= {"PHIB": ("P", np.degrees(there))} | {k: ("A", v) for k, v in hl(there).items()}
    data = read_reflections(write_mtz(tmp_path / "a.mtz", moved, columns))
    strong = np.abs(factors(hkl)) > 1e-3
    order = np.lexsort(hkl.T[::-1])
    carried = {c.label: c.values for c in data.carried}
    assert np.array_equal(data.carried_hkl, hkl[order].astype(int))
    turn = np.angle(np.exp(1j * (np.radians(carried["PHIB"]) - here[order])))[strong[order]]
    assert np.abs(turn).max() < 1e-4
    for label, expected in hl(here).items():
        assert np.abs(carried[label] - expected[order])[strong[order]].max() < 1e-5
    assert data.reflections.hl is not None and data.reflections.hl.shape == (len(data.reflections), 4)


def test_friedel_mates_listed_apart_are_merged_and_kept_as_pairs(tmp_path):
    hkl = indices()
    f, sigma = amplitudes(len(hkl))
    f2 = f * 1.1
    both = np.concatenate([hkl, -hkl])
    columns = {
        "FP": ("F", np.concatenate([f, f2])),
        "SIGFP": ("Q", np.concatenate([sigma, sigma])),
        "FREE": ("I", np.tile(np.random.default_rng(0).integers(0, 20, len(hkl)), 2)),
    }
    r = read_reflections(write_mtz(tmp_path / "a.mtz", both, columns)).reflections
    order = np.lexsort(hkl.T[::-1])
    assert len(r) == len(hkl)
    np.testing.assert_allclose(r.f_obs.numpy(), 1.05 * f[order], rtol=1e-6)
    np.testing.assert_allclose(r.sigma_f_obs.numpy(), sigma[order] / np.sqrt(2), rtol=1e-6)
    assert r.anomalous is not None and r.anomalous.f_obs is not None
    acentric = ~r.centric.numpy()
    np.testing.assert_allclose(r.anomalous.f_obs.numpy()[acentric], np.stack([f, f2], 1)[order][acentric], rtol=1e-6)


def test_pairs_without_mean_are_merged_by_weight(tmp_path):
    hkl = indices()
    n = len(hkl)
    plus, minus = np.full(n, 100.0), np.full(n, 130.0)
    minus[: n // 2] = np.nan
    columns = {
        "F(+)": ("G", plus),
        "SIGF(+)": ("L", np.full(n, 1.0)),
        "F(-)": ("G", minus),
        "SIGF(-)": ("L", np.full(n, 2.0)),
    }
    data = read_reflections(write_mtz(tmp_path / "a.mtz", hkl, columns))
    order = np.lexsort(hkl.T[::-1])
    expected = np.where(np.arange(n) < n // 2, 100.0, (100.0 + 130.0 / 4) / 1.25)[order]
    np.testing.assert_allclose(data.reflections.f_obs.numpy(), expected, rtol=1e-6)


def test_unmeasured_reflections_stay_unmeasured_and_the_list_is_complete(tmp_path):
    hkl = indices()
    columns = usual_columns(len(hkl))
    columns["FP"][1][::7] = np.nan
    kept = np.arange(len(hkl)) % 11 != 3
    limits = np.argsort(np.linalg.norm(hkl / CELL[:3], axis=1))[[0, -1]]
    kept[limits] = True
    columns["FP"][1][limits] = 50.0
    columns = {k: (t, v[kept]) for k, (t, v) in columns.items()}
    r = read_reflections(write_mtz(tmp_path / "a.mtz", hkl[kept], columns)).reflections
    assert len(r) == len(hkl)
    assert int(r.f_obs.isfinite().sum()) == int(np.isfinite(columns["FP"][1]).sum())
    assert torch.equal(r.f_obs.isfinite(), r.sigma_f_obs.isfinite())


def test_resolution_limits(tmp_path):
    path = write_usual(tmp_path / "a.mtz")
    r = read_reflections(path, DataRequest(d_min=4.0, d_max=10.0)).reflections
    d = r.s2.rsqrt()
    assert 4.0 <= float(d.min()) < 4.1 and 9.0 < float(d.max()) <= 10.0
    with pytest.raises(InputError, match=r"no measured reflection between 1 and 2 Å; the data reach from"):
        read_reflections(path, DataRequest(d_min=1.0, d_max=2.0))


def test_gzipped_file(tmp_path):
    path = write_usual(tmp_path / "a.mtz")
    packed = tmp_path / "a.mtz.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    one, two = read_reflections(packed).reflections, read_reflections(path).reflections
    assert torch.equal(one.f_obs.nan_to_num(), two.f_obs.nan_to_num())


def test_new_flags_are_announced_seeded_and_refused_when_required(tmp_path):
    hkl = indices(d_min=2.0)
    columns = usual_columns(len(hkl))
    del columns["FREE"]
    path = write_mtz(tmp_path / "a.mtz", hkl, columns)
    one, two, three = (read_reflections(path, DataRequest(seed=s)) for s in (1, 1, 2))
    assert "R-free starts from here" in warnings(one) and "seed 1" in warnings(one)
    assert torch.equal(one.reflections.free, two.reflections.free)
    assert not torch.equal(one.reflections.free, three.reflections.free)
    assert 0.04 < float(one.reflections.free.double().mean()) < 0.11
    with pytest.raises(DataError, match=r"no free flags and --require-free is given; .* FP, SIGFP"):
        read_reflections(path, DataRequest(require_free=True))


BAD_VALUES = {
    "negative amplitude": ({"FP": -5.0}, r"column FP, reflection \(.*\), row 4: found -5, expected an amplitude of 0"),
    "infinite amplitude": ({"FP": np.inf}, "found inf, expected a finite number"),
    "huge amplitude": ({"FP": 1e30}, r"row 4: found 1e\+30, more than 10000 times the typical amplitude"),
    "negative sigma": ({"SIGFP": -1.0}, "column SIGFP, .*row 4: found -1, expected a sigma above 0"),
}


@pytest.mark.parametrize("fault", BAD_VALUES)
def test_one_impossible_value(fault, tmp_path):
    change, message = BAD_VALUES[fault]
    columns = usual_columns(len(indices()))
    ((label, value),) = change.items()
    columns[label][1][3] = value
    with pytest.raises(DataError, match=message):
        read_reflections(write_mtz(tmp_path / "a.mtz", indices(), columns))


BAD_COLUMNS = {
    "all sigmas zero": ({"SIGFP": 0.0}, "column SIGFP: all .* sigmas are zero"),
    "all sigmas missing": ({"SIGFP": np.nan}, "column SIGFP: all .* sigmas are missing"),
    "all amplitudes NaN": ({"FP": np.nan}, "column FP: none of .* values is a number"),
    "all amplitudes zero": ({"FP": 0.0}, "column FP: all values are zero"),
    "flags all equal": ({"FREE": 1.0}, "free flags FREE are corrupt: all .* equal 1"),
    "flags not whole": ({"FREE": 0.37}, "column FREE is not free flags: found 0.37, expected whole numbers"),
}


@pytest.mark.parametrize("fault", BAD_COLUMNS)
def test_a_bad_column(fault, tmp_path):
    change, message = BAD_COLUMNS[fault]
    n = len(indices())
    with pytest.raises(DataError, match=message):
        read_reflections(write_usual(tmp_path / "a.mtz", **{k: np.full(n, v) for k, v in change.items()}))


def test_random_columns_are_not_flags(tmp_path):
    n = len(indices())
    generator = np.random.default_rng(0)
    half = generator.integers(0, 2, n)
    with pytest.raises(DataError, match=r"corrupt or not flags: value . marks (4|5)\d\.\d% of the measured"):
        read_reflections(write_usual(tmp_path / "a.mtz", FREE=half))
    with pytest.raises(DataError, match=r"not free flags of a known convention: .* values"):
        read_reflections(write_usual(tmp_path / "a.mtz", FREE=generator.integers(-(10**5), 10**5, n)))


def test_sigma_missing_on_some_rows_is_told(tmp_path):
    columns = usual_columns(len(indices()))
    columns["SIGFP"][1][5:8] = np.nan
    columns["SIGFP"][1][8] = 0.0
    data = read_reflections(write_mtz(tmp_path / "a.mtz", indices(), columns))
    assert "4 reflections have FP but no SIGFP above 0" in warnings(data)
    assert int(data.reflections.f_obs.isfinite().sum()) == len(indices()) - 4


def test_broken_files(tmp_path):
    good = write_usual(tmp_path / "a.mtz").read_bytes()
    with pytest.raises(InputError, match="no such file"):
        read_reflections(tmp_path / "none.mtz")
    with pytest.raises(InputError, match="is a folder"):
        read_reflections(tmp_path)
    for name, content, message in (
        ("empty.mtz", b"", "is empty"),
        ("text.mtz", b"hello there", "neither an MTZ file"),
        ("half.mtz", good[: len(good) // 2], "truncated"),
        ("tail.mtz", good[:-400], "truncated"),
        ("bad.mtz.gz", gzip.compress(good)[:-20], "cannot be read"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_reflections(path)


CIF = """data_r1abcsf
_cell.length_a 30.13
_cell.length_b 40.37
_cell.length_c 50.71
_cell.angle_alpha 90
_cell.angle_beta 90
_cell.angle_gamma 90
_symmetry.space_group_name_H-M 'P 21 21 21'
loop_
_refln.index_h
_refln.index_k
_refln.index_l
_refln.status
_refln.intensity_meas
_refln.intensity_sigma
_refln.F_calc_au
"""


def cif_rows(n: int = 60) -> list[str]:
    hkl = indices().astype(int)[:n]
    return [
        f"{h} {k} {l} {'f' if i % 15 == 0 else 'o'} {100.0 + i} {2.0 + i % 3} 10." for i, (h, k, l) in enumerate(hkl)
    ]


def test_intensities_of_mmcif(tmp_path):
    path = tmp_path / "a.cif"
    rows = cif_rows()
    rows[7] = rows[7].replace(" o ", " x ")
    rows[9] = " ".join([*rows[9].split()[:4], "-3.5", "2.0", "?"])
    path.write_text(CIF + "\n".join(rows) + "\n")
    data = read_reflections(path)
    r = data.reflections
    assert data.intensities_only and r.i_obs is not None
    assert int(r.i_obs.isfinite().sum()) == 59
    assert float(r.i_obs.nan_to_num(0).min()) == -3.5
    assert int((r.free & r.i_obs.isfinite()).sum()) == 4
    assert "1 reflections with a value are marked as not used" in warnings(data)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("101.0", "abc", r"_refln.intensity_meas, row 2: found abc, expected a number"),
        ("101.0", "nan", "found nan, expected a number"),
        ("_cell.length_a 30.13\n", "", "has no cell"),
        ("'P 21 21 21'", "'P 99'", "unknown space group 'P 99'"),
        ("_refln.index_k\n", "_refln.index_j\n", "has no _refln.index_k"),
        ("_cell.angle_beta 90", "_cell.angle_beta 97", "does not have the symmetry"),
        ("loop_", "loop_ loop_", "damaged or incomplete mmCIF"),
    ],
)
def test_faults_of_mmcif(old, new, message, tmp_path):
    path = tmp_path / "a.cif"
    path.write_text((CIF + "\n".join(cif_rows()) + "\n").replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        read_reflections(path)


def test_several_wavelengths_in_one_loop_are_refused(tmp_path):
    path = tmp_path / "a.cif"
    text = CIF.replace("_refln.status", "_refln.wavelength_id\n_refln.status")
    rows = [" ".join([*r.split()[:3], str(1 + i % 2), *r.split()[3:]]) for i, r in enumerate(cif_rows())]
    path.write_text(text + "\n".join(rows) + "\n")
    with pytest.raises(DataError, match="several measurements, wavelength_id 1, 2"):
        read_reflections(path)


def test_data_block_can_be_named(tmp_path):
    path = tmp_path / "a.cif"
    text = CIF + "\n".join(cif_rows()) + "\n"
    path.write_text(text + text.replace("r1abcsf", "r1abcAsf").replace("101.0", "777.0"))
    first, second = read_reflections(path), read_reflections(path, DataRequest(block="r1abcAsf"))
    assert any("r1abcsf is used, the first of 2" in m.text for m in first.messages)
    assert 777.0 in second.reflections.i_obs.tolist() and 777.0 not in first.reflections.i_obs.tolist()
    with pytest.raises(InputError, match="no data block nope; the file has r1abcsf, r1abcAsf"):
        read_reflections(path, DataRequest(block="nope"))


@pytest.mark.parametrize("seed", range(6))
def test_damaged_bytes_never_escape_as_other_errors(seed, tmp_path):
    """Whatever is done to a good file, it is read or refused in one line."""
    generator = np.random.default_rng(seed)
    good = bytearray(write_usual(tmp_path / "a.mtz").read_bytes())
    path = tmp_path / "b.mtz"
    for _ in range(25):
        content = bytearray(good)
        region = len(content) if generator.random() < 0.5 else 80
        start = 0 if region == 80 or generator.random() < 0.5 else max(0, len(content) - 1200)
        for _ in range(int(generator.integers(1, 12))):
            content[min(start + int(generator.integers(0, region)), len(content) - 1)] = int(generator.integers(0, 256))
        path.write_bytes(content)
        try:
            read_reflections(Path(path))
        except BurnishError as error:
            assert "\n" not in str(error)


def test_a_model_in_place_of_data_is_named(tmp_path):
    for name, text in (("a.pdb", PDB), ("a.cif", gemmi.read_pdb_string(PDB).make_mmcif_document().as_string())):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(
            DataError, match=r"holds a model \((PDB|mmCIF)\), expected reflections or structure factors.*order"
        ):
            read_reflections(path)
