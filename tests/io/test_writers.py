"""What is written is what was refined, and everything else of the input is still there."""

from dataclasses import replace

import gemmi
import numpy as np
import pytest
import torch
from tests.io.diffraction_files import PDB, indices, usual_columns, write_mtz, write_pdb, write_usual

from burnish.io.model_writer import (
    RefinementNumbers,
    RestraintLine,
    Uncertainties,
    why_not_pdb,
    write_changed_cif,
    write_model_cif,
    write_model_pdb,
)
from burnish.io.models import read_model, with_atoms
from burnish.io.reflection_writer import OutputColumn, write_reflections
from burnish.io.reflections import DataRequest, read_reflections

NUMBERS = RefinementNumbers(
    d_min=1.8,
    d_max=30.0,
    n_work=950,
    n_free=50,
    r_work=0.2,
    r_free=0.25,
    restraints=[RestraintLine(name="r_bond_refined_d", count=3, rms=0.01, target=0.02)],
)
EXTRA = """
_pdbx_my_notes.id 1
_pdbx_my_notes.text 'kept as it is'
"""


def cif_with_extras(path):
    """mmCIF with a category and an atom column that nobody knows."""
    document = gemmi.read_pdb_string(PDB).make_mmcif_document()
    block = document.sole_block()
    loop = block.find_loop("_atom_site.id").get_loop()
    loop.add_columns(["_atom_site.my_mark"], "?")
    block.find_loop("_atom_site.my_mark")[2] = "looked_at"
    path.write_text(document.as_string() + EXTRA)
    return path


def shifted(model):
    return replace(model.atoms, xyz=model.atoms.xyz + 0.5, b_iso=model.atoms.b_iso + 3.0)


def test_mmcif_keeps_what_it_does_not_know(tmp_path):
    model = read_model(cif_with_extras(tmp_path / "a.cif"))
    write_model_cif(tmp_path / "out.cif", model, with_atoms(model.structure, shifted(model)), NUMBERS)
    again = read_model(tmp_path / "out.cif")
    assert torch.allclose(again.atoms.xyz, model.atoms.xyz + 0.5, atol=1e-4)
    assert torch.allclose(again.atoms.b_iso, model.atoms.b_iso + 3.0, atol=1e-3)
    block = gemmi.cif.read(str(tmp_path / "out.cif")).sole_block()
    assert block.find_value("_pdbx_my_notes.text") == "'kept as it is'"
    assert list(block.find_loop("_atom_site.my_mark"))[2] == "looked_at"
    assert float(block.find_values("_refine.ls_R_factor_R_free")[0]) == 0.25
    assert "Burnish" in list(block.find_values("_software.name"))
    assert model.document is not None and "Burnish" not in model.document.as_string()


def test_statistics_of_an_earlier_refinement_are_replaced(tmp_path):
    model = read_model(cif_with_extras(tmp_path / "a.cif"))
    structure = with_atoms(model.structure, model.atoms)
    write_model_cif(tmp_path / "one.cif", model, structure, NUMBERS)
    second = read_model(tmp_path / "one.cif")
    write_model_cif(tmp_path / "two.cif", second, second.structure, replace(NUMBERS, r_free=0.21))
    block = gemmi.cif.read(str(tmp_path / "two.cif")).sole_block()
    assert [float(v) for v in block.find_values("_refine.ls_R_factor_R_free")] == [0.21]
    assert list(block.find_values("_software.name")).count("Burnish") == 1


def test_a_model_that_was_changed_keeps_what_its_file_said(tmp_path):
    path = cif_with_extras(tmp_path / "a.cif")
    path.write_text(path.read_text() + "_struct_mon_prot_cis.pdbx_id 1\n_struct_mon_prot_cis.label_comp_id GLY\n")
    model = read_model(path)
    changed = with_atoms(model.structure, shifted(model))
    del changed[0][0][0][3]
    before = changed.make_pdb_string()
    write_changed_cif(tmp_path / "out.cif", model, changed)
    again = read_model(tmp_path / "out.cif")
    assert len(again.atoms) == 5
    assert torch.allclose(again.atoms.xyz[0], model.atoms.xyz[0] + 0.5, atol=1e-3)
    block = gemmi.cif.read(str(tmp_path / "out.cif")).sole_block()
    assert block.find_value("_pdbx_my_notes.text") == "'kept as it is'"
    assert not block.find_mmcif_category("_struct_mon_prot_cis.")
    assert not block.find_mmcif_category("_refine.")
    assert changed.make_pdb_string() == before


def test_a_crystals_model_refined_against_maps_is_one_of_microscopy(tmp_path):
    path = cif_with_extras(tmp_path / "a.cif")
    path.write_text(
        path.read_text() + "_exptl.entry_id x\n_exptl.method 'X-RAY DIFFRACTION'\n_exptl.crystals_number 1\n"
    )
    numbers = RefinementNumbers(d_min=3.2, method="ELECTRON MICROSCOPY")
    model = read_model(path)
    write_model_cif(tmp_path / "out.cif", model, model.structure, numbers)
    write_model_pdb(tmp_path / "out.pdb", model.structure, numbers)
    block = gemmi.cif.read(str(tmp_path / "out.cif")).sole_block()
    assert block.find_value("_exptl.method") == "'ELECTRON MICROSCOPY'"
    assert block.find_value("_exptl.crystals_number") is None
    assert block.find_value("_refine.ls_number_reflns_obs") in (None, "?", ".")
    lines = (tmp_path / "out.pdb").read_text().splitlines()
    assert any(line.startswith("EXPDTA    ELECTRON MICROSCOPY") for line in lines)
    assert any("RESOLUTION.    3.20 ANGSTROMS" in line for line in lines)
    assert not any("FREE R VALUE" in line for line in lines)


def test_atoms_that_were_added_or_taken_away_are_written_anew(tmp_path):
    model = read_model(cif_with_extras(tmp_path / "a.cif"))
    structure = with_atoms(model.structure, model.atoms)
    del structure[0][0][0][3]
    write_model_cif(tmp_path / "out.cif", model, structure, NUMBERS)
    again = read_model(tmp_path / "out.cif")
    assert len(again.atoms) == 5
    assert gemmi.cif.read(str(tmp_path / "out.cif")).sole_block().find_value("_pdbx_my_notes.text") == "'kept as it is'"


@pytest.mark.parametrize("suffix", ["cif", "pdb"])
def test_anisotropic_atoms_are_written(suffix, tmp_path):
    path = cif_with_extras(tmp_path / "a.cif") if suffix == "cif" else write_pdb(tmp_path / "a.pdb")
    model = read_model(path)
    u = torch.zeros(6, 6, dtype=torch.float64)
    u[1] = torch.tensor([0.1, 0.2, 0.3, 0.01, 0.02, 0.03])
    atoms = replace(model.atoms, u_aniso=u, is_aniso=(u != 0).any(1))
    write_model_cif(tmp_path / "out.cif", model, with_atoms(model.structure, atoms), NUMBERS)
    again = read_model(tmp_path / "out.cif").atoms
    assert torch.allclose(again.u_aniso, u, atol=1e-5)
    assert float(again.b_iso[1]) == pytest.approx(8 * np.pi**2 * 0.2, rel=1e-4)


def test_uncertainties_are_written_when_given(tmp_path):
    model = read_model(cif_with_extras(tmp_path / "a.cif"))
    xyz = np.full((6, 3), 0.0123)
    b_iso = np.array([1.5, 2.5, 3.5, 4.5, 5.5, np.nan])
    write_model_cif(tmp_path / "out.cif", model, model.structure, NUMBERS, Uncertainties(xyz=xyz, b_iso=b_iso))
    block = gemmi.cif.read(str(tmp_path / "out.cif")).sole_block()
    assert set(block.find_loop("_atom_site.Cartn_y_esd")) == {"0.0123"}
    assert list(block.find_loop("_atom_site.B_iso_or_equiv_esd")) == [
        "1.5000",
        "2.5000",
        "3.5000",
        "4.5000",
        "5.5000",
        "?",
    ]


def test_pdb_round_trip_and_what_it_cannot_hold(tmp_path):
    model = read_model(write_pdb(tmp_path / "a.pdb"))
    structure = with_atoms(model.structure, shifted(model))
    assert why_not_pdb(structure) is None
    write_model_pdb(tmp_path / "out.pdb", structure, NUMBERS)
    again = read_model(tmp_path / "out.pdb")
    assert torch.allclose(again.atoms.xyz, model.atoms.xyz + 0.5, atol=1e-3)
    assert "FREE R VALUE                     : 0.25" in (tmp_path / "out.pdb").read_text()
    structure[0][0].name = "AA"
    assert "chain name AA" in (why_not_pdb(structure) or "")
    structure[0][0].name = "A"
    structure[0][0][0].name = "LIG12"
    assert "residue name LIG12" in (why_not_pdb(structure) or "")


@pytest.mark.shared
@pytest.mark.parametrize("case", ["1dur", "4hg7", "3zt9", "5d5w"])
def test_deposited_models_round_trip(case, shared_data, tmp_path):
    model = read_model(shared_data / "mx" / case / "model.cif")
    write_model_cif(tmp_path / "out.cif", model, with_atoms(model.structure, shifted(model)), NUMBERS)
    again = read_model(tmp_path / "out.cif")
    assert torch.allclose(again.atoms.xyz, model.atoms.xyz + 0.5, atol=1e-4)
    assert torch.equal(again.atoms.u_aniso, model.atoms.u_aniso)
    theirs = gemmi.cif.read(str(shared_data / "mx" / case / "model.cif")).sole_block().get_mmcif_category_names()
    ours = gemmi.cif.read(str(tmp_path / "out.cif")).sole_block().get_mmcif_category_names()
    # shells and TLS tensors are those of the earlier refinement
    assert set(theirs) - set(ours) <= {"_refine_ls_shell.", "_pdbx_refine_tls.", "_pdbx_refine_tls_group."}


def test_mtz_carries_data_and_flags_and_drops_old_maps(tmp_path):
    hkl = indices()
    n = len(hkl)
    columns = usual_columns(n)
    columns["FP"][1][::9] = np.nan
    old = np.ones(n)
    columns |= {"FC": ("F", old), "PHIC": ("P", old), "FWT": ("F", old), "PHWT": ("P", old), "FOM": ("W", old)}
    columns |= {"PHIB": ("P", old), "HLA": ("A", old)}
    data = read_reflections(write_mtz(tmp_path / "a.mtz", hkl, columns), DataRequest(d_min=4.0))
    m = len(data.reflections)
    write_reflections(
        tmp_path / "out.mtz",
        data,
        [
            OutputColumn(label="FWT", kind="F", values=torch.arange(m, dtype=torch.float64)),
            OutputColumn(label="PHWT", kind="P", values=torch.full((m,), torch.nan)),
        ],
    )
    mtz = gemmi.read_mtz_file(str(tmp_path / "out.mtz"))
    assert mtz.column_labels() == ["H", "K", "L", "FREE", "FP", "SIGFP", "PHIB", "HLA", "FWT", "PHWT"]
    order = np.lexsort(hkl.T[::-1])
    assert np.array_equal(mtz.make_miller_array(), hkl[order])
    for label in ("FP", "SIGFP", "FREE"):
        np.testing.assert_allclose(mtz.column_with_label(label).array, columns[label][1][order].astype(np.float32))
    new = mtz.column_with_label("FWT").array
    inside = mtz.make_d_array() >= 4.0
    assert np.isfinite(new[inside]).all() and not np.isfinite(new[~inside]).any()
    again = read_reflections(tmp_path / "out.mtz", DataRequest(d_min=4.0))
    assert torch.equal(again.reflections.free, data.reflections.free)
    assert torch.equal(again.reflections.f_obs.nan_to_num(), data.reflections.f_obs.nan_to_num())


def test_new_flags_are_written_and_read_back(tmp_path):
    columns = usual_columns(len(indices()))
    del columns["FREE"]
    data = read_reflections(write_mtz(tmp_path / "a.mtz", indices(), columns), DataRequest(seed=5))
    write_reflections(tmp_path / "out.mtz", data, [])
    again = read_reflections(tmp_path / "out.mtz", DataRequest(require_free=True))
    assert torch.equal(again.reflections.free, data.reflections.free)


@pytest.mark.shared
def test_flags_of_structure_factor_mmcif_become_ccp4_flags(shared_data, tmp_path):
    data = read_reflections(shared_data / "mx" / "4hg7" / "4hg7-sf.cif")
    write_reflections(tmp_path / "out.mtz", data, [])
    again = read_reflections(tmp_path / "out.mtz")
    measured = data.reflections.f_obs.isfinite()
    assert again.flags.label == "FreeR_flag"
    assert torch.equal(again.reflections.free[measured], data.reflections.free[measured])


def test_nothing_is_left_when_writing_fails(tmp_path):
    data = read_reflections(write_usual(tmp_path / "a.mtz"))
    with pytest.raises(ValueError):
        write_reflections(tmp_path / "o.mtz", data, [OutputColumn(label="X", kind="F", values=torch.ones(3))])
    assert [p.name for p in tmp_path.iterdir()] == ["a.mtz"]
