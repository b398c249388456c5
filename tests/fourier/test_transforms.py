"""Centred transforms, shifts, filters, random phases."""

import math

import pytest
import torch

from burnish.fourier import filters, transforms
from burnish.fourier.shells import amplitudes, shell_indices


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(8, 8), (7, 9), (6, 8, 10), (5, 6, 7)])
def test_centred_transform_has_its_origin_at_the_centre(shape):
    x = noise(2, *shape)
    f = transforms.centred_rfft(x, len(shape))
    axes = tuple(range(1, x.ndim))
    torch.testing.assert_close(torch.fft.fftshift(torch.fft.irfftn(f, s=shape, dim=axes), dim=axes), x)
    point = torch.zeros(shape, dtype=torch.float64)
    point[tuple(n // 2 for n in shape)] = 1
    torch.testing.assert_close(transforms.centred_rfft(point, len(shape)), torch.ones_like(f[0]))


@pytest.mark.parametrize("shape", [(7, 8), (6, 7, 8)])
def test_whole_shifts_are_rolls_and_part_shifts_stay_real(shape):
    x = noise(*shape)
    shift = [2.0, -1.0, 3.0][: len(shape)]
    moved = torch.fft.irfftn(transforms.shift_phases(torch.fft.rfftn(x), shape, shift), s=shape)
    rolled = torch.roll(x, [int(s) for s in reversed(shift)], dims=tuple(range(len(shape))))
    torch.testing.assert_close(moved, rolled)
    there = transforms.shift_phases(torch.fft.rfftn(x), shape, [0.3] * len(shape))
    torch.testing.assert_close(torch.fft.rfftn(torch.fft.irfftn(there, s=shape)), there)


def test_low_and_high_pass_add_up_and_cut_at_the_shell():
    x = noise(32, 32, 32)
    low, high = (f(x, 8.0, 1.0) for f in (filters.low_pass, filters.high_pass))
    torch.testing.assert_close(low + high, x)
    passed = amplitudes(torch.fft.rfftn(low), low.shape) / amplitudes(torch.fft.rfftn(x), x.shape)
    assert passed[:3].min() > 1 - 1e-9 and passed[6:].max() < 1e-9  # 32 Å / 8 Å = shell 4, one shell either side
    assert filters.raised_cosine(4, 1)(torch.tensor([3.0, 4.0, 5.0])).tolist() == pytest.approx([1, 0.5, 0])
    assert filters.raised_cosine(4, 0)(torch.tensor([4.0, 4.1])).tolist() == [1, 0]


def test_stack_is_filtered_image_by_image():
    x = noise(3, 16, 16)
    stack = filters.low_pass(x, 6.0, 1.0, dims=2)
    torch.testing.assert_close(stack[1], filters.low_pass(x[1], 6.0, 1.0, dims=2))


def test_b_factor_of_a_shell():
    weight = filters.b_factor_weight(-100.0, 64.0)
    assert float(weight(torch.tensor(16.0))) == pytest.approx(math.exp(100 / 4 * (16 / 64) ** 2))


@pytest.mark.parametrize("shape", [(12, 12, 12), (11, 12, 13)])
def test_random_phases_keep_amplitudes_and_a_real_map(shape):
    f = torch.fft.rfftn(noise(*shape))
    before = f.clone()
    random = filters.randomise_phases(f, shape, 3, torch.Generator().manual_seed(4))
    assert torch.equal(f, before)
    torch.testing.assert_close(random.abs(), f.abs())
    torch.testing.assert_close(torch.fft.rfftn(torch.fft.irfftn(random, s=shape)), random)
    inner = shell_indices(shape) < 2
    assert torch.equal(random[inner], f[inner])
    turned = (random / f)[shell_indices(shape) > 3].angle()
    assert abs(float(turned.cos().mean())) < 0.1 and float(turned.abs().max()) > 3
    again = filters.randomise_phases(f, shape, 3, torch.Generator().manual_seed(4))
    assert torch.equal(random, again)
