"""`burnish mask` from the command line."""

import json
import subprocess
import sys

import pytest
import torch
from tests.workflows.command_line import burnish

from burnish.data.density import DensityMap
from burnish.io.mrc import read_map, write_map


@pytest.fixture
def map_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    g = torch.Generator().manual_seed(1)
    z, y, x = torch.meshgrid(*[torch.arange(32) - 16.0] * 3, indexing="ij")
    values = torch.exp(-(x**2 + y**2 + z**2) / 30) + 0.02 * torch.randn(32, 32, 32, generator=g)
    write_map(tmp_path / "map.mrc", DensityMap(values=values, voxel_size=(3.0,) * 3, origin=(5.0, 6.0, 7.0)))
    return tmp_path / "map.mrc"


def test_a_mask_is_made_without_pytorch(map_file):
    code = (
        "import sys\nfrom burnish.cli.main import main\n"
        "try:\n    main('mask map.mrc --out m.mrc --extend 2'.split())\nexcept SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'numba', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=map_file.parent)
    assert map_file.with_name("m.png").exists()


def test_mask_and_picture(map_file, capsys):
    assert burnish("mask", "map.mrc", "--out", "m.mrc", "--lowpass", 15, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    mask = read_map(map_file.with_name("m.mrc"))
    assert mask.origin == (5.0, 6.0, 7.0) and mask.values.max() == 1 and mask.values.min() == 0
    assert summary["fraction_of_box"] == pytest.approx(float((mask.values >= 0.5).double().mean()))
    assert summary["warnings"] == [] and map_file.with_name("m.png").read_bytes().startswith(b"\x89PNG")
    assert burnish("mask", "map.mrc", "--out", "i.mrc", "--lowpass", 15, "--invert", "--no-picture") == 0
    torch.testing.assert_close(read_map(map_file.with_name("i.mrc")).values, 1 - mask.values)
    assert not map_file.with_name("i.png").exists()


def test_mask_of_a_model(map_file, capsys):
    line = "ATOM      1  CA  ALA A   1      53.000  54.000  55.000  1.00 20.00           C  \nEND\n"
    map_file.with_name("model.pdb").write_text(line)
    assert burnish("mask", "map.mrc", "--model", "model.pdb", "--out", "m.mrc", "--soft-edge", 2) == 0
    assert read_map(map_file.with_name("m.mrc")).values[16, 16, 16] == 1
    map_file.with_name("model.pdb").write_text(line.replace("53.000", "953.00"))
    assert burnish("mask", "map.mrc", "--model", "model.pdb", "--out", "n.mrc") == 2
    assert "no atom lies in the box" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threshold", "7"], "above the highest density of the low-passed map"),
        (["--threshold", "-7"], "below the lowest density"),
        (["--threshold", "abc"], "--threshold"),
        (["--lowpass", "4"], "finer than the map's Nyquist limit of 6 Å"),
        (["--radius", "0.1", "--extend", "-3"], "came out empty"),
        (["--out", "map.mrc"], "that is the map itself"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(map_file, capsys, arguments, message):
    assert burnish("mask", "map.mrc", *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert [p.name for p in map_file.parent.iterdir()] == ["map.mrc"]


def test_warns_where_it_cuts_density(map_file, capsys):
    assert burnish("mask", "map.mrc", "--threshold", "0.8", "--soft-edge", 1, "--no-picture", "--out", "m.mrc") == 0
    assert "the mask cuts density" in capsys.readouterr().err
