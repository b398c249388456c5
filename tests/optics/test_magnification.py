"""Anisotropic magnification: parts of the matrix, and defocus carried from one matrix to another."""

from __future__ import annotations

import math

import pytest
import torch

from burnish.data.optics import Defocus, OpticsGroup
from burnish.optics.ctf import phase_delay
from burnish.optics.frequency import image_frequencies
from burnish.optics.magnification import carry_defocus, split_magnification

SKEW = torch.tensor([[1.02, 0.01], [0.005, 0.97]], dtype=torch.float64)


def test_parts_of_a_stretch_and_a_turn():
    by, along = 0.3, math.radians(25)
    turn = torch.tensor([[math.cos(by), -math.sin(by)], [math.sin(by), math.cos(by)]], dtype=torch.float64)
    axis = torch.tensor([math.cos(along), math.sin(along)], dtype=torch.float64)
    stretch = torch.eye(2, dtype=torch.float64) + 0.03 * torch.outer(axis, axis)
    parts = split_magnification(turn @ stretch)
    assert parts.anisotropy == pytest.approx(0.03)
    assert parts.mean == pytest.approx(1.015)
    assert parts.rotation == pytest.approx(by)
    assert parts.angle == pytest.approx(along)


def test_identity_has_no_parts():
    parts = split_magnification(torch.eye(2))
    assert (parts.mean, parts.anisotropy, parts.rotation) == pytest.approx((1.0, 0.0, 0.0))


def test_carried_defocus_keeps_the_phase_without_cs():
    values = torch.tensor([[12000.0, 11500.0, 0.4], [9000.0, 9000.0, 0.0]], dtype=torch.float64).T
    zero = torch.zeros(2, dtype=torch.float64)
    defocus = Defocus(u=values[0], v=values[1], angle=values[2], phase_shift=zero, b_factor=zero, scale=zero + 1)

    def delay(d: Defocus, matrix: torch.Tensor) -> torch.Tensor:
        group = OpticsGroup(
            name="a",
            voltage=300e3,
            spherical_aberration=0.0,
            amplitude_contrast=0.1,
            pixel_size=1.2,
            box_size=16,
            magnification=matrix,
        )
        return phase_delay(image_frequencies(16, 1.2, dtype=torch.float64), d, group)

    carried = carry_defocus(defocus, SKEW, torch.eye(2))
    torch.testing.assert_close(delay(carried, torch.eye(2)), delay(defocus, SKEW))
    back = carry_defocus(carried, torch.eye(2), SKEW)
    torch.testing.assert_close(back.u, defocus.u)
    torch.testing.assert_close(back.v, defocus.v)
