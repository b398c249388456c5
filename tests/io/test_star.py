"""STAR files: what RELION and others write, and what is wrong with some."""

from pathlib import Path

import numpy as np
import pytest
import starfile

from burnish.core.errors import DataError
from burnish.io.star import make_table, read_star, write_star

ODD = """# a comment
data_general

_rlnFinalResolution   3.5  # in Å
_rlnMaskName  'my masks/mask 1.mrc'


data_particles

loop_
_rlnImageName #1
_rlnOddZernike #2
_rlnUnknownThing
000001@a.mrcs [0.1,-2e-3] "two words"
  000002@a.mrcs [0,0] x#y

000003@a.mrcs [0,0] None # the last
data_empty

loop_
_rlnA
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "a.star"
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_pairs_loops_quotes_comments_and_empty_tables(tmp_path):
    star = read_star(write(tmp_path, ODD))
    assert [t.name for t in star] == ["general", "particles", "empty"]
    assert star["general"].value("rlnFinalResolution") == "3.5"
    assert star["general"].value("rlnMaskName") == "my masks/mask 1.mrc"
    assert list(star["particles"].text("rlnUnknownThing")) == ["two words", "x#y", "None"]
    assert len(star["empty"]) == 0


def test_round_trip_keeps_every_table_and_value(tmp_path):
    star = read_star(write(tmp_path, ODD))
    write_star(tmp_path / "b.star", star)
    again = read_star(tmp_path / "b.star")
    assert [(t.name, t.is_loop, dict(t.columns)) for t in again] == [(t.name, t.is_loop, dict(t.columns)) for t in star]


def test_other_reader_agrees_on_what_is_written(tmp_path):
    table = make_table("fsc", {"rlnSpectralIndex": [0, 1], "rlnResolution": [0.001, 1.5e-9]})
    write_star(tmp_path / "c.star", [table, make_table("general", {"rlnA": [1.25], "rlnName": ["x y"]}, is_loop=False)])
    read = starfile.read(tmp_path / "c.star", always_dict=True)
    np.testing.assert_allclose(read["fsc"]["rlnResolution"], [0.001, 1.5e-9])
    assert read["general"]["rlnA"] == 1.25


def test_agrees_with_starfile_on_a_relion_file(shared_data):
    path = shared_data / "em/relion_jobs/relion5_sta/refine3d_job074/run_data.star"
    ours, theirs = read_star(path)["particles"], starfile.read(path)["particles"]
    assert list(ours.columns) == list(theirs.columns)
    np.testing.assert_array_equal(ours.floats("rlnAngleRot"), theirs["rlnAngleRot"])
    assert "rlnTomoName" in ours and len(ours) == len(theirs) == 9053


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing here", "no 'data_' block"),
        ("data_x\nloop_\n_a\n_b\n1 2\n3\n", r"a\.star, table 'x', row 2 \(line 6\): 1 values for 2 columns"),
        ("data_x\nloop_\n_a\n_a\n1 2\n", "column a is there twice"),
        ("data_x\n_a 1 2\n", r"line 2\): '_a 1 2', expected a name and a value"),
    ],
)
def test_says_where_a_file_is_wrong(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_star(write(tmp_path, text))


def test_says_which_value_is_no_number(tmp_path):
    table = read_star(write(tmp_path, "data_x\nloop_\n_d\n1.5\nabc\n"))["x"]
    with pytest.raises(DataError, match=r"table 'x', row 2 \(line 5\): d is 'abc', expected a number"):
        table.floats("d")
    with pytest.raises(DataError, match=r"d is '1\.5', expected a whole number"):
        table.take([0]).ints("d")
    with pytest.raises(DataError, match="no column e"):
        table.text("e")
    with pytest.raises(DataError, match="no table 'y'"):
        read_star(tmp_path / "a.star")["y"]
    with pytest.raises(DataError, match=r"none\.star: no such file"):
        read_star(tmp_path / "none.star")
