"""Anomalous scattering of elements away from their edges: f′ and f″ by wavelength."""

from __future__ import annotations

from collections.abc import Iterable

import gemmi

from burnish.core.errors import InputError

HC = 12398.4198  # eV Å (CODATA 2018)


def dispersion_at(elements: Iterable[str], wavelength: float) -> dict[str, tuple[float, float]]:
    """f′ and f″ of each element, e⁻ (Cromer & Liberman 1981, in gemmi's implementation).

    Near an absorption edge the values of a fluorescence scan are better.

    Parameters
    ----------
    elements : symbols; hydrogen and what the tables lack get zeros.
    wavelength : Å; positive.

    Examples
    --------
    >>> f1, f2 = dispersion_at(["Fe"], 1.0)["Fe"]
    >>> 1.0 < f2 < 2.0
    True
    """
    if wavelength <= 0.0:
        raise InputError(f"wavelength {wavelength:g} Å: expected a positive number")
    found = {}
    for symbol in set(elements):
        number = gemmi.Element(symbol).atomic_number
        real, imaginary = gemmi.cromer_liberman(z=number, energy=HC / wavelength) if number > 2 else (0.0, 0.0)
        found[symbol] = (float(real), float(imaginary))
    return found
