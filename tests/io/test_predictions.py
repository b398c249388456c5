"""Predicted models: B from confidence, doubtful residues left out."""

from pathlib import Path

import pytest
from tests.workflows.small_crystal import helix

from burnish.core.errors import DataError
from burnish.io.predictions import from_prediction

SOURCE = Path("model.cif")


def predicted(scale: float = 1.0):
    structure = helix(6)
    for number, residue in enumerate(structure[0][0]):
        for atom in residue:
            atom.b_iso = scale * (40.0 + 10.0 * number)
    return structure


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_confidence_becomes_b(scale):
    before = predicted(scale)
    model, dropped = from_prediction(SOURCE, before)
    assert dropped == 1 and len(model[0][0]) == 5
    b = [residue[0].b_iso for residue in model[0][0]]
    assert b == sorted(b, reverse=True) and b[-1] < 20.0
    assert before[0][0][0][0].b_iso == pytest.approx(scale * 40.0)


def test_what_is_no_confidence_is_refused():
    structure = predicted()
    structure[0][0][3][0].b_iso = 120.0
    with pytest.raises(DataError, match=r"model.cif: B from .* cannot be pLDDT"):
        from_prediction(SOURCE, structure)
    low = predicted()
    for cra in low[0].all():
        cra.atom.b_iso = 30.0
    with pytest.raises(DataError, match="no residue has pLDDT 50 or more"):
        from_prediction(SOURCE, low)
