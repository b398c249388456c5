"""Confidence of predicted models as B."""

import numpy as np
import pytest

from burnish.models.predicted import LARGEST_B, b_from_plddt, looks_predicted


def test_known_values():
    b = b_from_plddt(np.array([100.0, 70.0, 0.0]))
    assert b[1] == pytest.approx(8 * np.pi**2 / 3 * 1.5**2)
    assert b[0] < 10.0 and b[2] == LARGEST_B


def test_more_confident_is_sharper():
    assert (np.diff(b_from_plddt(np.linspace(55.0, 100.0, 30))) < 0).all()


def test_what_looks_predicted():
    residue = np.repeat(np.arange(20), 5)
    plddt = np.linspace(60.0, 95.0, 20)[residue]
    assert looks_predicted(plddt, residue)
    assert not looks_predicted(plddt + np.random.default_rng(0).normal(0, 1, 100), residue)  # B of atoms
    assert not looks_predicted(np.full(100, 20.0), residue)  # one B for all
    assert not looks_predicted(plddt * 2, residue)
    assert not looks_predicted(np.full(3, 90.0), np.arange(3))
