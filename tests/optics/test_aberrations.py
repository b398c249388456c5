"""Beam tilt and Zernike terms: closed forms, parity, gradients, and the two ways to write a coma."""

from __future__ import annotations

import math

import pytest
import torch

from burnish.core.constants import electron_wavelength
from burnish.data.optics import OpticsGroup
from burnish.optics.aberrations import (
    even_phase,
    join_beam_tilt,
    monomials,
    monomials_to_zernike,
    odd_factor,
    odd_phase,
    split_beam_tilt,
    terms_up_to,
    tilt_scale,
    zernike,
    zernike_orders,
)
from burnish.optics.frequency import image_frequencies


def make_group(**changes) -> OpticsGroup:
    values = {
        "name": "a",
        "voltage": 300e3,
        "spherical_aberration": 2.7e7,
        "amplitude_contrast": 0.1,
        "pixel_size": 1.2,
        "box_size": 16,
    }
    return OpticsGroup(**(values | changes))


def test_order_of_the_terms():
    assert zernike_orders(12, odd=True)[6:] == ((5, -5), (5, -3), (5, -1), (5, 1), (5, 3), (5, 5))
    assert zernike_orders(9, odd=False) == ((0, 0), (2, -2), (2, 0), (2, 2), (4, -4), (4, -2), (4, 0), (4, 2), (4, 4))
    assert [terms_up_to(n, odd=True) for n in (1, 3, 5)] == [2, 6, 12]
    assert [terms_up_to(n, odd=False) for n in (0, 2, 4, 6)] == [1, 4, 9, 16]


def test_closed_forms():
    rho, theta = 0.7, 0.6
    k = torch.tensor([rho * math.cos(theta), rho * math.sin(theta)], dtype=torch.float64)
    odd, even = zernike(k, 6, odd=True), zernike(k, 9, odd=False)
    coma = 3 * rho**3 - 2 * rho
    expected_odd = [
        rho * math.sin(theta),
        rho * math.cos(theta),
        rho**3 * math.sin(3 * theta),
        coma * math.sin(theta),
        coma * math.cos(theta),
        rho**3 * math.cos(3 * theta),
    ]
    second = 4 * rho**4 - 3 * rho**2
    expected_even = [
        1.0,
        rho**2 * math.sin(2 * theta),
        2 * rho**2 - 1,
        rho**2 * math.cos(2 * theta),
        rho**4 * math.sin(4 * theta),
        second * math.sin(2 * theta),
        6 * rho**4 - 6 * rho**2 + 1,
        second * math.cos(2 * theta),
        rho**4 * math.cos(4 * theta),
    ]
    torch.testing.assert_close(odd, torch.tensor(expected_odd, dtype=torch.float64))
    torch.testing.assert_close(even, torch.tensor(expected_even, dtype=torch.float64))


def test_orthogonal_on_the_unit_disc():
    """Terms of one parity are orthogonal, ∫ Z² = π ε / (2n + 2) with ε = 2 for m = 0 (Noll, JOSA 66 (1976) 207)."""
    side = 401
    grid = torch.linspace(-1, 1, side, dtype=torch.float64)
    k = torch.stack(torch.meshgrid(grid, grid, indexing="xy"), dim=-1).reshape(-1, 2)
    k = k[k.square().sum(dim=1) <= 1]
    area = (2 / (side - 1)) ** 2
    for odd, count in ((True, 12), (False, 9)):
        z = zernike(k, count, odd=odd)
        norms = [math.pi * (2 if m == 0 else 1) / (2 * n + 2) for n, m in zernike_orders(count, odd=odd)]
        torch.testing.assert_close(
            z.T @ z * area, torch.diag(torch.tensor(norms, dtype=torch.float64)), rtol=0, atol=0.01
        )


def test_parity():
    k = image_frequencies(16, 1.2, dtype=torch.float64)
    torch.testing.assert_close(zernike(-k, 12, odd=True), -zernike(k, 12, odd=True))
    torch.testing.assert_close(zernike(-k, 9, odd=False), zernike(k, 9, odd=False))
    group = make_group(beam_tilt=(1e-3, 2e-3), odd_zernike=(0.1, 0.2, 3.0, 0.5, -0.4, 2.0))
    # a real image stays real: the factor at −k is the conjugate
    torch.testing.assert_close(odd_factor(-k, group), odd_factor(k, group).conj())


def test_beam_tilt_in_relions_sign():
    """−0.36° · 1e-3 · C_s λ² (t · k) s² for a tilt in mrad, the phase that `relion_reconstruct` takes away."""
    tilt, k = (0.3e-3, -0.2e-3), torch.tensor([0.15, 0.2], dtype=torch.float64)
    degrees = -0.36 * 2.7e7 * electron_wavelength(300e3) ** 2 * (0.3 * 0.15 - 0.2 * 0.2) * 0.25**2
    assert odd_phase(k, make_group(beam_tilt=tilt)).item() == pytest.approx(math.radians(degrees), rel=1e-12)
    assert odd_factor(k, make_group(beam_tilt=tilt)).angle().item() == pytest.approx(math.radians(degrees), rel=1e-9)


def test_tilt_and_coma_are_two_ways_to_write_one_phase():
    k = image_frequencies(16, 1.2, dtype=torch.float64)
    odd = (0.3, -0.5, 4.0, 2.0, -3.0, 5.0)
    tilt, rest = split_beam_tilt(odd, 300e3, 2.7e7)
    as_terms = odd_phase(k, make_group(odd_zernike=odd))
    as_tilt = odd_phase(k, make_group(odd_zernike=rest, beam_tilt=tilt))
    torch.testing.assert_close(as_terms, as_tilt)
    back = join_beam_tilt(make_group(odd_zernike=rest, beam_tilt=tilt))
    assert back == pytest.approx(odd, rel=1e-12)
    assert join_beam_tilt(make_group(odd_zernike=(0.0,) * 12), 6) == (0.0,) * 12  # longer lists are kept


def test_no_aberration_is_no_phase():
    k = image_frequencies(16, 1.2)
    assert torch.equal(odd_phase(k, make_group()), torch.zeros(16, 9))
    assert torch.equal(odd_factor(k, make_group()), torch.ones(16, 9, dtype=torch.complex64))


def test_gradients_also_at_the_origin():
    k = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.1, -0.2]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda q: zernike(q, 12, odd=True), [k])
    assert torch.autograd.gradcheck(lambda q: zernike(q, 9, odd=False), [k])
    assert torch.autograd.gradcheck(lambda q: even_phase(q, [0.1] * 9), [k])


def test_scale_of_a_tilt():
    """One mrad at 300 kV, Cs 2.7 mm turns the phase by 2.4 rad at 3 Å."""
    assert tilt_scale(300e3, 2.7e7) * 1e-3 / 3**3 == pytest.approx(2.435, abs=0.001)


@pytest.mark.parametrize(("odd", "count"), [(True, 12), (False, 16)])
def test_monomials_and_polynomials_write_the_same_phase(odd, count):
    g = torch.Generator().manual_seed(1)
    k = torch.randn(40, 2, generator=g, dtype=torch.float64)
    coefficients = torch.randn(count, generator=g, dtype=torch.float64)
    as_zernike = monomials_to_zernike(count, odd=odd) @ coefficients
    torch.testing.assert_close(
        zernike(k, count, odd=odd) @ as_zernike, monomials(k, count, odd=odd) @ coefficients, rtol=1e-9, atol=1e-9
    )


def test_monomials_are_single_terms():
    k = torch.tensor([0.0, 0.5], dtype=torch.float64)  # θ = 90°
    expected_odd = [0.5, 0.0, -0.125, 0.125, 0.0, 0.0]
    expected_even = [1.0, 0.0, 0.25, -0.25, 0.0, 0.0, 0.0625, -0.0625, 0.0625]
    torch.testing.assert_close(monomials(k, 6, odd=True), torch.tensor(expected_odd, dtype=torch.float64))
    torch.testing.assert_close(monomials(k, 9, odd=False), torch.tensor(expected_even, dtype=torch.float64))
