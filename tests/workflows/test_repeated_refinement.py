"""Commands that repeat a refinement: complete cross-validation, paired refinement, choice of the displacement model."""

import json

import numpy as np
import pytest
from tests.workflows.command_line import burnish
from tests.workflows.small_crystal import write_case

from burnish.core.errors import InputError
from burnish.io.free_flags import lattice_orbits
from burnish.io.reflections import read_reflections
from burnish.options.cross_validation import RCompleteOptions
from burnish.workflows.paired import refuse_finer_limits
from burnish.workflows.rcomplete import folds_of
from burnish.workflows.repeated_refinement import read_repeated


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return write_case(tmp_path_factory.mktemp("repeated"))


def test_every_reflection_is_held_out_once(case, tmp_path, capsys):
    model, data = case
    assert burnish("rcomplete", model, data, "--folds", 3, "--cycles", 3, "--out", tmp_path / "out", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    measured = int(read_reflections(data).reflections.f_obs.isfinite().sum())
    assert measured - 5 <= summary["reflections"] <= measured  # what a fold finds improbable is left out
    assert summary["r_work"] < summary["r_complete"] < 0.25
    record = json.loads((tmp_path / "out" / "rcomplete.json").read_text())
    assert sum(s["reflections"] for s in record["shells"]) == summary["reflections"]
    assert "<html" in (tmp_path / "out" / "report.html").read_text()


def test_mates_in_the_lattice_share_a_fold(case, tmp_path):
    model, data = case
    inputs = read_repeated(RCompleteOptions(model=model, data=data, out=tmp_path, folds=4), lambda event: None)
    fold = folds_of(inputs, 4, seed=1).numpy()
    reflections = inputs.data.reflections
    orbit = lattice_orbits(reflections.hkl.numpy(), reflections.crystal)
    assert all(len(set(fold[orbit == o])) == 1 for o in np.unique(orbit)[:50])
    counts = np.bincount(fold, minlength=4)
    assert counts.min() > 0.8 * counts.max()


def test_paired_refinement_compares_on_common_data(case, tmp_path, capsys):
    model, data = case
    out = tmp_path / "out"
    # the data are of atoms without hydrogens: riding ones are an error of the model that coarse data hide better
    brief = ("--cycles", 4, "--hydrogens", "remove")
    assert burnish("paired", model, data, "--limits", "2.4,2.0", *brief, "--out", out, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    record = json.loads((out / "paired.json").read_text())
    assert len(record["pairs"]) == 1
    assert record["pairs"][0]["worthwhile"] and summary["d_min"] == 2.0  # simulated to 1.9 Å: all of it is signal
    assert json.loads((out / "refined.json").read_text())["data"]["d_min"] == pytest.approx(2.0, abs=0.02)


def test_one_b_is_not_enough_where_b_varies(case, tmp_path, capsys):
    model, data = case
    out = tmp_path / "out"
    assert burnish("bmodel", model, data, "--include", "one,iso", "--cycles", 5, "--out", out, "--json") == 0
    record = json.loads((out / "bmodel.json").read_text())
    assert record["steps"][0]["hamilton"] == "justified"
    assert record["models"][1]["parameters"] > record["models"][0]["parameters"]
    assert record["chosen"] == json.loads(capsys.readouterr().out)["chosen"]
    assert (out / "refined.cif").is_file()


def test_a_limit_may_be_rounded():
    refuse_finer_limits("--limits", "2.4,2.0", 2.02)
    with pytest.raises(InputError, match=r"the data end at 2\.02 Å"):
        refuse_finer_limits("--limits", "2.4,1.9", 2.02)


@pytest.mark.parametrize(
    "command, extra, message",
    [
        ("paired", ("--limits", "2.0,2.2"), "coarse to fine"),
        ("paired", ("--limits", "2.4,1.2"), "the data end at 1.90"),
        ("bmodel", ("--include", "iso,one"), "in this order"),
    ],
)
def test_bad_input(case, tmp_path, capsys, command, extra, message):
    assert burnish(command, *case, *extra, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
