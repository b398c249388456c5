"""Contrast transfer function: closed forms, RELION's numbers, gradients, invariances."""

from __future__ import annotations

import math

import pytest
import torch

from burnish.core.constants import electron_wavelength
from burnish.data.optics import Defocus, OpticsGroup
from burnish.optics.ctf import ctf, defocus_axes, defocus_coefficients, phase_delay
from burnish.optics.frequency import image_frequencies, magnified


def make_defocus(*rows: tuple[float, float, float, float, float, float]) -> Defocus:
    """Rows of u, v (Å), angle, phase shift (degrees), B (Å²), scale."""
    u, v, angle, shift, b, scale = torch.tensor(rows, dtype=torch.float64).T.unbind()
    return Defocus(u=u, v=v, angle=angle.deg2rad(), phase_shift=shift.deg2rad(), b_factor=b, scale=scale)


def make_group(**changes) -> OpticsGroup:
    values = {
        "name": "a",
        "voltage": 300e3,
        "spherical_aberration": 2.7e7,
        "amplitude_contrast": 0.1,
        "pixel_size": 1.5,
        "box_size": 32,
    }
    return OpticsGroup(**(values | changes))


def test_one_axis_is_the_textbook_formula():
    defocus, group = make_defocus((15000.0, 15000.0, 0.0, 0.0, 0.0, 1.0)), make_group()
    lam, s = electron_wavelength(300e3), 0.2
    chi = math.pi * lam * 15000.0 * s**2 - 0.5 * math.pi * 2.7e7 * lam**3 * s**4 + math.asin(0.1)
    found = ctf(torch.tensor([[s, 0.0], [0.0, -s]], dtype=torch.float64), defocus, group)
    torch.testing.assert_close(found, torch.full((1, 2), math.sin(chi), dtype=torch.float64), rtol=0, atol=1e-10)


def test_at_zero_frequency_it_is_the_amplitude_contrast_times_scale():
    defocus = make_defocus((15000.0, 14000.0, 30.0, 0.0, 50.0, 0.8), (9000.0, 8000.0, 0.0, 90.0, 0.0, 1.0))
    found = ctf(torch.zeros(1, 2, dtype=torch.float64), defocus, make_group())[:, 0]
    torch.testing.assert_close(found, torch.tensor([0.08, math.sqrt(1 - 0.01)], dtype=torch.float64))


# (row, column) of the transform of a centred point in a 32-px box at 1.5 Å, projected with `relion_project --ctf` of
# RELION 3.1.3 (Debian) with and without the transfer function, and the ratio of the two. The tolerance is that of
# the wavelength, which RELION takes from a formula of six digits: 6e-6 of a phase of up to 90 rad.
PLACES = [(0, 0), (0, 3), (5, 0), (-4, 7), (9, 2), (-3, 9), (7, 10), (-11, 2)]
EVEN = (0.1, 0.5, -0.3, 0.8, 2.0, -1.0, 3.0, 0.7, -0.4)
SKEW = torch.tensor([[1.02, 0.01], [0.005, 0.97]], dtype=torch.float64)
RELION = {
    "even Zernike terms": (
        (15000.0, 14200.0, 25.0, 0.0, 0.0, 1.0),
        {"even_zernike": EVEN},
        [0.15758, 0.354315, 0.189503, -0.301023, -0.997863, 0.804624, -0.344273, 0.5185],
    ),
    "phase plate, envelope, scale": (
        (9000.0, 8700.0, -60.0, 35.0, 20.0, 0.8),
        {"voltage": 200e3, "spherical_aberration": 1.4e7, "amplitude_contrast": 0.07},
        [0.503608, -0.182468, 0.693044, 0.683568, 0.494559, 0.485481, -0.231439, 0.172388],
    ),
    "anisotropic magnification": (
        (12000.0, 12300.0, 40.0, 0.0, 0.0, 1.0),
        {"magnification": SKEW},
        [0.1, -0.000466, 0.995003, 0.640019, 0.761395, -0.992742, -0.585948, 0.080099],
    ),
}


@pytest.mark.parametrize("case", RELION)
def test_agrees_with_relion(case):
    row, changes, expected = RELION[case]
    rows, columns = zip(*PLACES, strict=True)
    frequency = image_frequencies(32, 1.5, dtype=torch.float64)[list(rows), list(columns)]
    found = ctf(frequency, make_defocus(row), make_group(**changes))[0]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=6e-4)


def test_batch_equals_loop_and_inputs_stay():
    rows = [(15000.0, 14200.0, 25.0, 0.0, 10.0, 1.0), (9000.0, 9000.0, 0.0, 35.0, 0.0, 0.8)]
    group = make_group(even_zernike=EVEN, magnification=SKEW)
    frequency, defocus = image_frequencies(16, 1.5, dtype=torch.float64), make_defocus(*rows)
    before = frequency.clone(), defocus.u.clone(), defocus.v.clone()
    together = ctf(frequency, defocus, group)
    alone = torch.cat([ctf(frequency, make_defocus(r), group) for r in rows])
    torch.testing.assert_close(together, alone)
    assert together.shape == (2, 16, 9)
    for was, now in zip(before, (frequency, defocus.u, defocus.v), strict=True):
        assert torch.equal(was, now)


def test_float32_stays_float32_and_near_float64():
    row = (25000.0, 24000.0, 25.0, 0.0, 10.0, 1.0)
    fine = ctf(image_frequencies(64, 1.0, dtype=torch.float64), make_defocus(row), make_group())
    coarse = ctf(image_frequencies(64, 1.0), make_defocus(row), make_group())
    assert coarse.dtype == torch.float32
    # χ reaches 700 rad in the corner; float32 holds that to 3e-5, a few roundings on the way
    assert (coarse.double() - fine).abs().max() < 3e-4


def test_gradients():
    frequency = image_frequencies(6, 2.0, dtype=torch.float64)

    def value(u, v, angle, shift, b, scale):
        d = Defocus(u=u, v=v, angle=angle, phase_shift=shift, b_factor=b, scale=scale)
        return ctf(frequency, d, make_group(even_zernike=EVEN, magnification=SKEW))

    d = make_defocus((1500.0, 1400.0, 25.0, 10.0, 10.0, 1.0), (900.0, 900.0, 0.0, 0.0, 5.0, 0.8))
    inputs = [t.clone().requires_grad_() for t in (d.u, d.v, d.angle, d.phase_shift, d.b_factor, d.scale)]
    assert torch.autograd.gradcheck(value, inputs)


def test_turning_the_axes_turns_the_pattern():
    frequency = torch.randn(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 0.1
    by = math.radians(33.0)
    turn = torch.tensor([[math.cos(by), -math.sin(by)], [math.sin(by), math.cos(by)]], dtype=torch.float64)
    plain = phase_delay(frequency, make_defocus((9000.0, 8000.0, 20.0, 0.0, 0.0, 1.0)), make_group())
    turned = phase_delay(frequency @ turn.T, make_defocus((9000.0, 8000.0, 53.0, 0.0, 0.0, 1.0)), make_group())
    torch.testing.assert_close(plain, turned)


def test_axes_survive_their_cartesian_form():
    d = make_defocus(
        (9000.0, 8000.0, 20.0, 0.0, 0.0, 1.0), (8000.0, 8500.0, -80.0, 0.0, 0.0, 1.0), (7e3, 7e3, 9, 0, 0, 1)
    )
    u, v, angle = defocus_axes(defocus_coefficients(d))
    torch.testing.assert_close(u, torch.tensor([9000.0, 8500.0, 7000.0], dtype=torch.float64))
    torch.testing.assert_close(v, torch.tensor([8000.0, 8000.0, 7000.0], dtype=torch.float64))
    torch.testing.assert_close(angle[:2].rad2deg(), torch.tensor([20.0, 10.0], dtype=torch.float64))  # u ≥ v always
    assert torch.isfinite(angle[2])


def test_no_particles_and_one_frequency():
    empty = make_defocus((9000.0, 8000.0, 20.0, 0.0, 5.0, 1.0))
    none = Defocus(
        **{name: getattr(empty, name)[:0] for name in ("u", "v", "angle", "phase_shift", "b_factor", "scale")}
    )
    assert ctf(torch.zeros(3, 2), none, make_group()).shape == (0, 3)
    assert ctf(torch.zeros(2), empty, make_group()).shape == (1,)


def test_frequencies_of_an_image():
    found = image_frequencies(5, 2.0, dtype=torch.float64)
    assert found.shape == (5, 3, 2)
    torch.testing.assert_close(found[3, 2], torch.tensor([0.2, -0.2], dtype=torch.float64))
    torch.testing.assert_close(magnified(found, SKEW)[3, 2], SKEW @ torch.tensor([0.2, -0.2], dtype=torch.float64))
