"""One name for the pixel size of a map in every command, and the plain one beside it."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from burnish.cli.commands import load_options
from burnish.cli.main import main
from burnish.jobs.sets import read_sets
from burnish.options.table import COMMANDS

TAKE_IT = sorted(c.name for c in COMMANDS if "angpix" in load_options(c).model_fields)
ONLY_HIDDEN = {"bmodel", "paired", "rcomplete"}  # inherit it from `refine`; their data are diffraction data
IN_MAPS = {"model": "m.cif", "map": "a.mrc", "resolution": 3.0}
REQUIRED = {
    "fit": {"model": "m.cif", "map": "a.mrc", "resolution": 3.0},
    "image": {"input": "a.mrc", "out": "b.mrc"},
    "mask": {"map": "a.mrc", "lowpass": 15.0, "out": "m.mrc"},
    "localres": {"half1": "a.mrc", "half2": "b.mrc"},
    "postprocess": {"half1": "a.mrc", "half2": "b.mrc", "mask": "auto"},
    "simulate": {"source": "m.cif", "model": "m.cif", "particles": 30},
}


def options_of(name: str):
    return load_options(next(c for c in COMMANDS if c.name == name))


def test_every_command_that_takes_a_pixel_size_calls_it_the_same() -> None:
    assert {"cycle", "fit", "image", "localres", "mask", "postprocess", "refine", "simulate", "validate"} <= {*TAKE_IT}
    for command in COMMANDS:
        assert "pixel_size" not in load_options(command).model_fields
    for name in TAKE_IT:
        properties = options_of(name).model_json_schema()["properties"]
        assert "angpix" in properties
        assert "pixel_size" not in properties


@pytest.mark.parametrize("name", [name for name in TAKE_IT if name not in ONLY_HIDDEN])
def test_both_names_say_the_same_in_a_record(name: str) -> None:
    model = options_of(name)
    wanted = {k: v for k, v in REQUIRED.get(name, IN_MAPS).items() if k in model.model_fields}
    given = [model.model_validate({"out": "out", **wanted, key: 1.244}) for key in ("angpix", "pixel_size")]
    assert given[0] == given[1]
    assert given[0].model_dump()["angpix"] == 1.244
    with pytest.raises(ValidationError, match="greater than 0"):
        model.model_validate({"out": "out", **wanted, "pixel_size": -1.0})


@pytest.mark.parametrize("flag", ["--angpix", "--pixel-size"])
def test_both_flags_are_taken(flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["mask", str(tmp_path / "none.mrc"), flag, "1.2", "--out", str(tmp_path / "m.mrc")])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "none.mrc" in said
    assert flag not in said


def test_a_table_of_sets_may_use_either(tmp_path: Path) -> None:
    table = tmp_path / "sets.csv"
    table.write_text("name,model,map,resolution,--pixel-size\none,m.cif,a.mrc,3.0,1.1\n")
    (found,) = read_sets(str(table), options_of("refine"))
    assert found.given["angpix"] == "1.1"
