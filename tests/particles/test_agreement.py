"""Halves that do not agree although each is strong are noticed."""

from __future__ import annotations

import pytest
import torch

from burnish.particles.agreement import unshared_signal
from burnish.particles.frames import inverted
from burnish.particles.reconstruct import low_pass
from tests.particles.phantom import blobs, density

SIZE = 32


@pytest.fixture(scope="module")
def signal_and_noise() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    signal = low_pass(density(blobs("C1"), SIZE, 4.0), 9.0)
    return signal, 0.1 * signal.std() * torch.randn(2, SIZE, SIZE, SIZE, generator=generator)


def test_right_halves_share_what_they_hold(signal_and_noise: tuple[torch.Tensor, torch.Tensor]) -> None:
    signal, noise = signal_and_noise
    assert abs(unshared_signal(signal + noise, torch.ones(SIZE // 2 + 1, dtype=torch.float64), 2.0)) < 0.05


def test_a_wrong_half_is_noticed(signal_and_noise: tuple[torch.Tensor, torch.Tensor]) -> None:
    signal, noise = signal_and_noise
    halves = torch.stack([signal, inverted(signal)]) + noise
    weight = torch.full((SIZE // 2 + 1,), 7.0, dtype=torch.float64)  # its scale does not matter
    assert unshared_signal(halves, weight, 2.0) > 0.3


def test_noise_alone_says_nothing(signal_and_noise: tuple[torch.Tensor, torch.Tensor]) -> None:
    _, noise = signal_and_noise
    assert unshared_signal(noise, torch.ones(SIZE // 2 + 1, dtype=torch.float64), 2.0) == 0.0
    assert unshared_signal(torch.zeros_like(noise), torch.zeros(SIZE // 2 + 1, dtype=torch.float64), 2.0) == 0.0
