"""Phase aberrations of an optics group: beam tilt, odd and even Zernike polynomials.

The polynomials are RELION's: of the frequency in Å⁻¹ (not scaled to a unit disc), without normalisation, in the order
of Zivanov, Nakane & Scheres, IUCrJ 7 (2020) 253: odd (n, m) = (1, −1) (1, 1) (3, −3) (3, −1) (3, 1) (3, 3) (5, −5) …,
even (0, 0) (2, −2) (2, 0) (2, 2) (4, −4) … A negative m has sin(|m|θ), else cos(mθ).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from burnish.core.constants import electron_wavelength
from burnish.data.optics import OpticsGroup
from burnish.optics.frequency import magnified

TILT_TERMS = (4, 3)  # places of (3, 1) and (3, −1), x and y of a beam tilt, in the odd list
SHIFT_TERMS = (1, 0)  # places of (1, 1) and (1, −1), x and y of a shift of the image


def zernike_orders(count: int, *, odd: bool) -> tuple[tuple[int, int], ...]:
    """(n, m) of the first `count` polynomials.

    Examples
    --------
    >>> zernike_orders(6, odd=True)
    ((1, -1), (1, 1), (3, -3), (3, -1), (3, 1), (3, 3))
    """
    orders: list[tuple[int, int]] = []
    n = 1 if odd else 0
    while len(orders) < count:
        orders += [(n, m) for m in range(-n, n + 1, 2)]
        n += 2
    return tuple(orders[:count])


def terms_up_to(n_max: int, *, odd: bool) -> int:
    """Number of polynomials with n ≤ n_max.

    Examples
    --------
    >>> terms_up_to(3, odd=True), terms_up_to(4, odd=False)
    (6, 9)
    """
    return sum(n + 1 for n in range(1 if odd else 0, n_max + 1, 2))


def zernike(frequency: Tensor, count: int, *, odd: bool) -> Tensor:
    """The first `count` odd or even polynomials at each frequency.

    Parameters
    ----------
    frequency : (x, y), Å⁻¹, in the particle's plane (after the magnification matrix). (..., 2)

    Returns
    -------
    Values, Å⁻ⁿ mixed over the terms of a polynomial as in RELION. (..., count)

    Notes
    -----
    R_n^m(ρ) = Σ_k (−1)^k (n−k)! / (k! ((n+m)/2−k)! ((n−m)/2−k)!) ρ^(n−2k). ρ^m cos mθ and ρ^m sin mθ are the real and
    imaginary part of (x + iy)^m, so there is no angle to be undefined at the origin.
    """
    x, y = frequency[..., 0], frequency[..., 1]
    s2 = x * x + y * y
    columns = []
    for n, m in zernike_orders(count, odd=odd):
        order = abs(m)
        real, imaginary = _power(x, y, order)
        radial = torch.zeros_like(s2)
        for k in range((n - order) // 2, -1, -1):
            radial = radial + _radial_coefficient(n, order, k) * s2 ** ((n - order) // 2 - k)
        columns.append(radial * (imaginary if m < 0 else real))
    return torch.stack(columns, dim=-1) if columns else frequency.new_zeros((*frequency.shape[:-1], 0))


def monomials(frequency: Tensor, count: int, *, odd: bool) -> Tensor:
    """Leading term of each polynomial, sⁿ cos mθ or sⁿ sin |m|θ: what aberrations are known by (coma, trefoil, C_s).

    Parameters
    ----------
    frequency : (x, y), Å⁻¹, in the particle's plane. (..., 2)

    Returns
    -------
    Values in the order of `zernike`, Å⁻ⁿ. (..., count)
    """
    x, y = frequency[..., 0], frequency[..., 1]
    s2 = x * x + y * y
    columns = []
    for n, m in zernike_orders(count, odd=odd):
        real, imaginary = _power(x, y, abs(m))
        columns.append(s2 ** ((n - abs(m)) // 2) * (imaginary if m < 0 else real))
    return torch.stack(columns, dim=-1) if columns else frequency.new_zeros((*frequency.shape[:-1], 0))


def monomials_to_zernike(count: int, *, odd: bool) -> Tensor:
    """Matrix that turns coefficients of `monomials` into those of `zernike` for the same phase. (count, count) float64

    Examples
    --------
    >>> (monomials_to_zernike(4, odd=False)[:, 2]).tolist()    # s² = ½ Z_2^0 + ½ Z_0^0
    [0.5, 0.0, 0.5, 0.0]
    """
    orders = zernike_orders(count, odd=odd)
    place = {order: i for i, order in enumerate(orders)}
    forward = torch.zeros(count, count, dtype=torch.float64)  # monomial coefficients of each Zernike polynomial
    for column, (n, m) in enumerate(orders):
        for k in range((n - abs(m)) // 2 + 1):
            forward[place[n - 2 * k, m], column] = _radial_coefficient(n, abs(m), k)
    return torch.linalg.inv(forward)


def even_phase(k: Tensor, coefficients: Sequence[float]) -> Tensor:
    """Symmetric phase of the even terms at frequencies in the particle's plane, rad. (...)"""
    return zernike(k, len(coefficients), odd=False) @ k.new_tensor(coefficients)


def odd_phase(frequency: Tensor, optics: OpticsGroup) -> Tensor:
    """Antisymmetric phase of beam tilt and odd Zernike terms, rad.

    Parameters
    ----------
    frequency : (x, y) of each Fourier pixel in the image as recorded, Å⁻¹. (..., 2)
    optics : with beam tilt (t_x, t_y) in rad.

    Returns
    -------
    φ of each pixel; the image of a projection P is CTF · P · exp(iφ). (...)

    Notes
    -----
    φ = −2π C_s λ² s² (t · k) + Σ c_i Z_i(k) (Zivanov et al., eLife 7 (2018) e42166, eq. 8 in RELION's sign).
    """
    k = magnified(frequency, optics.magnification)
    phase = k.new_zeros(k.shape[:-1])
    if optics.odd_zernike is not None:
        phase = phase + zernike(k, len(optics.odd_zernike), odd=True) @ k.new_tensor(optics.odd_zernike)
    if any(optics.beam_tilt):
        scale = tilt_scale(optics.voltage, optics.spherical_aberration)
        phase = phase - scale * k.square().sum(dim=-1) * (k @ k.new_tensor(optics.beam_tilt))
    return phase


def odd_factor(frequency: Tensor, optics: OpticsGroup) -> Tensor:
    """exp(iφ) of beam tilt and odd Zernike terms: multiply projections with it, images with its conjugate. (...)"""
    phase = odd_phase(frequency, optics)
    return torch.complex(torch.cos(phase), torch.sin(phase))


def tilt_scale(voltage: float, spherical_aberration: float) -> float:
    """2π C_s λ², Å³ rad⁻¹: phase of a beam tilt of 1 rad at s = 1 Å⁻¹."""
    return 2.0 * math.pi * spherical_aberration * electron_wavelength(voltage) ** 2


def split_beam_tilt(
    odd: Sequence[float], voltage: float, spherical_aberration: float
) -> tuple[tuple[float, float], tuple[float, ...]]:
    """Move the coma of fitted odd terms into a beam tilt.

    Parameters
    ----------
    odd : coefficients of at least the six terms up to n = 3, rad.
    voltage : V.
    spherical_aberration : Å; not zero.

    Returns
    -------
    tilt : (x, y), rad.
    rest : coefficients that describe the same phase together with this tilt; the (3, ±1) terms are 0.

    Notes
    -----
    Z_3^1 = (3s² − 2) x: c Z_3^1 = 3c s² x − 2c x, so t_x = −3c / (2πC_sλ²) and −2c joins the shift term, as in
    RELION.

    Examples
    --------
    >>> tilt, rest = split_beam_tilt([0, 0, 0, 0, 1.0, 0], 300e3, 2.7e7)
    >>> rest
    (0.0, -2.0, 0.0, 0.0, 0.0, 0.0)
    """
    scale = tilt_scale(voltage, spherical_aberration)
    rest = [float(c) for c in odd]
    tilt = []
    for coma, shift in zip(TILT_TERMS, SHIFT_TERMS, strict=True):
        tilt.append(-3.0 * rest[coma] / scale)
        rest[shift] -= 2.0 * rest[coma]
        rest[coma] = 0.0
    return (tilt[0], tilt[1]), tuple(rest)


def join_beam_tilt(optics: OpticsGroup, count: int = 6) -> tuple[float, ...]:
    """Odd terms that describe tilt and odd Zernike terms of a group together: the inverse of `split_beam_tilt`.

    Parameters
    ----------
    count : number of terms wanted, at least 6; longer lists of the group are kept whole.
    """
    given = list(optics.odd_zernike or ())
    joined = given + [0.0] * (max(count, 6) - len(given))
    scale = tilt_scale(optics.voltage, optics.spherical_aberration)
    for tilt, coma, shift in zip(optics.beam_tilt, TILT_TERMS, SHIFT_TERMS, strict=True):
        coefficient = -scale * tilt / 3.0
        joined[coma] += coefficient
        joined[shift] += 2.0 * coefficient
    return tuple(joined)


def _power(x: Tensor, y: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of (x + iy)^order, by multiplication: exact at the origin and differentiable there."""
    real, imaginary = torch.ones_like(x), torch.zeros_like(x)
    for _ in range(order):
        real, imaginary = real * x - imaginary * y, real * y + imaginary * x
    return real, imaginary


def _radial_coefficient(n: int, m: int, k: int) -> int:
    """Factor of ρ^(n−2k) in R_n^m."""
    numerator = (-1) ** k * math.factorial(n - k)
    return numerator // (math.factorial(k) * math.factorial((n + m) // 2 - k) * math.factorial((n - m) // 2 - k))
