"""`burnish deposit` of a crystal: from the folder of a refinement to files that reproduce it."""

import json

import gemmi
import numpy as np
import pytest
from tests.workflows.command_line import burnish
from tests.workflows.small_crystal import write_case

from burnish.io.deposition.dictionary import find_dictionary
from burnish.io.reflections import DataRequest, read_reflections


@pytest.fixture(scope="module")
def refined(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deposit")
    model, data = write_case(folder)
    assert burnish("refine", model, data, "--cycles", 3, "--out", folder / "refined") == 0
    return folder / "refined"


@pytest.fixture(scope="module")
def deposited(refined):
    out = refined.parent / "deposited"
    assert burnish("deposit", refined, "--out", out, "--entry", "TEST") == 0
    return out


def test_the_files_reproduce_the_refinement(refined, deposited):
    final = json.loads((refined / "refined.json").read_text())["final"]
    record = json.loads((deposited / "deposit.json").read_text())
    assert record["read_back"]["r_work"] == pytest.approx(final["r_work"], abs=0.003)
    assert record["read_back"]["r_free"] == pytest.approx(final["r_free"], abs=0.005)
    block = gemmi.cif.read(str(deposited / "model.cif")).sole_block()
    assert float(block.find_value("_refine.ls_R_factor_R_free")) == pytest.approx(final["r_free"], abs=1e-4)


def test_measured_data_and_flags_are_those_of_the_input(refined, deposited):
    before = read_reflections(refined.parent / "data.mtz").reflections
    request = DataRequest(labels=("F_meas_au", "F_meas_sigma_au"))
    after = read_reflections(deposited / "structure_factors.cif", request).reflections
    assert (before.hkl == after.hkl).all() and (before.free == after.free).all()
    assert np.allclose(before.f_obs, after.f_obs, rtol=1e-6, equal_nan=True)
    block = gemmi.cif.read(str(deposited / "structure_factors.cif")).sole_block()
    mtz = gemmi.read_mtz_file(str(refined / "refined.mtz"))
    written = dict(zip(map(tuple, _hkl(block)), _values(block, "pdbx_DELFWT"), strict=True))
    stored = dict(
        zip(
            map(tuple, mtz.make_miller_array().tolist()), mtz.array[:, mtz.column_labels().index("DELFWT")], strict=True
        )
    )
    for hkl, value in written.items():
        assert value == pytest.approx(stored[hkl], rel=1e-5, nan_ok=True)


def _hkl(block):
    return np.array([_values(block, f"index_{n}") for n in "hkl"]).T.astype(int).tolist()


def _values(block, item):
    return [gemmi.cif.as_number(v) for v in block.find_loop("_refln." + item)]


def test_the_list_of_what_is_missing_goes_back_in(refined, deposited, tmp_path):
    first = (deposited / "to_fill_in.yaml").read_text()
    assert "title:" in first and "pdbx_wavelength_list:" in first
    filled = tmp_path / "filled.yaml"
    filled.write_text("struct:\n  title: A helix\ndiffrn_source:\n  pdbx_wavelength_list: 0.9795\n")
    assert burnish("deposit", refined, "--out", tmp_path / "out", "--metadata", filled, "--no-validate-files") == 0
    block = gemmi.cif.read(str(tmp_path / "out" / "model.cif")).sole_block()
    assert gemmi.cif.as_string(block.find_value("_struct.title")) == "A helix"
    assert block.find_value("_diffrn_source.pdbx_wavelength_list") == "0.9795"
    left = (tmp_path / "out" / "to_fill_in.yaml").read_text()
    assert "pdbx_wavelength_list" not in left


def test_the_sequence_that_is_given(refined, tmp_path):
    fasta = tmp_path / "helix.fasta"
    fasta.write_text(">helix with a tag\nMHAAAAAAAAK\n")
    assert burnish("deposit", refined, "--out", tmp_path / "out", "--sequence", fasta, "--no-validate-files") == 0
    block = gemmi.cif.read(str(tmp_path / "out" / "model.cif")).sole_block()
    assert len(block.find_loop("_entity_poly_seq.num")) == 11
    assert block.find_loop("_atom_site.label_seq_id")[0] == "3"


def test_the_dictionary_finds_no_error(deposited):
    path = find_dictionary(None)
    if path is None:
        pytest.skip("no PDBx/mmCIF dictionary: pip install burnish[cctbx]")
    record = json.loads((deposited / "deposit.json").read_text())
    assert set(record["dictionary"]) == {"model.cif", "structure_factors.cif"}
    assert all(not c["errors"] for c in record["dictionary"].values())


def test_a_folder_that_is_no_refinement(tmp_path, capsys):
    (tmp_path / "some").mkdir()
    assert burnish("deposit", tmp_path / "some", "--out", tmp_path / "out") == 2
    assert "no refined.cif in it; expected the folder of a finished refinement" in capsys.readouterr().err
    assert burnish("deposit", tmp_path / "none", "--out", tmp_path / "out") == 2
    assert "no such folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
