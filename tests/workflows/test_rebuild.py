"""`burnish rebuild` and `burnish cycle` on a small simulated crystal with planted errors, from files to files."""

import json
import math
from pathlib import Path

import gemmi
import numpy as np
import pytest
from tests.rebuild.test_zone import density_at
from tests.workflows.command_line import burnish
from tests.workflows.small_crystal import CELL, GROUP, helix, write_data

from burnish.chemistry.edit_model import with_positions, with_waters
from burnish.chemistry.residues import residue_views
from burnish.data.reflections import Crystal
from burnish.io.models import atoms_of, read_model
from burnish.rebuild.conformations import with_peptide_turned
from burnish.rebuild.moves.backbone import backbone_site, backbone_window, omega_before
from burnish.symmetry.images import images_near

TURNED = 3  # index of the residue whose peptide is turned over
CIS = 5  # index of a residue whose peptide before it is made cis


def water_places(structure: gemmi.Structure) -> list[tuple[float, float, float]]:
    """Beyond the last oxygens of the helix, where neither it nor its mates are in the way."""
    places = []
    heavy = atoms_of(structure).xyz.numpy()
    for residue in list(structure[0]["A"])[-4:]:
        c, o = (np.array(residue[n][0].pos.tolist()) for n in ("C", "O"))
        spot = o + 2.8 * (o - c) / np.linalg.norm(o - c)
        around = images_near(Crystal(cell=CELL, space_group=GROUP), heavy, spot[None], 3.5).xyz
        away = np.sort(np.linalg.norm(around - spot, axis=1))
        if away[0] > 2.7 and away[1] > 3.2:
            places.append((float(spot[0]), float(spot[1]), float(spot[2])))
    return places


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Truth with waters, data of it, and a model without them and with a peptide turned over."""
    folder = tmp_path_factory.mktemp("rebuild")
    bare = helix()
    truth, _ = with_waters(bare, water_places(bare), [18.0] * len(water_places(bare)))
    truth.setup_cell_images()
    write_data(folder, truth)
    turned = with_peptide_turned(atoms_of(bare).xyz.numpy(), residue_views(bare[0]), TURNED, math.pi)
    assert turned is not None
    with_positions(bare, turned).make_mmcif_document().write_file(str(folder / "model.cif"))
    return folder, truth


def oxygen(structure: gemmi.Structure) -> np.ndarray:
    return np.array(structure[0]["A"][TURNED]["O"][0].pos.tolist())


def test_rebuild_turns_the_peptide_back_and_finds_the_waters(case, capsys):
    folder, truth = case
    assert burnish("rebuild", folder / "model.cif", folder / "data.mtz", "--out", folder / "out", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    moves = [json.loads(line) for line in (folder / "out" / "moves.jsonl").read_text().splitlines()]
    assert len(moves) == summary["moves"]
    rebuilt = read_model(folder / "out" / "rebuilt.cif").structure
    before = read_model(folder / "model.cif").structure
    assert np.linalg.norm(oxygen(before) - oxygen(truth)) > 2.0
    assert np.linalg.norm(oxygen(rebuilt) - oxygen(truth)) < 0.6
    flips = [m for m in moves if m["accepted"] and m["kind"] in ("peptide flip", "backbone")]
    assert len(flips) >= 1
    assert flips[0]["after"]["energy"] < flips[0]["before"]["energy"]
    # the record holds what undoes it
    undone = dict(flips[0]["undo"])
    name = f"A {TURNED + 1} ALA O"
    assert undone[name] == pytest.approx(oxygen(before).tolist(), abs=1e-3)
    assert "<html" in (folder / "out" / "moves.html").read_text()


def test_a_wrong_cis_peptide_that_refinement_keeps_is_mended_by_rebuilding(case, tmp_path):
    folder, _ = case
    right = helix()
    views, xyz = residue_views(right[0]), atoms_of(right).xyz.numpy()
    window = backbone_window(views, CIS, 3)
    assert window is not None
    bent = backbone_site(xyz, views, window, density_at(xyz, xyz), "bend", CIS)
    assert bent is not None
    wrong = xyz.copy()
    wrong[bent.atoms] = bent.candidates[0].xyz
    with_positions(right, wrong).make_mmcif_document().write_file(str(tmp_path / "model.cif"))

    def omega(path: Path) -> float:
        structure = read_model(path).structure
        found = omega_before(atoms_of(structure).xyz.numpy(), residue_views(structure[0]), CIS)
        assert found is not None
        return abs(math.degrees(found))

    refined, rebuilt = tmp_path / "refined" / "refined.cif", tmp_path / "rebuilt" / "rebuilt.cif"
    data = folder / "data.mtz"
    assert burnish("refine", tmp_path / "model.cif", data, "--out", refined.parent, "--cycles", 5) == 0
    assert omega(refined) < 90.0
    assert burnish("rebuild", refined, data, "--out", rebuilt.parent, "--no-waters") == 0
    assert omega(rebuilt) > 150.0
    moves = [json.loads(line) for line in (rebuilt.parent / "moves.jsonl").read_text().splitlines()]
    assert any(m["accepted"] and "ω" in m["why"] for m in moves)


def cycle(folder: Path, out: Path, rounds: int, *more: object) -> int:
    arguments = ["--out", out, "--rounds", rounds, "--cycles", 4, "--final-cycles", 4, "--json", *more]
    return burnish("cycle", folder / "model.cif", folder / "data.mtz", *arguments)


def test_cycle_keeps_the_best_round(case, capsys):
    folder, truth = case
    out = folder / "cycle"
    assert cycle(folder, out, 2) == 0
    summary = json.loads(capsys.readouterr().out)
    rounds = json.loads((out / "rounds.json").read_text())
    assert rounds[summary["best_round"]]["best"]
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert [e["step"] for e in events if e.get("series") == "round"] == list(range(len(rounds)))
    assert summary["r_free"] < rounds[0]["r_free"] - 0.03
    refined = read_model(out / "refined.cif").structure
    assert np.linalg.norm(oxygen(refined) - oxygen(truth)) < 0.4
    waters = np.array([s.atom.pos.tolist() for s in refined[0].all() if s.residue.is_water()])
    places = np.array(water_places(helix()))
    found = np.linalg.norm(waters[:, None] - places[None], axis=2).min(axis=0)
    assert len(places) >= 1
    assert (found < 0.6).all()
    for name in ("refined.pdb", "refined.mtz", "refined.json", "moves.jsonl", "moves.html", "validation.json"):
        assert (out / name).exists()
    assert (out / "round_00" / "refined.cif").exists()


def test_a_cycle_goes_on_after_its_last_round_as_if_never_stopped(case, capsys):
    folder, _ = case
    whole, parts = folder / "cycle", folder / "parts"
    if not (whole / "refined.cif").exists():
        assert cycle(folder, whole, 2) == 0
    assert cycle(folder, parts, 1) == 0
    assert cycle(folder, parts, 2) == 0
    assert "going on after round 1" in (parts / "run.log").read_text()
    one, other = (json.loads((p / "rounds.json").read_text()) for p in (whole, parts))
    assert [r["r_free"] for r in one] == pytest.approx([r["r_free"] for r in other], abs=1e-9)
    moves = [(p / "moves.jsonl").read_text() for p in (whole, parts)]
    assert moves[0] == moves[1]
    capsys.readouterr()
    assert cycle(folder, parts, 2, "--rcomplete", 3, "--paired", "2.6,1.9") == 0  # judged without another round
    summary = json.loads(capsys.readouterr().out)
    assert summary["rounds"] == 2
    assert abs(summary["r_complete"] - summary["r_free"]) < 0.1
    assert summary["resolution_limit"] in (2.6, 1.9)
    assert (parts / "rcomplete" / "report.html").exists()
    assert cycle(folder, parts, 1, "--no-waters") == 0  # another request starts anew
    assert "starts anew" in (parts / "run.log").read_text()
    capsys.readouterr()


def test_the_displacement_model_is_chosen_and_recorded(case):
    folder, _ = case
    out = folder / "cycle"
    if not (out / "refined.cif").exists():
        assert cycle(folder, out, 2) == 0
    record = json.loads((out / "bmodel.json").read_text())
    standing = json.loads((out / "cycle_checkpoint.json").read_text())
    expected = {"one": "fixed", "iso": "auto", "tls": "auto", "aniso": "aniso"}
    assert standing["displacement"]["adp"] == expected[record["chosen"]]
    assert (standing["displacement"]["tls"] == "auto") is (record["chosen"] == "tls")
    assert (out / "bmodel.html").exists()


def test_limits_beyond_the_data_are_refused_before_any_round(case, tmp_path, capsys):
    folder, _ = case
    assert cycle(folder, tmp_path / "out", 1, "--paired", "2.0,1.2") == 2
    assert "the data end at" in capsys.readouterr().err
    assert cycle(folder, tmp_path / "out", 1, "--paired", "1.2,2.0") == 2
    assert "coarse to fine" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_damaged_checkpoint_is_refused(case, tmp_path, capsys):
    folder, _ = case
    (tmp_path / "cycle_checkpoint.json").write_text("{}")
    assert cycle(folder, tmp_path, 1) == 2
    assert "cycle_checkpoint.json" in capsys.readouterr().err


def test_bad_input_leaves_nothing_behind(case, tmp_path, capsys):
    folder, _ = case
    assert burnish("cycle", tmp_path / "none.pdb", folder / "data.mtz", "--out", tmp_path / "out") == 2
    assert "none.pdb" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert burnish("rebuild", folder / "model.cif", tmp_path / "none.mtz", "--out", tmp_path / "out") == 2
    assert not (tmp_path / "out").exists()
