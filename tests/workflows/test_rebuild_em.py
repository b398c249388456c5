"""`burnish rebuild` and `burnish cycle` against half maps: a turned peptide comes back, waters are found, bad input."""

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
import torch
from tests.workflows.command_line import burnish
from tests.workflows.small_crystal import helix
from tests.workflows.small_map import VOXEL, in_the_middle, potential_of

from burnish.chemistry.edit_model import with_positions, with_waters
from burnish.chemistry.residues import residue_views
from burnish.core.events import ignore
from burnish.data.density import DensityMap
from burnish.io.models import atoms_of, read_model
from burnish.io.mrc import write_map
from burnish.models.parameters import moved_atoms
from burnish.models.refinement import RefinementState, iterate
from burnish.options.rebuild import CycleOptions
from burnish.rebuild.conformations import with_peptide_turned
from burnish.workflows.cycle_checkpoint import read_model_checkpoint, round_folder
from burnish.workflows.cycle_em import EmStart, _fsc_about, _restrained, _settings, read_em_start

TURNED = 4


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """truth.cif with a water, model.cif without it and with a peptide turned over, and half maps of the truth."""
    folder = tmp_path_factory.mktemp("rebuild_em")
    bare = helix(10)
    for site in bare[0].all():
        site.atom.b_iso = 25.0
    bare = in_the_middle(bare)
    c, o = (np.array(bare[0]["A"][9][name][0].pos.tolist()) for name in ("C", "O"))
    spot = o + 2.8 * (o - c) / np.linalg.norm(o - c)
    truth, _ = with_waters(bare, [(float(spot[0]), float(spot[1]), float(spot[2]))], [25.0])
    potential, generator = potential_of(truth), np.random.default_rng(4)
    for half in (1, 2):
        noise = 0.1 * potential.std() * generator.standard_normal(potential.shape).astype(np.float32)
        density = DensityMap(values=torch.from_numpy(potential + noise), voxel_size=(VOXEL,) * 3)
        write_map(folder / f"half{half}.mrc", density)
    truth.make_mmcif_document().write_file(str(folder / "truth.cif"))
    turned = with_peptide_turned(atoms_of(bare).xyz.numpy(), residue_views(bare[0]), TURNED, math.pi)
    assert turned is not None
    with_positions(bare, turned).make_mmcif_document().write_file(str(folder / "model.cif"))
    return folder


def _oxygen(path: Path) -> np.ndarray:
    structure = gemmi.read_structure(str(path))
    return np.array(structure[0]["A"][TURNED]["O"][0].pos.tolist())


def _halves(case: Path) -> tuple[str | Path, ...]:
    return ("--half1", case / "half1.mrc", "--half2", case / "half2.mrc", "--resolution", "1.9")


def test_rebuild_turns_the_peptide_back_and_finds_the_water(
    case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert burnish("rebuild", case / "model.cif", *_halves(case), "--out", tmp_path / "job", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["fsc_average"] > summary["fsc_average_start"]
    assert summary["accepted"] >= 1
    before, after = _oxygen(case / "model.cif"), _oxygen(tmp_path / "job/rebuilt.cif")
    truth = _oxygen(case / "truth.cif")
    assert np.linalg.norm(before - truth) > 2.0
    assert np.linalg.norm(after - truth) < 0.6
    waters = [r for r in read_model(tmp_path / "job/rebuilt.cif").structure[0].all() if r.residue.name == "HOH"]
    there = next(r for r in gemmi.read_structure(str(case / "truth.cif"))[0].all() if r.residue.name == "HOH")
    assert min(w.atom.pos.dist(there.atom.pos) for w in waters) < 0.5


def _cycle(case: Path, out: Path) -> int:
    arguments = ("--rounds", "1", "--cycles", "3", "--final-cycles", "3", "--no-alternates")
    return burnish("cycle", case / "model.cif", *_halves(case), *arguments, "--out", out, "--json")


@pytest.fixture(scope="module")
def cycled(case: Path) -> Path:
    """The folder of a cycle of one round."""
    assert _cycle(case, case / "cycled") == 0
    return case / "cycled"


def test_cycle_keeps_the_best_round(case: Path, cycled: Path) -> None:
    rounds = json.loads((cycled / "rounds.json").read_text())
    assert rounds[1]["fsc_average"] > rounds[0]["fsc_average"]
    assert rounds[1]["best"]
    assert np.linalg.norm(_oxygen(cycled / "refined.cif") - _oxygen(case / "truth.cif")) < 0.5
    assert (cycled / "refined.cif").read_bytes() == (cycled / "round_01/refined.cif").read_bytes()
    assert "fsc_free" in json.loads((cycled / "refined.json").read_text())["final"]
    for name in ("round_00/refined.cif", "round_01/refined.json", "validation.json", "moves.html", "refined_fo.mrc"):
        assert (cycled / name).exists()
    page = (cycled / "moves.html").read_text()
    assert "FSC average" in page
    changed = [line for line in map(json.loads, (cycled / "moves.jsonl").read_text().splitlines()) if line["accepted"]]
    assert changed
    assert all((cycled / line["picture"]).exists() for line in changed)
    assert "Before and after" in page


def _start(case: Path, out: Path) -> EmStart:
    options = CycleOptions(
        model=case / "model.cif", half1=case / "half1.mrc", half2=case / "half2.mrc", resolution=1.9, out=out
    )
    return read_em_start(options, ignore, cycles=1)


def test_rounds_are_compared_inside_a_mask_about_the_model_of_each(case: Path, cycled: Path, tmp_path: Path) -> None:
    start = _start(case, tmp_path / "none")
    rounds = json.loads((cycled / "rounds.json").read_text())
    for number, told in enumerate(rounds):
        refined = read_model_checkpoint(round_folder(cycled, number))
        _, refinable = _restrained(start, refined)
        assert told["fsc_average"] == pytest.approx(_fsc_about(start, refinable), abs=2e-3)  # hydrogens placed anew


def test_a_step_of_nothing_moves_nothing(case: Path, tmp_path: Path) -> None:
    start = _start(case, tmp_path / "none")
    _, refinable = _restrained(start, start.model.structure)
    atoms = refinable.atoms
    n = len(atoms)
    steps = np.zeros(3 * n), np.zeros(7 * n), np.zeros(n)
    moved = moved_atoms(atoms, steps, refinable.riders, np.arange(n))
    assert float((moved.xyz - atoms.xyz).abs().max()) < 1e-9


def test_where_torsions_are_drawn_peptides_and_centres_are_held_as_strongly(case: Path, tmp_path: Path) -> None:
    start = _start(case, tmp_path / "none")
    assert _settings(start, 3).geometry.torsion == 1.0  # at 1.9 Å the data show them
    drawn = replace(start, options=start.options.model_copy(update={"ramachandran": 4.0, "chi": 2.0}))
    geometry = _settings(drawn, 3).geometry
    assert geometry.torsion == geometry.chiral == 4.0
    assert geometry.bond == 1.0


def test_a_cycle_that_was_stopped_goes_on_as_if_never_stopped(
    case: Path, cycled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("burnish.workflows.cycle_em.rebuild_structure", stop)
        assert _cycle(case, tmp_path / "job") == 130
    assert not (tmp_path / "job/refined.cif").exists()
    assert _cycle(case, tmp_path / "job") == 0
    assert "going on after round 0" in (tmp_path / "job/run.log").read_text()
    for name in ("moves.jsonl", "rounds.json", "refined.cif", "validation.json"):
        assert (tmp_path / "job" / name).read_bytes() == (cycled / name).read_bytes(), name


@pytest.mark.parametrize("stopped", [1, 2, 4])
def test_a_refinement_of_a_round_that_was_stopped_is_done_again(
    case: Path, cycled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: int
) -> None:
    """Against both half maps in the first round, against one alone, and in the next round."""
    started = itertools.count(1)

    def iterate_until(*given: Any) -> Iterator[RefinementState]:
        if next(started) == stopped:
            raise KeyboardInterrupt
        yield from iterate(*given)

    with monkeypatch.context() as patch:
        patch.setattr("burnish.workflows.refine_em.iterate", iterate_until)
        assert _cycle(case, tmp_path / "job") == 130
    assert _cycle(case, tmp_path / "job") == 0
    for name in ("moves.jsonl", "rounds.json", "refined.cif", "validation.json"):
        assert (tmp_path / "job" / name).read_bytes() == (cycled / name).read_bytes(), name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "give one of"), (("--half1", "half1.mrc"), "go together"), (("--map", "half1.mrc"), "--resolution")],
)
def test_bad_input(
    case: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(case)
    assert burnish("rebuild", "model.cif", *arguments, "--out", tmp_path / "job") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize("command", ["rebuild", "cycle"])
def test_misnamed_atoms_are_refused_before_anything_is_written(
    case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    model = gemmi.read_structure(str(case / "model.cif"))
    model[0]["A"][3]["CB"][0].name = "CQ"
    model.make_mmcif_document().write_file(str(tmp_path / "misnamed.cif"))
    assert burnish(command, tmp_path / "misnamed.cif", *_halves(case), "--out", tmp_path / "job") == 2
    assert "misnamed.cif: 1 atom misnamed" in capsys.readouterr().err
    assert not (tmp_path / "job").exists()
