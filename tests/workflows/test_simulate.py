"""`burnish simulate` from the command line."""

import json

import pytest
import torch
from tests.workflows.command_line import burnish

from burnish.io.images import ImageStacks
from burnish.io.mrc import map_stack, read_map
from burnish.io.particles import read_particles

ATOM = "ATOM  {:5d}  CA  ALA A{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00 20.00           C  \n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    g = torch.Generator().manual_seed(1)
    xyz = (30 * torch.rand(80, 3, generator=g) + 50).tolist()
    text = "".join(ATOM.format(i + 1, i + 1, *r) for i, r in enumerate(xyz)) + "END\n"
    (tmp_path / "model.pdb").write_text(text)
    return tmp_path


SMALL = ("--box", 32, "--angpix", 3, "--particles", 12, "--micrographs", 4)


def test_images_truth_and_what_may_be_seen(folder, capsys):
    options = ("--optics-groups", 2, "--beam-tilt", 0.3, -0.2, "--odd-zernike", "0.1,-0.5", "--json")
    assert burnish("simulate", "model.pdb", *SMALL, *options, "--out", "sim/x") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["count"] == 12 and map_stack(folder / "sim/x.mrcs")[0].shape == (12, 32, 32)
    truth = read_particles(folder / "sim/x_truth.star").particles
    given = read_particles(folder / "sim/x_particles.star").particles
    assert truth.optics[0].beam_tilt == pytest.approx((0.3e-3, -0.2e-3))
    assert truth.optics[1].beam_tilt == pytest.approx((-0.3e-3, 0.2e-3)) and truth.optics[1].odd_zernike == (0.1, -0.5)
    assert given.optics[0].beam_tilt == (0, 0) and given.optics[0].odd_zernike is None
    assert given.poses is None and (given.half_set == -1).all() and truth.poses is not None
    assert (given.defocus.u - truth.defocus.u).abs().max() > 10
    images = ImageStacks(given, folder / "sim/x_particles.star").read(slice(None))
    assert images.isfinite().all() and float(images.std()) == pytest.approx(1.0, abs=0.2)
    assert read_map(folder / "sim/x_map.mrc").values.max() > 0


def test_same_seed_same_images_and_maps_as_source(folder):
    for name in ("a", "b"):
        assert burnish("simulate", "model.pdb", *SMALL, "--out", name, "--seed", 5) == 0
    assert (map_stack(folder / "a.mrcs")[0] == map_stack(folder / "b.mrcs")[0]).all()
    assert burnish("simulate", "a_map.mrc", *SMALL[4:], "--out", "c", "--seed", 5) == 0
    torch.testing.assert_close(read_map(folder / "c_map.mrc").values, read_map(folder / "a_map.mrc").values)
    assert burnish("simulate", "a_map.mrc", *SMALL[4:], "--out", "d", "--with-poses", "--defocus-error", 200) == 0
    given = read_particles(folder / "d_particles.star").particles
    assert given.poses is not None and set(given.half_set.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.pdb"], "a model needs both"),
        (["model.pdb", "--box", "8", "--angpix", "3"], "--box"),
        (["model.pdb", "--box", "16", "--angpix", "1.5"], "use a larger --box"),
        (["model.pdb", "--box", "32", "--angpix", "3", "--diameter", "200"], "larger than the box of 96 Å"),
        (["model.pdb", "--box", "32", "--angpix", "3", "--defocus", "9000", "8000"], "the lower value comes first"),
        (["model.pdb", "--box", "32", "--angpix", "3", "--odd-zernike", "a,b"], "expected numbers with commas"),
        (["model.pdb", "--box", "32", "--angpix", "3", "--chains", "Z"], "no chain Z (chains here: A)"),
        (["gone.pdb", "--box", "32", "--angpix", "3"], "gone.pdb: no atomic model"),
    ],
)
def test_bad_input_leaves_nothing(folder, capsys, arguments, message):
    assert burnish("simulate", *arguments, "--out", "x") == 2
    assert message in capsys.readouterr().err
    assert [p.name for p in folder.iterdir()] == ["model.pdb"]
