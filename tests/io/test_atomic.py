"""Outputs appear whole or not at all."""

from pathlib import Path

import pytest

from burnish.io.atomic import write_aside, write_text


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "map.mrc"
    write_text(target, "old")

    def fail() -> None:
        with write_aside(target) as aside:
            aside.write_text("half of the new")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["map.mrc"]


def test_folders_are_made_and_the_suffix_is_kept(tmp_path: Path) -> None:
    with write_aside(tmp_path / "a" / "b.mrc") as aside:
        assert aside.suffix == ".mrc"
        aside.write_text("x")
    assert (tmp_path / "a" / "b.mrc").read_text() == "x"
