"""Form factors of atoms as sums of Gaussians, for X-rays, electrons and neutrons.

All three kinds are written f(s) = Σ a_g exp(−b_g s²/4) with five terms: the constant of the X-ray fit and the neutron
scattering length are Gaussians of zero width. The coefficients come from gemmi's tables: X-rays from International
Tables C (1992) 6.1.1.4, electrons from table 4.3.2.2 (Peng 1996), neutrons from Sears (1992).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import gemmi
import numpy as np

from burnish.core.errors import DataError

TERMS = 5


class Radiation(StrEnum):
    """What is scattered by the atoms."""

    XRAY = "xray"
    ELECTRON = "electron"
    NEUTRON = "neutron"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormFactors:
    """Gaussian sums of the kinds of atoms in a model.

    Attributes
    ----------
    amplitude : a_g of each kind; e⁻ for X-rays, Å for electrons, fm for neutrons. (kinds, terms) float64
    width : b_g, Å². (kinds, terms) float64
    kind : kind of each atom. (n,) int64
    dispersion : f″ of each kind, e⁻; zero where none was given. (kinds,) float64
    """

    amplitude: np.ndarray
    width: np.ndarray
    kind: np.ndarray
    dispersion: np.ndarray

    def __len__(self) -> int:
        return len(self.kind)

    def dispersive(self) -> FormFactors:
        """f″ of the same atoms as points: the other real density of anomalous scatterers."""
        amplitude = np.zeros_like(self.amplitude)
        amplitude[:, -1] = self.dispersion
        zero = np.zeros_like(self.dispersion)
        return FormFactors(amplitude=amplitude, width=np.zeros_like(self.width), kind=self.kind, dispersion=zero)

    def at(self, s2: np.ndarray) -> np.ndarray:
        """Scattering of each kind without its displacement, at given 1/d², Å⁻². (kinds, len(s2))"""
        exponent = -0.25 * self.width[:, :, None] * np.asarray(s2, float)
        return np.sum(self.amplitude[:, :, None] * np.exp(exponent), axis=1)


def _gaussians(element: gemmi.Element, charge: int, radiation: Radiation) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.zeros(TERMS), np.zeros(TERMS)
    if radiation is Radiation.NEUTRON:
        a[0] = element.neutron92.calculate_sf(0.0)
    elif radiation is Radiation.ELECTRON:
        a[:], b[:] = np.reshape(element.c4322.get_coefs()[: 2 * TERMS], (2, TERMS))
    else:
        exact = gemmi.IT92_get_exact(element, charge) if charge else None
        fit = exact or element.it92
        if fit is not None:
            a[:4], b[:4], a[4] = fit.a, fit.b, fit.c
    return a, b


def form_factors(
    elements: Sequence[str],
    charges: Sequence[int] | None = None,
    radiation: Radiation = Radiation.XRAY,
    dispersion: Mapping[str, tuple[float, float]] | None = None,
) -> FormFactors:
    """Gaussian sums for a list of atoms.

    Parameters
    ----------
    elements : symbols of the atoms as gemmi spells them.
    charges : formal charges, heeded (for X-rays) only when `gemmi.IT92_set_ignore_charge(False)` was called: as in
        REFMAC and Servalcat, ions scatter as neutral atoms by default.
    radiation : what is scattered.
    dispersion : (f′, f″) by element symbol, e⁻; f′ is added to the constant term.

    Examples
    --------
    >>> round(float(form_factors(["C"]).amplitude.sum()), 2)
    6.0
    """
    charges = [0] * len(elements) if charges is None else [int(charge) for charge in charges]
    keys = list(zip(elements, charges, strict=True))
    kinds = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    amplitude, width = np.zeros((len(kinds), TERMS)), np.zeros((len(kinds), TERMS))
    f_double_prime = np.zeros(len(kinds))
    for (symbol, charge), index in kinds.items():
        element = gemmi.Element(symbol)
        amplitude[index], width[index] = _gaussians(element, charge, radiation)
        if element.atomic_number == 0 or not amplitude[index].any():
            raise DataError(
                f"element '{symbol}': no {radiation.value} form factor in the tables; "
                "expected a chemical element, correct the element column of the model"
            )
        if dispersion and symbol in dispersion:
            f_prime, f_double_prime[index] = dispersion[symbol]
            amplitude[index, _point_term(width[index])] += f_prime
    return FormFactors(
        amplitude=amplitude,
        width=width,
        kind=np.array([kinds[key] for key in keys], dtype=np.int64),
        dispersion=f_double_prime,
    )


def _point_term(width: np.ndarray) -> int:
    """Index of the term without width, which takes f′."""
    points = np.flatnonzero(width == 0.0)
    if len(points) == 0:
        raise DataError("anomalous scattering factors were given for a radiation that has none; use X-rays")
    return int(points[-1])


def anomalous_factors(elements: Sequence[str], wavelength: float) -> dict[str, tuple[float, float]]:
    """f′ and f″ of each element at a wavelength, from the tables of Cromer & Liberman in gemmi, e⁻.

    Parameters
    ----------
    elements : symbols, repeated ones are looked up once.
    wavelength : Å; positive.

    Examples
    --------
    >>> f_prime, f_double_prime = anomalous_factors(["Se"], 0.979)["Se"]
    >>> f_double_prime > 3.0
    True
    """
    energy = gemmi.hc / wavelength
    found = {}
    for symbol in dict.fromkeys(elements):
        number = gemmi.Element(symbol).atomic_number
        if number > 2:  # hydrogen and helium have none
            f_prime, f_double_prime = gemmi.cromer_liberman(z=number, energy=energy)
            found[symbol] = (float(f_prime), float(f_double_prime))
    return found
