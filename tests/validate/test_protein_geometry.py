"""Ramachandran, Cβ, peptides, rotamers: known conformations get the right values and verdicts."""

import math

import gemmi
import numpy as np
import pytest
import torch

from burnish.chemistry.residues import residue_views
from burnish.geometry.torsions import rotate_about_axis
from burnish.validate.cbeta import ideal_cbeta, validate_cbeta
from burnish.validate.molprobity import clashscore_standing, molprobity_score
from burnish.validate.peptides import validate_peptides
from burnish.validate.ramachandran import validate_ramachandran
from burnish.validate.rotamers import validate_rotamers
from peptide_model import make_peptide, positions


def test_helix_is_favoured_and_measured_exactly():
    structure = make_peptide(["ALA"] * 6, -62.0, -42.0)
    xyz = positions(structure)
    found = validate_ramachandran(xyz, residue_views(structure[0]))
    assert [r.view for r in found] == [1, 2, 3, 4]
    for residue in found:
        assert math.isclose(math.degrees(residue.phi), -62.0, abs_tol=1e-6)
        assert math.isclose(math.degrees(residue.psi), -42.0, abs_tol=1e-6)
        assert residue.verdict == "favoured"


def test_verdicts_do_not_depend_on_the_frame():
    structure = make_peptide(["ALA", "GLY", "VAL", "PRO", "ALA"], -80.0, 150.0)
    views, xyz = residue_views(structure[0]), positions(structure)
    axis = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    turned = rotate_about_axis(xyz, axis, axis, torch.tensor(1.1, dtype=torch.float64)) + 5.0
    for a, b in zip(validate_ramachandran(xyz, views), validate_ramachandran(turned, views), strict=True):
        assert a.kind == b.kind
        assert math.isclose(a.level, b.level, rel_tol=1e-6)


def test_cis_proline_is_a_class_of_its_own():
    trans = make_peptide(["ALA", "PRO", "ALA"], -75.0, 150.0)
    cis = make_peptide(["ALA", "PRO", "ALA"], -75.0, 150.0, omega_deg=0.0)
    kinds = [validate_ramachandran(positions(s), residue_views(s[0]))[0].kind for s in (trans, cis)]
    assert kinds == ["trans_proline", "cis_proline"]


@pytest.mark.parametrize(("omega", "kind"), [(178.0, "trans"), (-155.0, "trans"), (5.0, "cis"), (-100.0, "twisted")])
def test_peptides(omega, kind):
    structure = make_peptide(["ALA", "PRO"], -75.0, 150.0, omega_deg=omega)
    (found,) = validate_peptides(positions(structure), residue_views(structure[0]))
    assert (found.kind, found.is_proline) == (kind, True)
    assert math.isclose(math.degrees(found.omega), omega, abs_tol=1e-6)


def test_cbeta_deviation_is_the_distance_moved():
    structure = make_peptide(["ALA", "VAL", "GLY"], -62.0, -42.0)
    views, xyz = residue_views(structure[0]), positions(structure)
    assert [d.deviation for d in validate_cbeta(xyz, views)] == pytest.approx([0.0, 0.0], abs=1e-9)
    moved = xyz.clone()
    moved[views[1].atoms["CB"]] += torch.tensor([0.0, 0.3, 0.0], dtype=torch.float64)
    found = validate_cbeta(moved, views)
    assert found[1].deviation == pytest.approx(0.3)
    assert [d.is_outlier for d in found] == [False, True]


def test_mirror_image_has_its_cbeta_on_the_wrong_side():
    structure = make_peptide(["ALA"], -62.0, -42.0)
    xyz = positions(structure)
    across = torch.linalg.cross(xyz[0] - xyz[1], xyz[2] - xyz[1])
    across = across / across.norm()
    mirrored = xyz.clone()
    mirrored[4] -= 2.0 * ((xyz[4] - xyz[1]) @ across) * across
    (found,) = validate_cbeta(mirrored, residue_views(structure[0]))
    assert found.deviation == pytest.approx(float((mirrored[4] - xyz[4]).norm()))
    assert found.deviation > 1.5


def test_glycine_has_an_ideal_cbeta_too():
    backbone = positions(make_peptide(["GLY"], -62.0, -42.0))
    built = ideal_cbeta(backbone[0:1], backbone[1:2], backbone[2:3], "GLY")
    assert float((built[0] - backbone[1]).norm()) == pytest.approx(1.530)


def test_incomplete_side_chains_are_not_judged():
    structure = make_peptide(["LEU", "SER"], -62.0, -42.0)
    assert validate_rotamers(positions(structure), residue_views(structure[0])) == ()


def test_empty_model():
    model = gemmi.Model(1)
    xyz = torch.zeros(0, 3, dtype=torch.float64)
    views = residue_views(model)
    assert validate_ramachandran(xyz, views) == ()
    assert validate_peptides(xyz, views) == ()
    assert validate_cbeta(xyz, views) == ()


def test_molprobity_score():
    # by hand from the published formula
    expected = 0.426 * math.log(11.0) + 0.33 * math.log(3.0) + 0.25 * math.log(2.0) + 0.5
    assert molprobity_score(10.0, 3.0, 97.0) == pytest.approx(expected)
    assert molprobity_score(10.0, 0.5, 99.0) < molprobity_score(10.0, 1.5, 99.0)


def test_standing_among_structures():
    assert clashscore_standing(12.3, 1.65).percentile == pytest.approx(50.0)
    assert clashscore_standing(6.0, 1.65).percentile == pytest.approx(90.0, abs=0.1)
    assert np.isnan(clashscore_standing(5.0, 0.9).percentile)
