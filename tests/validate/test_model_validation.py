"""The whole validation: from a model to the record that `validation.json` holds, and the page."""

import math

import gemmi
import numpy as np
import pytest
import torch

from burnish.chemistry.library import read_library
from burnish.chemistry.residues import residue_views
from burnish.data.reflections import Crystal
from burnish.io.models import atoms_of
from burnish.reports.page import render
from burnish.reports.validation import validation_page
from burnish.validate.displacements import displacement_outliers
from burnish.validate.model_validation import validate_model
from burnish.validate.summary import validation_record
from burnish.validate.waters import water_contacts
from peptide_model import make_peptide, positions


def add_water(structure: gemmi.Structure, xyz, number: int) -> None:
    water = gemmi.Residue()
    water.name, water.seqid, water.het_flag = "HOH", gemmi.SeqId(number, " "), "H"
    water.entity_type = gemmi.EntityType.Water
    oxygen = gemmi.Atom()
    oxygen.name, oxygen.element, oxygen.pos, oxygen.occ, oxygen.b_iso = (
        "O",
        gemmi.Element("O"),
        gemmi.Position(*xyz),
        1,
        20,
    )
    water.add_atom(oxygen)
    structure[0]["A"].add_residue(water)


@pytest.fixture(scope="module")
def found():
    structure = make_peptide(["ALA"] * 8, -62.0, -42.0)
    structure.setup_entities()
    library = read_library(["ALA"], environment={}, debian=None)
    return validate_model(structure, atoms_of(structure), library.monlib)


def test_an_ideal_helix_has_nothing_wrong(found):
    s = found.scores
    assert (s.favoured_percent, s.outlier_percent, s.cbeta_outliers, s.twisted, s.cis_nonproline) == (100, 0, 0, 0, 0)
    assert s.clashscore == pytest.approx(0.0)
    assert s.molprobity_score == pytest.approx(0.5)


def test_record_is_plain_and_complete(found):
    import json

    record = json.loads(json.dumps(validation_record(found, 1.7)))
    assert record["ramachandran"]["residues"] == 6
    assert record["ramachandran"]["outliers"] == []
    assert record["percentiles"]["clashscore"]["percentile"] > 99
    assert [r["number"] for r in record["by_residue"]] == [str(i) for i in range(1, 9)]
    assert record["by_residue"][3]["ramachandran"] == "favoured"
    assert "fit" not in record


def test_page_shows_the_verdicts(found):
    html = render(validation_page(validation_record(found), "peptide", {"r_work": 0.2, "r_free": 0.25}))
    assert "100.0 %" in html
    assert "R-free 0.250" in html
    assert "Nothing stands out" in html
    assert html.count("data:image/png") == 2


def test_cis_and_strange_peptides_are_listed():
    structure = make_peptide(["ALA"] * 5, 60.0, -120.0, omega_deg=90.0)
    structure.setup_entities()
    library = read_library(["ALA"], environment={}, debian=None)
    record = validation_record(validate_model(structure, atoms_of(structure), library.monlib))
    assert len(record["peptides"]["twisted"]) == 4
    assert math.isclose(record["peptides"]["twisted"][0]["omega_deg"], 90.0, abs_tol=0.1)


def test_waters_alone_and_too_close():
    structure = make_peptide(["ALA", "ALA"], -62.0, -42.0)
    oxygen = structure[0]["A"][0]["O"][0].pos
    carbon = structure[0]["A"][0]["C"][0].pos
    along = gemmi.Position(*(o + 2.8 * (o - c) / 1.231 for o, c in zip(oxygen.tolist(), carbon.tolist(), strict=True)))
    near = gemmi.Position(*(o + 1.9 * (o - c) / 1.231 for o, c in zip(oxygen.tolist(), carbon.tolist(), strict=True)))
    for number, where in enumerate((along, near, gemmi.Position(30, 30, 30)), start=101):
        single = structure.clone()
        add_water(single, where.tolist(), number)
        (contact,) = water_contacts(
            positions(single).numpy(), [s.atom.element.name for s in single[0].all()], residue_views(single[0]), None
        )
        assert (contact.is_alone, contact.is_too_close) == (number == 103, number == 102)


def test_a_water_is_held_by_a_symmetry_mate():
    structure = make_peptide(["ALA"], -62.0, -42.0)
    oxygen = np.array(structure[0]["A"][0]["O"][0].pos.tolist())
    crystal = Crystal(cell=(40.0, 40.0, 40.0, 90.0, 90.0, 90.0), space_group="P 1")
    add_water(structure, (oxygen + np.array([40.0, 2.8, -40.0])).tolist(), 101)
    arguments = positions(structure).numpy(), [s.atom.element.name for s in structure[0].all()]
    views = residue_views(structure[0])
    assert not water_contacts(*arguments, views, crystal)[0].is_alone
    assert water_contacts(*arguments, views, None)[0].is_alone


def test_a_residue_that_moves_far_more_than_its_surroundings():
    structure = make_peptide(["ALA"] * 14, -62.0, -42.0)
    xyz, views = positions(structure).numpy(), residue_views(structure[0])
    b_iso = 20.0 + np.random.default_rng(0).normal(0.0, 1.0, len(xyz))
    b_iso[list(views[6].atoms.values())] = 90.0
    found = displacement_outliers(xyz, b_iso, np.zeros(len(xyz), dtype=bool), views)
    assert max(found, key=lambda d: d.z).view == 6
    assert displacement_outliers(xyz, np.full(len(xyz), 20.0), np.zeros(len(xyz), dtype=bool), views) == ()


def test_verdicts_on_a_measured_model(shared_data):
    from burnish.io.models import read_model

    model = read_model(shared_data / "mx" / "rnase_tutorial" / "model.cif")
    names = sorted({r.name for chain in model.structure[0] for r in chain})
    before = model.atoms.xyz.clone()
    scores = validate_model(model.structure, model.atoms, read_library(names).monlib, model.crystal).scores
    # mmtbx.validation.ramalyze of cctbx-base: 180 favoured, 1 allowed, 2 outliers of 183
    assert scores.favoured_percent == pytest.approx(98.36, abs=0.6)
    assert scores.outlier_percent == pytest.approx(1.09, abs=0.3)
    assert scores.twisted == 2  # mmtbx.validation.omegalyze
    assert torch.equal(model.atoms.xyz, before)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("rnase_tutorial", 14.83), ("lysozyme_unfinished", 6.82), ("1l2h_twin", 7.24), ("3io0", 18.19), ("1dur", 9.56)],
)
def test_clash_scores_are_those_of_reduce_and_probe(shared_data, name, expected):
    from burnish.io.models import read_model
    from burnish.validate.clashes import find_clashes
    from burnish.validate.model_validation import full_model

    structure = read_model(shared_data / "mx" / name / "model.cif").structure
    library = read_library(sorted({r.name for chain in structure[0] for r in chain}))
    score = find_clashes(full_model(structure, library.monlib)).score
    assert score == pytest.approx(expected, rel=0.10, abs=0.5)  # mmtbx.programs.clashscore2 of cctbx-base 2025.11


def test_hydrogens_beside_links_and_metals(shared_data):
    from burnish.io.models import read_model
    from burnish.validate.model_validation import full_model

    for name in ("4iid", "1dur", "3zt9", "5d5w"):  # glycans, an iron–sulphur cluster, manganese, DNA
        structure = read_model(shared_data / "mx" / name / "model.cif").structure
        library = read_library(sorted({r.name for chain in structure[0] for r in chain}))
        full = full_model(structure, library.monlib)
        assert full.is_hydrogen.sum() > 0.4 * len(full.xyz)
        assert np.isfinite(full.xyz).all()
        assert len(full.radius) == full.structure[0].count_atom_sites() == full.excluded.shape[0]
