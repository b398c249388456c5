"""`burnish image`, alone and beside relion_image_handler."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from tests.workflows.command_line import burnish

from burnish.data.density import DensityMap
from burnish.fourier.filters import low_pass
from burnish.io.mrc import map_stack, new_stack, read_header, read_map, write_map
from burnish.maps.image import mirror, origin_after, pooled, statistics, symmetrise


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = low_pass(torch.randn(32, 32, 32, generator=torch.Generator().manual_seed(1)), 12.0, 3.0)
    write_map(tmp_path / "map.mrc", DensityMap(values=values, voxel_size=(3.0,) * 3))
    g = np.random.default_rng(2)
    with new_stack(tmp_path / "s.mrcs", (5, 16, 16), 2.0) as images:
        images[:] = g.normal(size=(5, 16, 16))
    return tmp_path


def correlation(a, b):
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]).double())[0, 1])


@pytest.mark.parametrize(
    ("ours", "theirs", "smallest"),
    [
        (["--lowpass", 15], ["--lowpass", "15"], 0.999999),
        (["--highpass", 30], ["--highpass", "30"], 0.999999),
        (["--bfactor", -50], ["--bfactor", "-50"], 0.999),  # RELION drops the corners beyond Nyquist
        (["--new-box", 40], ["--new_box", "40"], 0.999999),
        (["--new-box", 20], ["--new_box", "20"], 0.999999),
        (["--rescale-angpix", 2.0, "--new-box", 56], ["--rescale_angpix", "2.0", "--new_box", "56"], 0.999),
        (["--rescale-angpix", 4.8], ["--rescale_angpix", "4.8"], 0.999),
        (["--shift-x", 3, "--shift-y", -2], ["--shift_x", "3", "--shift_y", "-2"], 0.9),  # RELION does not wrap
        (["--symmetry", "D2"], ["--sym", "D2"], 0.97),  # RELION interpolates linearly
        (["--symmetry", "C5"], ["--sym", "C5"], 0.97),
    ],
)
def test_as_relion_image_handler(folder, ours, theirs, smallest):
    if shutil.which("relion_image_handler") is None:
        pytest.skip("RELION is not installed")
    assert burnish("image", "map.mrc", *ours, "--out", "ours.mrc") == 0
    command = ["relion_image_handler", "--i", "map.mrc", "--o", "theirs.mrc", "--angpix", "3.0", *theirs]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    a, b = (read_map(folder / f"{n}.mrc", voxel_size=1.0).values for n in ("ours", "theirs"))
    assert a.shape == b.shape
    assert correlation(a, b) > smallest
    if "--symmetry" not in ours and "--bfactor" not in ours:
        assert float((a * b).sum() / (b * b).sum()) == pytest.approx(1.0, abs=0.1 if "--shift-x" in ours else 0.002)


def test_pixel_size_and_centre_are_exact(folder, capsys):
    z, y, x = torch.meshgrid(*[torch.arange(24) - 12.0] * 3, indexing="ij")
    blob = torch.exp(-((x - 2) ** 2 + (y + 3) ** 2 + z**2) / 8.0)
    write_map(folder / "blob.mrc", DensityMap(values=blob, voxel_size=(3.54,) * 3, origin=(10.0, 20.0, 30.0)))
    assert burnish("image", "blob.mrc", "--rescale-angpix", 1.244, "--new-box", 80, "--out", "o.mrc", "--json") == 0
    out = read_map(folder / "o.mrc")
    assert json.loads(capsys.readouterr().out)["pixel_size"] == 1.244
    assert out.voxel_size == pytest.approx((1.244,) * 3)
    centre = [
        float((out.values.sum(dim=[a for a in range(3) if a != d]) * torch.arange(80)).sum() / out.values.sum())
        for d in (2, 1, 0)
    ]
    place = [o + c * 1.244 for o, c in zip(out.origin, centre, strict=True)]
    before = [o + (12 + d) * 3.54 for o, d in zip((10.0, 20.0, 30.0), (2, -3, 0), strict=True)]
    assert place == pytest.approx(before, abs=0.02)
    assert float(out.values.max()) == pytest.approx(1.0, abs=0.01)


def test_invert_twice_and_float16(folder):
    assert burnish("image", "map.mrc", "--invert", "--float16", "--out", "a.mrc") == 0
    assert read_header(folder / "a.mrc").dtype == np.float16
    assert burnish("image", "a.mrc", "--invert", "--out", "b.mrc") == 0
    original = read_map(folder / "map.mrc").values
    torch.testing.assert_close(read_map(folder / "b.mrc").values, original, atol=1e-3, rtol=1e-3)


def test_stack_keeps_its_images_apart(folder, capsys):
    assert burnish("image", "s.mrcs", "--rescale-angpix", 4, "--invert", "--out", "o.mrcs", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["images"], summary["pixel_size"], summary["box"]) == (5, 4.0, 8)
    images, header = map_stack(folder / "o.mrcs")
    assert images.shape == (5, 8, 8) and header.voxel_size[0] == 4
    assert summary["sd"] == pytest.approx(float(images.std()), rel=1e-5)
    halves = pooled([statistics(torch.from_numpy(images[:2].copy())), statistics(torch.from_numpy(images[2:].copy()))])
    assert halves.sd == pytest.approx(summary["sd"], rel=1e-6) and halves.maximum == images.max()
    for before, after in zip(map_stack(folder / "s.mrcs")[0], images, strict=True):
        assert after.mean() == pytest.approx(-before.mean(), abs=1e-6)


def test_mirror_keeps_the_centre_and_symmetrising_is_invariant():
    for n in (6, 7):
        x = torch.zeros(n, n, n)
        x[n // 2, n // 2, n // 2] = 1
        assert torch.equal(mirror(x, -3), x)
    g = torch.Generator().manual_seed(1)
    ball = low_pass(torch.randn(21, 21, 21, generator=g), 5.0, 1.0)
    fourfold = torch.tensor([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]])
    group = torch.stack([torch.linalg.matrix_power(fourfold[0], k) for k in range(4)])
    once = symmetrise(ball, group)
    torch.testing.assert_close(symmetrise(once, group), once, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(torch.rot90(once, 1, (1, 2)), once, atol=1e-4, rtol=1e-3)


def test_statistics_and_origin():
    numbers = statistics(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert (numbers.mean, numbers.minimum, numbers.maximum) == (3, 1, 6)
    assert numbers.sd == pytest.approx(3.5**0.5)
    assert origin_after((0, 0, 0), (8, 8, 8), 2.0, (16, 16, 16), 1.0) == (0, 0, 0)
    assert origin_after((5, 0, 0), (8, 8, 8), 2.0, (10, 8, 8), 2.0) == (3, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["map.mrc", "--lowpass", "5"], "finer than Nyquist of the input, 6 Å"),
        (["map.mrc", "--lowpass", "20", "--highpass", "15"], "must be coarser"),
        (["gone.mrc"], "gone.mrc: no such file"),
        (["map.mrc", "--symmetry", "X3"], "X3"),
        (["s.mrcs", "--symmetry", "D2"], "neither --symmetry"),
        (["map.mrc", "--new-box", "-4"], "--new-box"),
    ],
)
def test_bad_input(folder, capsys, arguments, message):
    assert burnish("image", *arguments, "--out", "o.mrc") == 2
    assert message in capsys.readouterr().err
    assert not (folder / "o.mrc").exists()
