"""`burnish postprocess` from the command line."""

import json

import pytest
import torch
from tests.maps.half_maps import simulated_halves
from tests.workflows.command_line import burnish

from burnish.data.density import DensityMap
from burnish.io.mrc import read_map, write_map
from burnish.io.postprocess_star import read_postprocess


@pytest.fixture
def halves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    half1, half2, _ = simulated_halves(32)
    for name, values in (("run_half1_unfil.mrc", half1), ("run_half2_unfil.mrc", half2)):
        write_map(tmp_path / name, DensityMap(values=values, voxel_size=(2.0,) * 3, origin=(1.0, 2.0, 3.0)))
    return tmp_path


def test_all_outputs_with_an_automatic_mask(halves, capsys):
    assert (
        burnish("postprocess", "run_half2_unfil.mrc", "--autob-lowres", 20, "--out", "pp", "--half-maps", "--json") == 0
    )
    summary = json.loads(capsys.readouterr().out)
    folder = halves / "pp"
    names = (
        "postprocess.mrc postprocess_masked.mrc postprocess_half1.mrc postprocess_half2.mrc mask.mrc postprocess.star"
    )
    names += " postprocess_fsc.xml logfile.pdf report.html job.json run.log"
    assert set(names.split()) <= {p.name for p in folder.iterdir()}
    sharpened, mask = read_map(folder / "postprocess.mrc"), read_map(folder / "mask.mrc")
    assert sharpened.origin == (1.0, 2.0, 3.0)
    torch.testing.assert_close(read_map(folder / "postprocess_masked.mrc").values, sharpened.values * mask.values)
    star = read_postprocess(folder / "postprocess.star")
    assert star.half1 == "run_half1_unfil.mrc" and star.mask == "pp/mask.mrc"
    assert summary["resolution"] == pytest.approx(star.resolution, abs=1e-6)
    assert summary["b_factor"] == pytest.approx(star.b_factor, abs=1e-5)
    assert json.loads((folder / "job.json").read_text())["summary"]["resolution"] == summary["resolution"]
    assert "<script" not in (folder / "report.html").read_text()


def test_calibrated_pixel_size_scales_everything(halves, capsys):
    summaries = []
    for pixel in (2.0, 2.2):
        arguments = ("--mask", "none", "--bfactor", -10, "--angpix", pixel, "--out", f"pp{pixel}", "--json")
        assert burnish("postprocess", "run_half1_unfil.mrc", *arguments) == 0
        summaries.append(json.loads(capsys.readouterr().out))
    assert summaries[1]["resolution"] == pytest.approx(1.1 * summaries[0]["resolution"])
    assert read_map(halves / "pp2.2/postprocess.mrc").voxel_size == pytest.approx((2.2,) * 3)


def test_same_seed_same_result(halves, capsys):
    for name in ("a", "b"):
        assert burnish("postprocess", "run_half1_unfil.mrc", "--out", name, "--seed", 7) == 0
    a, b = (read_map(halves / f"{n}/postprocess.mrc").values for n in "ab")
    assert torch.equal(a, b)


def write_small(halves, n=16, low=0.0, high=1.0, voxel=2.0):
    values = torch.linspace(low, high, n**3).reshape(n, n, n)
    write_map(halves / "m.mrc", DensityMap(values=values, voxel_size=(voxel,) * 3))


@pytest.mark.parametrize(
    ("prepare", "arguments", "message"),
    [
        ({}, ["run_half1_unfil.mrc", "--mask", "m.mrc"], "16×16×16 voxels, but run_half1_unfil.mrc has 32×32×32"),
        ({"n": 32, "high": 2}, ["run_half1_unfil.mrc", "--mask", "m.mrc"], "a mask lies between 0 and 1"),
        ({"n": 32, "high": 0.3}, ["run_half1_unfil.mrc", "--mask", "m.mrc"], "the mask is blank"),
        ({}, ["m.mrc"], "neither half1 nor half2 in its name"),
        ({}, ["run_half1_unfil.mrc", "m.mrc"], "must be of one box"),
        ({"n": 32, "voxel": 3}, ["run_half1_unfil.mrc", "m.mrc"], "pixel size 3 Å"),
        ({}, ["run_half1_unfil.mrc", "run_half1_unfil.mrc"], "must be independent"),
        ({}, ["none_half1.mrc"], "no such half map"),
        ({}, ["run_half1_unfil.mrc", "--mtf-angpix", "1"], "without --mtf"),
        ({}, ["run_half1_unfil.mrc", "--lowpass", "1"], "finer than Nyquist"),
        ({}, ["run_half1_unfil.mrc", "--mask", "gone.mrc"], "gone.mrc: no such file"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_folder(halves, capsys, prepare, arguments, message):
    write_small(halves, **prepare)
    assert burnish("postprocess", *arguments, "--out", "pp") == 2
    assert message in capsys.readouterr().err
    assert not (halves / "pp").exists()
