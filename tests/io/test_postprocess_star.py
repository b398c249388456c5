"""`postprocess.star`, FSC XML and MTF files."""

from pathlib import Path

import pytest
import starfile
import torch
from tests.maps.half_maps import simulated_halves

from burnish.core.errors import DataError
from burnish.io import postprocess_star as files
from burnish.maps.postprocess import automatic_mask, postprocess
from burnish.maps.sharpening import SharpenSettings


@pytest.fixture(scope="module")
def result():
    half1, half2, _ = simulated_halves(32)
    mask = automatic_mask(half1, half2, 2.0)
    return postprocess(half1, half2, mask, 2.0, SharpenSettings(fit_from=20.0), torch.Generator().manual_seed(1))


def test_tables_and_columns_are_relions(result, tmp_path, shared_data):
    path = tmp_path / "postprocess.star"
    files.write_postprocess(path, result, half1=Path("a_half1.mrc"), half2=Path("a_half2.mrc"), mask=Path("m.mrc"))
    ours, theirs = (starfile.read(p) for p in (path, shared_data / "em/sets/bench_relion/postprocess.star"))
    for table in ("fsc", "guinier"):
        assert list(ours[table].columns) == list(theirs[table].columns)
    assert set(theirs["general"]) <= set(ours["general"])
    read = files.read_postprocess(path)
    assert (read.half1, read.half2, read.mask) == ("a_half1.mrc", "a_half2.mrc", "m.mrc")
    assert read.resolution == pytest.approx(result.resolution.at_shell, abs=1e-6)
    torch.testing.assert_close(read.fsc, result.final, atol=1e-6, rtol=0)
    torch.testing.assert_close(read.spacing, torch.arange(17, dtype=torch.float64) / 64, atol=1e-6, rtol=0)


def test_reads_files_of_relion(shared_data):
    for name in ("starfile_relion/postprocess.star", "relion5_sta/postprocess_job079/postprocess.star"):
        read = files.read_postprocess(shared_data / "em/relion_jobs" / name)
        assert read.half1 and len(read.fsc) == len(read.spacing) and read.spacing[0] == 0
    assert read.resolution == pytest.approx(3.323077) and read.b_factor == pytest.approx(-82.70203)


def test_xml_round_trip(result, tmp_path):
    files.write_fsc_xml(tmp_path / "fsc.xml", result)
    s, curve = files.read_fsc_xml(tmp_path / "fsc.xml")
    torch.testing.assert_close(curve, result.final, atol=1e-6, rtol=0)
    assert float(s[1]) == pytest.approx(1 / 64)
    for content in ("<fsc></fsc>", "<fsc", "<fsc><coordinate><x>a</x></coordinate></fsc>"):
        (tmp_path / "bad.xml").write_text(content)
        with pytest.raises(DataError, match=r"bad\.xml: no "):
            files.read_fsc_xml(tmp_path / "bad.xml")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0 1\n0.1 0\n", "row 2 .*rlnMtfValue is 0; a map cannot be divided"),
        ("0 1\n0 0.9\n", "row 2 .*does not rise"),
        ("0 1\n", "1 points; an MTF needs two"),
        ("0 1\n0.1 x\n", "row 2 .*rlnMtfValue is 'x'"),
    ],
)
def test_says_what_is_wrong_with_an_mtf(tmp_path, rows, message):
    path = tmp_path / "mtf.star"
    path.write_text("data_\nloop_\n_rlnResolutionInversePixel\n_rlnMtfValue\n" + rows)
    with pytest.raises(DataError, match=message):
        files.read_mtf(path)
