"""Constants against published values."""

import pytest

from burnish.core.constants import electron_wavelength


@pytest.mark.parametrize(
    ("voltage", "wavelength"),
    # Spence, High-Resolution Electron Microscopy, 4th ed., table 2.1
    [(100e3, 0.037014), (200e3, 0.025079), (300e3, 0.019687)],
)
def test_wavelength_agrees_with_the_published_table(voltage: float, wavelength: float) -> None:
    assert electron_wavelength(voltage) == pytest.approx(wavelength, abs=1e-6)
