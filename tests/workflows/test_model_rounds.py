"""What rounds of rebuilding share that can be told without a model."""

from pathlib import Path

import pytest

from burnish.models.restraints.weights import GeometryWeights
from burnish.options.rebuild import CycleOptions, RebuildOptions
from burnish.options.refine import RefineOptions
from burnish.workflows.model_rounds import torsion_weights
from burnish.workflows.refine_model import refinement_settings

GIVEN = {"model": Path("model.cif"), "data": Path("data.mtz"), "out": Path("out")}


@pytest.mark.parametrize(("d_min", "weight"), [(1.2, 0.0), (2.0, 0.0), (2.25, 2.0), (2.4, 3.2), (2.5, 4.0), (3.5, 4.0)])
def test_torsions_are_restrained_more_the_less_a_map_shows(d_min, weight):
    for options in (CycleOptions(**GIVEN), RebuildOptions(**GIVEN)):
        assert torsion_weights(options, d_min) == pytest.approx({"ramachandran": weight, "chi": weight})


def test_asked_weights_are_taken():
    assert torsion_weights(CycleOptions(**GIVEN, ramachandran=0.0), 3.0) == {"ramachandran": 0.0, "chi": 0.0}
    assert torsion_weights(CycleOptions(**GIVEN, ramachandran=1.0, chi=0.5), 1.5) == {"ramachandran": 1.0, "chi": 0.5}


@pytest.mark.parametrize(
    ("ramachandran", "chi", "contact"), [(0.0, 0.0, 1.0), (0.5, 0.0, 1.0), (2.8, 2.8, 2.8), (0.0, 4.0, 4.0)]
)
def test_contacts_count_as_much_as_torsions(ramachandran, chi, contact):
    settings = refinement_settings(RefineOptions(**GIVEN, ramachandran=ramachandran, chi=chi))
    assert settings.geometry == GeometryWeights(contact=contact)
