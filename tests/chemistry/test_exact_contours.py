"""Exact contours, where cctbx-base is there; the fitted densities beside them."""

import math

import pytest
import torch

from burnish.chemistry.exact_contours import CCTBX_CLASS, contour_levels
from burnish.chemistry.ramachandran import CLASSES
from burnish.chemistry.residues import residue_views
from burnish.validate.ramachandran import validate_ramachandran
from burnish.workflows.cctbx_contours import cctbx_contours
from peptide_model import make_peptide


def test_every_class_has_a_name():
    assert set(CCTBX_CLASS) == set(CLASSES)


def test_levels_are_asked_for_in_degrees():
    asked = []

    def contours(questions: list[tuple[str, float, float]]) -> list[float]:
        asked.extend((name, round(phi, 6), round(psi, 6)) for name, phi, psi in questions)
        return [0.5] * len(questions)

    angles = torch.deg2rad(torch.tensor([[-60.0, 140.0], [80.0, 10.0]], dtype=torch.float64))
    assert contour_levels(contours, ["pre_proline", "glycine"], angles).tolist() == [0.5, 0.5]
    assert asked == [("pre-proline", -60.0, 140.0), ("glycine", 80.0, 10.0)]


def test_contours_decide_and_the_fitted_verdict_stays_beside():
    peptide = make_peptide(["ALA"] * 5, -62.0, -42.0)
    xyz = torch.tensor([c.atom.pos.tolist() for c in peptide[0].all()], dtype=torch.float64)
    found = validate_ramachandran(xyz, residue_views(peptide[0]), lambda asked: [0.0] * len(asked))
    assert {r.verdict for r in found} == {"outlier"} and {r.fitted for r in found} == {"favoured"}
    plain = validate_ramachandran(xyz, residue_views(peptide[0]))
    assert all(r.verdict == r.fitted for r in plain)


def test_against_cctbx():
    contours = cctbx_contours()
    if contours is None:
        pytest.skip("cctbx-base is not installed: pip install burnish[cctbx]")
    helix = torch.tensor([[math.radians(-60.0), math.radians(-45.0)]], dtype=torch.float64)
    assert float(contour_levels(contours, ["general"], helix)[0]) == pytest.approx(0.94175, abs=1e-4)
