"""`burnish validate` against maps: numbers of a true and of a moved model, the report, bad input."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.workflows.command_line import burnish
from tests.workflows.test_refine_em import case  # noqa: F401

from burnish.io.mrc import read_map, write_map


@pytest.fixture(scope="module")
def judged(case: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:  # noqa: F811
    """Folders of the true model, by half maps with cross-validation, and of the disturbed one."""
    out = tmp_path_factory.mktemp("validated")
    halves = ("--half1", case / "half1.mrc", "--half2", case / "half2.mrc", "--resolution", "2.2")
    assert burnish("validate", case / "truth.cif", *halves, "--cross-validation", "--out", out / "truth", "--json") == 0
    assert burnish("validate", case / "model.cif", *halves, "--out", out / "moved") == 0
    return {"truth": out / "truth", "moved": out / "moved"}


def _record(folder: Path) -> dict:
    return json.loads((folder / "validation.json").read_text())["map"]


def test_the_true_model_is_better_by_every_score(judged: dict[str, Path]) -> None:
    truth, moved = _record(judged["truth"]), _record(judged["moved"])
    assert truth["fsc"]["average"] > moved["fsc"]["average"]
    assert truth["fsc"]["resolution_0.5"] <= moved["fsc"]["resolution_0.5"]
    assert truth["cc"]["cc_mask"] > moved["cc"]["cc_mask"] > 0.3
    assert truth["q_score"]["mean"] > moved["q_score"]["mean"] + 0.02
    assert truth["atom_inclusion"]["all_percent"] > 90.0
    assert truth["fsc"]["half_maps"] is not None
    curve = [share for _, share in truth["atom_inclusion"]["curve"]]
    assert all(a >= b for a, b in itertools.pairwise(curve))


def test_cross_validation_sees_no_overfitting_of_a_true_model(judged: dict[str, Path]) -> None:
    both = _record(judged["truth"])["cross_validation"]
    assert both["fsc_free"] > 0.8
    assert abs(both["fsc_work"] - both["fsc_free"]) < 0.03  # of a true model either may be the higher one


def test_residues_have_their_scores(judged: dict[str, Path]) -> None:
    rows = json.loads((judged["truth"] / "validation.json").read_text())["by_residue"]
    protein = [r for r in rows if r["kind"] == "protein"]
    assert all({"q_score", "inclusion", "rscc"} <= r.keys() for r in protein)
    assert all(r["rscc"] > 0.8 for r in protein)


def test_the_page_shows_model_and_map(judged: dict[str, Path]) -> None:
    page = (judged["truth"] / "validation.html").read_text()
    for text in ("Model and map", "Q-score", "FSC of model and map", "no sign of overfitting", "atoms inside"):
        assert text in page


def test_a_map_beside_its_half_maps_is_refused(
    case: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    half = read_map(case / "half1.mrc")
    write_map(tmp_path / "shifted.mrc", replace(half, origin=(0.0, 0.0, 0.0)))
    halves = ("--half1", case / "half1.mrc", "--half2", case / "half2.mrc", "--resolution", "2.2")
    given = (*halves, "--map", tmp_path / "shifted.mrc", "--out", tmp_path / "job")
    assert burnish("validate", case / "model.cif", *given) == 2
    assert "shifted.mrc: its origin is 0, 0, 0 Å" in capsys.readouterr().err
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--half1", "half1.mrc", "--resolution", "2.2"), "go together"),
        (("--map", "half1.mrc"), "--resolution"),
        (("--map", "half1.mrc", "--resolution", "0.9"), "1.6"),
        (("--map", "half1.mrc", "--resolution", "2.2", "--cross-validation"), "two half maps"),
        (("--map", "none.mrc", "--resolution", "2.2"), "none.mrc"),
        (("--map", "half1.mrc", "--resolution", "2.2", "--contour", "1e9"), "half1.mrc has densities from"),
        (("--contour", "3"), "--contour needs maps"),
        (("--symmetry", "C3"), "--symmetry needs maps"),
        (("--map", "half1.mrc", "--resolution", "2.2", "--twin"), "--twin is for diffraction data"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_folder(
    case: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(case)
    assert burnish("validate", "model.cif", *arguments, "--out", tmp_path / "job") == 2
    assert said in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "job").exists()
