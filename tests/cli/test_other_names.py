"""Options of other programs, typed from habit."""

import re

import pytest

from burnish.cli.commands import load_options
from burnish.cli.main import main
from burnish.cli.other_names import OTHER_NAMES, own_name
from burnish.options.table import COMMANDS


@pytest.mark.parametrize("command", ["refine3d", "mask", "postprocess", "ctfrefine", "image", "localres", "refine"])
def test_what_is_named_exists(command: str) -> None:
    fields = load_options(next(c for c in COMMANDS if c.name == command)).model_fields
    flags = {f"{no}{name.replace('_', '-')}" for name in fields for no in ("--", "--no-")}
    for theirs, ours in OTHER_NAMES[command].items():
        assert set(re.findall(r"--[a-z0-9-]+", ours)) <= flags, (theirs, ours)
        assert theirs.replace("_", "-") not in flags or theirs.replace("_", "-") != theirs, theirs


def test_phenix_parameters_and_ccp4_keywords() -> None:
    assert own_name("refine", "refinement.main.number_of_macro_cycles=5") == "--cycles"
    assert own_name("refine", "XYZIN") == "MODEL"
    assert own_name("refine", "--nonsense") is None
    assert own_name("serve", "--i") is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("refine3d --i set.star --o x", "unknown: --i; --i of other programs is --particles here"),
        ("refine HKLIN b.mtz XYZIN a.pdb", "XYZIN of other programs is MODEL here"),
        ("refine a.cif b.mtz --cycle 5", "Did you mean --cycles?"),
        ("batch two.csv --cycles 1", "--set NAME=VALUE"),
        ("refine a.cif b.mtz c.cif", "c.cif: more than this command takes; options begin with --"),
    ],
)
def test_the_message_is_one_line(capsys: pytest.CaptureFixture[str], arguments: str, said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    error = capsys.readouterr().err
    assert ended.value.code == 2 and said in error and len(error.splitlines()) == 1
