"""`burnish validate` from files to files: geometry alone, with data, and bad input."""

import json
from pathlib import Path

import pytest
from tests.workflows.command_line import burnish

from peptide_model import make_peptide


@pytest.fixture
def peptide(tmp_path: Path) -> Path:
    path = tmp_path / "peptide.pdb"
    make_peptide(["ALA"] * 6, -62.0, -42.0).write_pdb(str(path))
    return path


def test_geometry_alone(peptide, tmp_path, capsys):
    assert burnish("validate", peptide, "--out", tmp_path / "out", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["ramachandran_favoured_percent"] == 100.0
    record = json.loads((tmp_path / "out" / "validation.json").read_text())
    assert record["clashscore"] == summary["clashscore"]
    assert "agreement" not in record
    assert record["geometry"]["bond_link"]["count"] == 5
    assert summary["bond_rmsd"] == record["geometry"]["bond"]["rmsd"] < 0.03
    assert "<html" in (tmp_path / "out" / "validation.html").read_text()


def test_misnamed_atom(peptide, tmp_path, capsys):
    wrong = tmp_path / "wrong.pdb"
    wrong.write_text(peptide.read_text().replace(" CB  ALA A   3", " CX  ALA A   3"))
    assert burnish("validate", wrong, "--out", tmp_path / "out") == 2
    assert "1 atom misnamed: A/ALA 3/CX" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_bad_input_leaves_nothing_behind(tmp_path, capsys):
    assert burnish("validate", tmp_path / "missing.pdb", "--out", tmp_path / "out") == 2
    assert "missing.pdb" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_measured_data(shared_data, tmp_path, capsys):
    case = shared_data / "mx" / "rnase_tutorial"
    assert burnish("validate", case / "model.cif", case / "data.mtz", "--out", tmp_path / "out", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    # Servalcat: .260 and .298; this solvent mask and riding hydrogens do better
    assert summary["r_work"] == pytest.approx(0.249, abs=0.003)
    assert summary["r_free"] == pytest.approx(0.287, abs=0.005)
    record = json.loads((tmp_path / "out" / "validation.json").read_text())
    worst = record["fit"]["poor"][0]
    assert worst["residue"] == "A 41 GLU"  # one of the deliberate errors of the tutorial
    assert worst["rscc"] < 0.7
    assert record["difference_peaks"][0]["sigma"] > 10
