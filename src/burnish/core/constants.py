"""Physical constants, each with its source."""

from __future__ import annotations

import math

PLANCK = 6.62607015e-34  # J s, exact (SI 2019)
ELECTRON_MASS = 9.1093837015e-31  # kg, CODATA 2018
ELEMENTARY_CHARGE = 1.602176634e-19  # C, exact (SI 2019)
LIGHT_SPEED = 299_792_458.0  # m/s, exact


def electron_wavelength(voltage: float) -> float:
    """Relativistic wavelength of an electron, Å.

    Parameters
    ----------
    voltage : accelerating voltage, V; positive.

    Notes
    -----
    λ = h / sqrt(2 m e V (1 + eV / 2mc²)) (Reimer & Kohl, Transmission Electron Microscopy, 5th ed., eq. 2.12).

    Examples
    --------
    >>> round(electron_wavelength(300e3), 6)
    0.019687
    """
    energy = ELEMENTARY_CHARGE * voltage
    rest = ELECTRON_MASS * LIGHT_SPEED**2
    return 1e10 * PLANCK / math.sqrt(2.0 * ELECTRON_MASS * energy * (1.0 + energy / (2.0 * rest)))
