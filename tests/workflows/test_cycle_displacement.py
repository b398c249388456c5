"""Which displacement models a cycle tries: by the number of measured values alone."""

import pytest

from burnish.models.refinement_settings import RefinementSettings
from burnish.workflows.cycle_displacement import displacement_options, models_to_try


@pytest.mark.parametrize(
    ("d_min", "observations", "atoms", "expected"),
    [
        (1.2, 43_000, 2_200, ("iso", "aniso")),  # atomic resolution: anisotropic unless the data say no
        (1.85, 16_700, 1_465, ("iso", "tls", "aniso")),
        (1.85, 9_000, 1_465, ("iso", "tls")),
        (3.0, 16_600, 1_658, ("iso", "tls")),  # many data, and none that show tensors
        (3.5, 5_000, 1_658, ("one", "iso", "tls")),
    ],
)
def test_models_that_the_data_allow(d_min, observations, atoms, expected):
    assert models_to_try(d_min, observations, atoms, RefinementSettings()) == expected


def test_isotropic_means_that_only_where_tensors_are_the_rule():
    assert displacement_options("iso", ("iso", "aniso")) == {"adp": "iso", "tls": "none"}
    assert displacement_options("iso", ("iso", "tls", "aniso")) == {"adp": "auto", "tls": "none"}
    assert displacement_options("tls", ("iso", "tls")) == {"adp": "auto", "tls": "auto"}
    assert displacement_options("one", ("one", "iso", "tls")) == {"adp": "fixed", "tls": "none"}
