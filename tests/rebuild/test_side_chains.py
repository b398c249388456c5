"""Side chains from the dictionary: geometry of the two hard ones, and the rotamer that density shows."""

import numpy as np
import pytest
import torch
from tests.rebuild.scenes import gaussians

from burnish.chemistry.library import read_library
from burnish.geometry.torsions import torsion_angles
from burnish.maps.sampling import spline_map
from burnish.rebuild.moves.side_chain_atoms import _supported
from burnish.rebuild.side_chains import Fitted, fit_side_chain, side_chain_rotamers, side_chain_template
from peptide_model import make_peptide, positions

LIBRARY = read_library(["ARG", "LEU", "PRO", "SO4"], environment={}, debian=None)
BACKBONE = positions(make_peptide(["ALA", "ALA", "ALA"], -65.0, 140.0)).numpy()[5:8]


def test_proline_closes_its_ring_in_both_puckers():
    template = side_chain_template(LIBRARY.monlib, "PRO")
    assert template is not None
    names, _, xyz = side_chain_rotamers(template, BACKBONE)
    assert names == ["endo", "exo"]
    at = {n: xyz[:, k] for k, n in enumerate(template.side)}
    np.testing.assert_allclose(np.linalg.norm(at["CD"] - BACKBONE[0], axis=1), 1.473, atol=0.08)
    np.testing.assert_allclose(np.linalg.norm(at["CD"] - at["CG"], axis=1), 1.505, atol=1e-6)
    assert np.linalg.norm(at["CG"][0] - at["CG"][1]) > 0.8


def test_arginine_has_nh1_beside_cd():
    template = side_chain_template(LIBRARY.monlib, "ARG")
    assert template is not None
    at = dict(zip(template.names, torch.from_numpy(template.xyz)[:, None], strict=True))
    assert abs(float(torsion_angles(*(at[n] for n in ("CD", "NE", "CZ", "NH1"))))) < 0.3


@pytest.mark.parametrize("number", [0, 1, 3])
def test_the_rotamer_in_density_is_found(number):
    template = side_chain_template(LIBRARY.monlib, "LEU")
    assert template is not None
    names, _, xyz = side_chain_rotamers(template, BACKBONE, spread=False)
    spline = spline_map(gaussians(xyz[number], xyz.reshape(-1, 3)))
    found = fit_side_chain(template, BACKBONE, spline, 1.0, None)
    assert found.rotamer == names[number]
    np.testing.assert_allclose(found.xyz, xyz[number], atol=0.5)
    assert found.density.min() > 2.0


def test_components_that_are_no_amino_acids_have_no_template():
    assert side_chain_template(LIBRARY.monlib, "SO4") is None
    assert side_chain_template(LIBRARY.monlib, "XXX") is None


@pytest.mark.parametrize(
    ("density", "difference", "kept"),
    [(1.5, 2.0, 4), (0.1, 2.0, 1), (1.5, 0.5, 1), (0.1, 5.0, 4), (-1.0, [5.0, 5.0, 0.5], 2)],
)
def test_atoms_that_the_difference_map_shows_need_no_other_density(density, difference, kept):
    template = side_chain_template(LIBRARY.monlib, "LEU")
    assert template is not None
    missing = np.array([n != "CB" for n in template.side])
    fitted = Fitted(rotamer="mt", xyz=np.zeros((4, 3)), density=np.full(4, density), score=0.0)
    z = np.zeros(4)
    z[1:] = difference
    assert _supported(template, fitted, z, missing).sum() == kept
