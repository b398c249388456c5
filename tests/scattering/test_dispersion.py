"""f′ and f″ against published values."""

import pytest

from burnish.core.errors import InputError
from burnish.scattering.dispersion import dispersion_at


@pytest.mark.parametrize(
    ("element", "wavelength", "real", "imaginary"),
    [  # International Tables C (2004), table 4.2.6.8, Cu Kα 1.54056 Å and Mo Kα 0.70930 Å
        ("S", 1.54056, 0.319, 0.557),
        ("Fe", 1.54056, -1.134, 3.197),
        ("Fe", 0.70930, 0.346, 0.844),
        ("Zn", 1.54056, -1.549, 0.678),
    ],
)
def test_published_values(element, wavelength, real, imaginary):
    found = dispersion_at([element], wavelength)[element]
    assert found == pytest.approx((real, imaginary), abs=0.12)


def test_hydrogen_and_bad_wavelength():
    assert dispersion_at(["H", "D"], 1.0) == {"H": (0.0, 0.0), "D": (0.0, 0.0)}
    with pytest.raises(InputError, match="expected a positive number"):
        dispersion_at(["C"], 0.0)
