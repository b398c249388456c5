"""Data sets of a batch from tables and folders: what each row comes to, and what is wrong with others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from burnish.core.errors import BurnishError
from burnish.jobs.sets import read_sets
from burnish.options.refine import RefineOptions


def files(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_a_table_by_commas_tabs_or_as_json(tmp_path: Path) -> None:
    files(tmp_path, "a.cif", "a.mtz", "b.pdb", "b.mtz", "l1.cif", "l2.cif")
    (tmp_path / "t.csv").write_text(
        'name,model,data,ligand,d-min\nfirst,a.cif,a.mtz,"l1.cif l2.cif",1.5\n\nsecond,b.pdb,b.mtz,,\n'
    )
    (tmp_path / "t.tsv").write_text((tmp_path / "t.csv").read_text().replace(",", "\t"))
    rows = [
        {"name": "first", "model": "a.cif", "data": "a.mtz", "ligand": ["l1.cif", "l2.cif"], "d-min": 1.5},
        {"name": "second", "model": "b.pdb", "data": "b.mtz"},
    ]
    (tmp_path / "t.json").write_text(json.dumps(rows))
    for name in ("t.csv", "t.tsv", "t.json"):
        found = read_sets(str(tmp_path / name), RefineOptions)
        assert [s.name for s in found] == ["first", "second"]
        assert found[0].given["model"] == str(tmp_path / "a.cif")
        assert found[0].given["ligand"] == [str(tmp_path / "l1.cif"), str(tmp_path / "l2.cif")]
        assert "ligand" not in found[1].given and "d_min" not in found[1].given
        options = RefineOptions.model_validate({**found[0].given, "out": "x"})
        assert options.d_min == 1.5 and len(options.ligand) == 2


def test_names_come_from_data_or_folders(tmp_path: Path) -> None:
    files(tmp_path, "x1/model.cif", "x1/data.mtz", "x2/model.cif", "x2/data.mtz", "y.mtz")
    (tmp_path / "t.csv").write_text(
        "model,data\nx1/model.cif,x1/data.mtz\nx2/model.cif,x2/data.mtz\nx1/model.cif,y.mtz\n"
    )
    assert [s.name for s in read_sets(str(tmp_path / "t.csv"), RefineOptions)] == ["x1", "x2", "y"]


def test_sets_of_the_folder_above_get_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path, "a.cif", "b.cif", "d.mtz", "t/other")
    monkeypatch.chdir(tmp_path / "t")
    Path("t.csv").write_text("model,data\n../a.cif,../d.mtz\n../b.cif,../d.mtz\n")
    assert [s.name for s in read_sets("t.csv", RefineOptions)] == ["d", "d_2"]


def test_folders_by_a_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path, "s/x1/model.pdb", "s/x1/a.mtz", "s/x1/lig.cif", "s/x2/dimple.pdb", "s/x2/b.mtz", "s/other")
    usual = read_sets(str(tmp_path / "s/*"), RefineOptions)
    assert [(s.name, Path(s.given["model"]).name, Path(s.given["data"]).name) for s in usual] == [
        ("x1", "model.pdb", "a.mtz"), ("x2", "dimple.pdb", "b.mtz"),
    ]  # fmt: skip
    monkeypatch.chdir(tmp_path)
    found = read_sets("s/x*", RefineOptions, find=("ligand=*.cif",), given=("cycles=5",))
    assert found[0].given["ligand"] == [str(tmp_path / "s/x1/lig.cif")]
    assert "ligand" not in found[1].given
    assert all(s.given["cycles"] == "5" for s in found)


def test_the_table_has_the_last_word(tmp_path: Path) -> None:
    files(tmp_path, "a.cif", "a.mtz")
    (tmp_path / "t.csv").write_text("name,model,data,cycles\none,a.cif,a.mtz,3\ntwo,a.cif,a.mtz,\n")
    found = read_sets(str(tmp_path / "t.csv"), RefineOptions, given=("cycles=7",))
    assert [s.given["cycles"] for s in found] == ["3", "7"]


def test_scans_are_combined(tmp_path: Path) -> None:
    files(tmp_path, "a.cif", "a.mtz")
    (tmp_path / "t.csv").write_text("name,model,data\none,a.cif,a.mtz\n")
    found = read_sets(str(tmp_path / "t.csv"), RefineOptions, scan=("weight=0.5,1", "free-value=0,1,2"))
    assert len(found) == 6 and {s.group for s in found} == {"one"}
    assert found[1].name == "one_weight-0.5_free-value-1"
    assert (found[1].given["weight"], found[1].given["free_value"]) == ("0.5", "1")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "model,data,coffee\na,b,c\n", "line 2: no option 'coffee'"),
        ("t.csv", "model,data\na,b,c\n", "line 2: more values than columns"),
        ("t.csv", "model,data\n", "no data set"),
        ("t.csv", "name,model,data\nx,a,b\nx,a,b\n", "'x' is used 2 times"),
        ("t.csv", "name,model,data\n../x,a,b\n", "letters, digits"),
        ("t.csv", "model,data,out\na,b,c\n", "'out' is not for batches"),
        ("t.json", "{", "is not JSON"),
        ("t.json", "{}", "list of objects"),
        ("none.csv", None, "cannot be read"),
        ("nothing/*", None, "no data set"),
    ],
)
def test_what_is_no_batch(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(BurnishError, match=message) as caught:
        read_sets(str(tmp_path / name), RefineOptions)
    assert "\n" not in str(caught.value)
