"""Commands made from options models: flags, help, errors and exit codes."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import Field

from burnish.cli import commands, main
from burnish.core.errors import DataError
from burnish.jobs.folder import Job
from burnish.options import table
from burnish.options.base import JobOptions


class ToyOptions(JobOptions):
    """Polish a toy."""

    model: Path = Field(description="What to polish.")
    data: Path | None = Field(None, description="What to polish it against.")
    ligand: tuple[Path, ...] = Field((), description="May be repeated.")
    cycles: int = Field(10, ge=0, description="How often.")
    token: str | None = Field(None, min_length=4, description="A secret.")
    twin: bool = Field(False, description="Two of them.")


def polish(options: ToyOptions, job: Job) -> dict[str, Any]:
    if options.model.name == "bad.cif":
        raise DataError("bad.cif, line 3: x is NaN, expected a number; remove the atom")
    if options.model.name == "slow.cif":
        job.begin()
        raise KeyboardInterrupt
    if options.model.name == "full.cif":
        raise OSError(errno.ENOSPC, "No space left on device", "x/map.mrc")
    job.begin()
    return {"cycles": options.cycles, "ligands": len(options.ligand), "twin": options.twin, "data": str(options.data)}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    module = ModuleType("toy_job")
    module.__dict__.update(ToyOptions=ToyOptions, polish=polish)
    monkeypatch.setitem(sys.modules, "toy_job", module)
    toy = table.Command("toy", "Polish.", "Toys", "toy_job:ToyOptions", "toy_job:polish", ("model", "data"))
    monkeypatch.setattr(main, "COMMANDS", (toy,))
    monkeypatch.setattr(commands, "COMMANDS", (toy,))
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main.main(arguments)
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return call


def test_flags_come_from_the_model(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    given = ("toy", "m.cif", "d.mtz", "--out", "x", "--ligand", "a", "--ligand", "b", "--twin", "--json")
    assert run(*given) == 0
    assert json.loads(capsys.readouterr().out) == {"cycles": 10, "ligands": 2, "twin": True, "data": "d.mtz"}


def test_optional_positional_may_be_left_out(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("toy", "m.cif", "--out", "x", "--json") == 0
    assert json.loads(capsys.readouterr().out)["data"] == "None"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("toy", "bad.cif", "--out", "x"), "bad.cif, line 3: x is NaN"),
        (("toy", "m.cif", "--out", "x", "--cycles", "-1"), "--cycles -1: expected greater than or equal to 0"),
        (("toy", "m.cif", "--out", "x", "--cycles", "ten"), "ten"),
        (("toy", "m.cif", "--out", "x", "--nope", "3"), "--nope"),
        (("toy", "--out", "x"), "MODEL: missing; `burnish toy --help`"),
        (("toy", "m.cif", "--out"), "--out"),
        (("toy", "m.cif", "--out", "x", "--token", "ab"), "--token ab: expected at least 4 characters"),
        (("toy", "full.cif", "--out", "x"), "x/map.mrc: no space left on the disk; free some"),
        (("nope",), "nope"),
    ],
)
def test_bad_input_is_one_line_and_code_two(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    assert run(*arguments) == 2
    error = capsys.readouterr().err.strip()
    assert said.lower() in error.lower()
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_should_be(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("notes")
    assert run("toy", "m.cif", "--out", "mine") == 2
    assert capsys.readouterr().err.startswith("burnish toy: mine: a file is where a folder should be")
    assert (tmp_path / "mine").read_text() == "notes"


def test_the_summary_ends_with_the_folder(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("toy", "m.cif", "--out", "x") == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["folder", "x"]


def test_interrupt_ends_with_130_and_is_recorded(run: Callable[..., int], tmp_path: Path) -> None:
    assert run("toy", "slow.cif", "--out", "x") == 130
    assert json.loads((tmp_path / "x" / "job.json").read_text())["state"] == "interrupted"


def test_every_command_of_the_table_exists(capsys: pytest.CaptureFixture[str]) -> None:
    for command in table.COMMANDS:
        assert callable(getattr(commands, command.name.replace("-", "_")))


def test_help_leaves_out_what_means_nothing_to_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    said = {}
    for command in ("refine", "rcomplete"):
        with pytest.raises(SystemExit):
            main.main([command, "--help"])
        said[command] = capsys.readouterr().out
    for flag in ("--half1", "--angpix", "--continue-from"):
        assert flag in said["refine"]
        assert flag not in said["rcomplete"]
    assert "--folds" in said["rcomplete"]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom burnish.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numba', 'scipy', 'matplotlib', 'gemmi'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
