"""What rounds of rebuilding share that can be told without a model."""

from pathlib import Path

import pytest

from burnish.options.rebuild import CycleOptions, RebuildOptions
from burnish.workflows.model_rounds import torsion_weights

GIVEN = {"model": Path("model.cif"), "data": Path("data.mtz"), "out": Path("out")}


@pytest.mark.parametrize(("d_min", "weight"), [(1.2, 0.0), (2.0, 0.0), (2.25, 2.0), (2.4, 3.2), (2.5, 4.0), (3.5, 4.0)])
def test_torsions_are_restrained_more_the_less_a_map_shows(d_min, weight):
    for options in (CycleOptions(**GIVEN), RebuildOptions(**GIVEN)):
        assert torsion_weights(options, d_min) == pytest.approx({"ramachandran": weight, "chi": weight})


def test_asked_weights_are_taken():
    assert torsion_weights(CycleOptions(**GIVEN, ramachandran=0.0), 3.0) == {"ramachandran": 0.0, "chi": 0.0}
    assert torsion_weights(CycleOptions(**GIVEN, ramachandran=1.0, chi=0.5), 1.5) == {"ramachandran": 1.0, "chi": 0.5}
