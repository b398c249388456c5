"""Windows, Fourier crop and pad, resampling."""

import math

import pytest
import torch

from burnish.fourier.resize import fourier_resize, resample, window


def wave(n, pixel, k, length):
    """cos of k waves in `length` Å, sampled n times at `pixel` Å about the centre n//2."""
    x = (torch.arange(n, dtype=torch.float64) - n // 2) * pixel
    return torch.cos(2 * math.pi * k * x / length + 0.3)


def test_window_keeps_the_centre():
    for old, new in ((6, 9), (9, 6), (7, 8), (8, 7), (5, 5)):
        x = torch.zeros(old, old)
        x[old // 2, old // 2] = 1
        y = window(x, (new, new), fill=-1)
        assert y[new // 2, new // 2] == 1
        assert (y == -1).sum() == new**2 - min(old, new) ** 2


@pytest.mark.parametrize(("old", "new"), [(12, 20), (20, 12), (12, 13), (13, 12), (13, 9), (9, 16)])
def test_resizing_samples_the_same_waves(old, new):
    x, y = wave(old, 1.0, 3, old), wave(new, old / new, 3, old)
    torch.testing.assert_close(fourier_resize(x, (new,)), y)
    cube = x[:, None, None] * x[None, :, None] * x
    torch.testing.assert_close(fourier_resize(cube, (new,) * 3), y[:, None, None] * y[None, :, None] * y)


@pytest.mark.parametrize(("n", "m"), [(8, 14), (9, 14), (8, 13), (7, 9)])
def test_padding_and_cropping_back_returns_the_map(n, m):
    x = torch.randn(n, n, n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    before = x.clone()
    torch.testing.assert_close(fourier_resize(fourier_resize(x, (m,) * 3), (n,) * 3), x)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("old", "new", "pixel"), [(24, 40, 0.37), (25, 12, 1.9), (24, 24, 1.0), (24, 30, 0.8), (24, 16, 1.5)]
)
def test_resampling_at_any_pixel_size_is_exact_for_waves_that_both_grids_hold(old, new, pixel):
    x = wave(old, 1.0, 4, old)
    expected = wave(new, pixel, 4, old)
    inside = ((torch.arange(new) - new // 2) * pixel).abs() <= old // 2 - 1
    got = resample(x[None].expand(3, -1), (pixel,), (new,))
    torch.testing.assert_close(got[1][inside], expected[inside])
    beyond = ((torch.arange(new) - new // 2) * pixel).abs() > old // 2 + 1
    assert got[:, beyond].abs().sum() == 0


def test_resampling_to_a_whole_box_equals_the_fourier_crop():
    x = torch.randn(12, 12, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    torch.testing.assert_close(resample(x, (0.75,) * 3, (16,) * 3), fourier_resize(x, (16,) * 3))
    finer = resample(x, (0.75 + 1e-4,) * 3, (16,) * 3)  # by the matrices
    assert torch.corrcoef(torch.stack([finer.flatten(), fourier_resize(x, (16,) * 3).flatten()]))[0, 1] > 0.9999
    removed = resample(torch.randn(1, 24, generator=torch.Generator().manual_seed(5)), (1.7,), (14,))
    assert removed.dtype == torch.float32 and removed.shape == (1, 14)
