"""Hand editing as a job: commands in, edits in the journal, taken back and done again, nothing lost by a kill."""

import json
from pathlib import Path

import gemmi
import numpy as np
import pytest

from burnish.core.errors import DataError, InputError
from burnish.jobs.folder import Job
from burnish.options.edit import EditOptions, HandCommand
from burnish.options.undo import UndoOptions
from burnish.workflows import edit, undo
from burnish.workflows.hand_journal import Journal, changes, patched, residue_rows
from burnish.workflows.hand_session import HandSession, Opened, open_inputs
from hand_peptide import density_of, library, true_model, write_inputs

COMMANDS = (
    {"tool": "refine", "chain": "A", "number": "4", "extent": "sphere"},
    {"tool": "best rotamer", "chain": "A", "number": "5"},
    {"tool": "mutate", "chain": "A", "number": "3", "name": "TRP"},
    {"tool": "delete", "chain": "A", "number": "7"},
    {"tool": "add terminal residue", "chain": "A", "number": "6", "name": "GLY"},
    {"tool": "add water", "xyz": (30.0, 30.0, 30.0)},
    {"tool": "move", "chain": "A", "number": "4", "extent": "residue", "shift": (0.1, 0.0, 0.0)},
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    monlib = library().monlib
    structure = true_model(monlib)
    return write_inputs(tmp_path_factory.mktemp("inputs"), structure, density_of(structure))


@pytest.fixture(scope="module")
def opened(inputs: tuple[Path, Path]) -> Opened:
    return open_inputs(options(inputs, Path("unused")), lambda event: None)


def options(inputs: tuple[Path, Path], out: Path, commands: Path | None = None) -> EditOptions:
    model, density = inputs
    return EditOptions.model_validate({"model": model, "map_file": density, "out": out, "commands": commands})


def session(inputs: tuple[Path, Path], opened: Opened, journal: Path) -> HandSession:
    return HandSession(options(inputs, journal.parent), opened, Journal(journal))


def command(**given: object) -> HandCommand:
    return HandCommand.model_validate(given)


def test_every_edit_can_be_taken_back_and_done_again(inputs: tuple[Path, Path], opened: Opened, tmp_path: Path) -> None:
    live = session(inputs, opened, tmp_path / "journal.jsonl")
    states = [residue_rows(live.model.structure)]
    for given in COMMANDS:
        reply = live.apply(command(**given))
        states.append(residue_rows(live.model.structure))
        assert reply["undo"] == len(states) - 1
        assert changes(states[-2], states[-1])[0]
    for state in reversed(states[:-1]):
        live.apply(command(tool="undo"))
        assert residue_rows(live.model.structure) == state
    with pytest.raises(InputError, match="nothing to undo"):
        live.apply(command(tool="undo"))
    for state in states[1:]:
        live.apply(command(tool="redo"))
        assert residue_rows(live.model.structure) == state
    live.apply(command(tool="undo"))
    live.apply(command(tool="flip", chain="A", number="2"))
    with pytest.raises(InputError, match="nothing to redo"):
        live.apply(command(tool="redo"))


def test_the_map_can_be_another_one(inputs: tuple[Path, Path], opened: Opened, tmp_path: Path) -> None:
    live = session(inputs, opened, tmp_path / "journal.jsonl")
    before = live.apply(command(tool="look", chain="A", number="5"))["residue"]
    cut = opened.structure.clone()
    del cut[0]["A"][4]
    (tmp_path / "other").mkdir()
    _, density = write_inputs(tmp_path / "other", cut, density_of(cut))
    live.use_map(density)
    after = live.apply(command(tool="look", chain="A", number="5"))["residue"]
    assert after["xyz"] == before["xyz"]
    assert after["density"] < 0.5 * before["density"]


def test_a_gap_is_built_and_taken_back(inputs: tuple[Path, Path], opened: Opened, tmp_path: Path) -> None:
    live = session(inputs, opened, tmp_path / "journal.jsonl")
    live.apply(command(tool="delete", chain="A", number="4"))
    without = residue_rows(live.model.structure)
    reply = live.apply(command(tool="build gap", chain="A", number="5"))
    assert "sequence is not known" in reply["note"]
    assert [r.seqid.num for r in live.model.structure[0]["A"]] == list(range(1, 8))
    live.apply(command(tool="undo"))
    assert residue_rows(live.model.structure) == without
    with pytest.raises(InputError, match="nothing is missing"):
        live.apply(command(tool="build gap", chain="A", number="7"))


@pytest.mark.parametrize("cut", [0, 40])
def test_a_killed_session_goes_on_from_its_journal(
    inputs: tuple[Path, Path], opened: Opened, tmp_path: Path, cut: int
) -> None:
    journal = tmp_path / "journal.jsonl"
    live = session(inputs, opened, journal)
    states = []
    for given in COMMANDS[:3]:
        live.apply(command(**given))
        states.append(residue_rows(live.model.structure))
    live.apply(command(tool="undo"))
    live.apply(command(tool="redo"))
    live.apply(command(**COMMANDS[3]))
    states.append(residue_rows(live.model.structure))
    if cut:  # the last line was being written
        journal.write_bytes(journal.read_bytes()[:-cut])
        states.pop()
    again = session(inputs, opened, journal)
    assert residue_rows(again.model.structure) == states[-1]
    again.apply(command(tool="best rotamer", chain="A", number="4"))
    third = session(inputs, opened, journal)
    assert residue_rows(third.model.structure) == residue_rows(again.model.structure)
    assert [e.number for e in third.edits] == [e.number for e in again.edits]


def test_a_damaged_journal_is_refused(inputs: tuple[Path, Path], opened: Opened, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.write_text('{"nothing": 1}\n')
    with pytest.raises(DataError, match="line 1 is no record of an edit"):
        session(inputs, opened, journal)


def test_previews_change_nothing(inputs: tuple[Path, Path], opened: Opened, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    live = session(inputs, opened, journal)
    before = residue_rows(live.model.structure)
    goal = (live.model.xyz[live.model.views[4].atoms["CZ"]] + 0.5).tolist()
    pull = {"tool": "drag", "chain": "A", "number": "5", "atom": "CZ", "xyz": goal}
    for shown in (pull, {"tool": "chi", "chain": "A", "number": "5", "chi_deg": (180.0, 70.0)}):
        reply = live.apply(command(**shown, commit=False))
        atoms = gemmi.read_pdb_string(reply["preview"])[0].count_atom_sites()
        assert atoms >= len(live.model.views[4].atoms)
        assert reply["note"]
    assert residue_rows(live.model.structure) == before
    assert not journal.exists()
    kept = live.apply(command(**pull))
    assert kept["residue"]["name"] == "PHE"
    assert journal.read_text().count("\n") == 1
    looked = live.apply(command(tool="look", chain="A", number="5"))["residue"]
    assert (looked["rotamer_verdict"], looked["ramachandran"], looked["is_end"]) == ("favoured", "favoured", False)


def test_the_job_writes_model_moves_and_journal(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    script = tmp_path / "commands.jsonl"
    script.write_text("\n".join(json.dumps(c) for c in COMMANDS[2:5]) + "\n\n")
    model = tmp_path / "with_title.cif"
    model.write_text(inputs[0].read_text() + "\n_citation.title 'kept as it is'\n")
    given = options((model, inputs[1]), tmp_path / "job", script)
    job = Job("edit", given.out, {})
    summary = edit.run(given, job)
    job.finish(summary)
    written = gemmi.read_structure(str(tmp_path / "job/rebuilt.cif"))
    assert [r.name for r in written[0]["A"]] == ["ALA", "SER", "TRP", "VAL", "PHE", "THR", "GLY"]
    assert gemmi.cif.read(str(tmp_path / "job/rebuilt.cif")).sole_block().find_value("_citation.title") is not None
    assert summary["edits"] == 3
    lines = [json.loads(line) for line in (tmp_path / "job/moves.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["by hand: mutate", "by hand: delete", "by hand: add terminal residue"]
    assert "A 3 TRP CZ2" in lines[0]["added"]
    assert "A 7 ALA CB" in [row["name"] for row in lines[1]["removed"]]
    again = Job("edit", given.out, {})
    assert edit.run(given, again)["edits"] == 3  # the journal is gone on with, nothing is done twice
    again.finish({})


def test_edits_are_taken_back_by_burnish_undo(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    script = tmp_path / "commands.jsonl"
    script.write_text(json.dumps(COMMANDS[1]) + "\n" + json.dumps(COMMANDS[3]) + "\n")
    given = options(inputs, tmp_path / "job", script)
    job = Job("edit", given.out, {})
    job.finish(edit.run(given, job))
    undo.run(UndoOptions.model_validate({"job": tmp_path / "job", "moves": ("1.2",)}), Job("undo", tmp_path, {}))
    back = gemmi.read_structure(str(tmp_path / "job/undone.cif"))
    assert [r.name for r in back[0]["A"]][-1] == "ALA"


def test_refusals(inputs: tuple[Path, Path], opened: Opened, tmp_path: Path) -> None:
    live = session(inputs, opened, tmp_path / "journal.jsonl")
    for given, message in (
        ({"tool": "refine"}, "choose a residue first"),
        ({"tool": "refine", "chain": "Q", "number": "1"}, "no such residue"),
        ({"tool": "add water"}, "where"),
        ({"tool": "fit ligand", "name": "../../x", "xyz": (0, 0, 0)}, "expected the code"),
    ):
        with pytest.raises(InputError, match=message):
            live.apply(command(**given))
    script = tmp_path / "bad.jsonl"
    for text, message in (("{", "line 1 is no JSON"), ('{"tool": "explode"}', "line 1: tool")):
        script.write_text(text)
        with pytest.raises(DataError, match=message):
            edit.read_commands(script)
    with pytest.raises(InputError, match="--commands"):
        edit.run(options(inputs, tmp_path / "none"), Job("edit", tmp_path / "none", {}))
    assert not (tmp_path / "none").exists()


def test_patches_are_exact(opened: Opened) -> None:
    before = opened.structure
    after = before.clone()
    after[0]["A"]["2"][0][0].pos = gemmi.Position(1.0 / 3.0, 2.0, 3.0)
    del after[0]["A"][6]
    was, now = changes(residue_rows(before), residue_rows(after))
    assert residue_rows(patched(before, now)) == residue_rows(after)
    assert residue_rows(patched(after, was)) == residue_rows(before)
    order = [str(r.seqid) for r in patched(after, was)[0]["A"]]
    assert order == sorted(order, key=int)
    assert np.isclose(patched(before, now)[0]["A"]["2"][0][0].pos.x, 1.0 / 3.0, rtol=0, atol=0)
