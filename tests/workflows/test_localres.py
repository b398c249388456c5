"""`burnish localres` from the command line."""

import json

import pytest
import torch
from tests.maps.half_maps import simulated_halves
from tests.workflows.command_line import burnish

from burnish.data.density import DensityMap
from burnish.io.mrc import read_map, write_map
from burnish.io.star import read_star


@pytest.fixture
def halves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    half1, half2, truth = simulated_halves(32)
    for name, values in (("a_half1.mrc", half1), ("a_half2.mrc", half2), ("mask.mrc", (truth > 0.5).float())):
        write_map(tmp_path / name, DensityMap(values=values, voxel_size=(2.0,) * 3))
    return tmp_path


def test_all_outputs(halves, capsys):
    options = ("--mask", "mask.mrc", "--radius", 8, "--edge", 8, "--step", 8, "--out", "lr", "--json")
    assert burnish("localres", "a_half1.mrc", *options) == 0
    summary = json.loads(capsys.readouterr().out)
    names = (
        "locres.mrc locres_filtered.mrc locres.star directional_fsc.mrc directional_fsc.star logfile.pdf report.html"
    )
    assert set(names.split()) <= {p.name for p in (halves / "lr").iterdir()}
    mask, resolution = (read_map(halves / f).values for f in ("mask.mrc", "lr/locres.mrc"))
    values = resolution[(mask >= 0.5) & (resolution > 0)]
    assert summary["median"] == pytest.approx(float(values.sort().values[len(values) // 2]), rel=1e-5)
    assert summary["spheres"] == len(read_star(halves / "lr/locres.star")["spheres"])
    assert 4 <= summary["best_10_percent"] <= summary["median"] <= summary["worst_10_percent"] <= 50
    assert torch.isfinite(read_map(halves / "lr/locres_filtered.mrc").values).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--radius", "40"], "the sphere does not fit the box of 64 Å"),
        (["--randomise-from", "80"], "coarser than the box"),
        (["--mask", "gone.mrc"], "gone.mrc: no such file"),
    ],
)
def test_bad_input(halves, capsys, arguments, message):
    assert burnish("localres", "a_half1.mrc", *arguments, "--out", "lr") == 2
    assert message in capsys.readouterr().err
    assert not (halves / "lr").exists()
