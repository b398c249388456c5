"""Local and directional resolution."""

import pytest
import torch

from burnish.fourier.filters import low_pass
from burnish.fourier.shells import fsc
from burnish.fourier.transforms import wave_numbers
from burnish.maps.directional_fsc import directional_fsc, fsc_map, half_sphere, sphericity
from burnish.maps.local_resolution import LocalResolutionSettings, local_resolution, soft_sphere, sphere_centres
from burnish.maps.postprocess import resolution_at

N, PIXEL = 64, 2.0
SETTINGS = LocalResolutionSettings(step=16, radius=12, edge=16, randomise_from=40, worst=40)


def two_sided_halves(seed=1):
    """Half maps that agree to Nyquist at small z and only to 12 Å at large z."""
    g = torch.Generator().manual_seed(seed)
    fine = torch.randn(N, N, N, generator=g)
    good = (torch.arange(N) < N // 2).float()[:, None, None]
    truth = fine * good + low_pass(fine, 12.0, PIXEL) * (1 - good)
    return [truth + 0.3 * torch.randn(N, N, N, generator=g) for _ in range(2)]


def test_each_side_has_its_own_resolution():
    half1, half2 = two_sided_halves()
    before = half1.clone()
    found = local_resolution(half1, half2, PIXEL, SETTINGS, torch.Generator().manual_seed(2))
    assert torch.equal(half1, before)
    assert float(found.resolution[16, 32, 32]) == pytest.approx(2 * PIXEL, rel=0.05)
    far = found.at_centres[found.centres[:, 0] >= 48]
    assert 8 < float(far.median()) < 14  # the sphere blurs the edge at 12 Å by about 1/40 Å⁻¹
    assert 6 < float(found.resolution[50, 32, 32]) < 14
    assert found.resolution[0, 0, 0] == 0
    spread = found.filtered - low_pass(found.filtered, 10.0, PIXEL)  # what is finer than 10 Å
    assert spread[46:50, 28:36, 28:36].std() < 0.3 * spread[14:18, 28:36, 28:36].std()
    assert found.curves.shape == (len(found.centres), len(found.spacing))


def test_pure_noise_has_the_worst_resolution():
    g = torch.Generator().manual_seed(3)
    half1, half2 = torch.randn(2, N, N, N, generator=g)
    found = local_resolution(half1, half2, PIXEL, SETTINGS, g)
    assert found.at_centres.median() > 20


def test_one_sphere_is_the_fsc_under_its_mask():
    half1, half2 = two_sided_halves()
    mask = torch.zeros(N, N, N)
    mask[N // 2, N // 2, N // 2] = 1
    settings = LocalResolutionSettings(step=200, radius=30, edge=30, randomise_from=8, worst=60)
    found = local_resolution(half1, half2, PIXEL, settings, torch.Generator().manual_seed(1), mask=mask)
    assert found.centres.tolist() == [[32, 32, 32]]
    ball = soft_sphere(N, 15, 15)
    expected = fsc(half1 * ball, half2 * ball)
    torch.testing.assert_close(found.curves[0, :16].double(), expected[:16], atol=1e-4, rtol=0)


def test_centres_keep_to_ball_and_mask():
    shape = torch.Size((40, 40, 40))
    every = sphere_centres(shape, 8, 5, None)
    assert (every - 20).double().norm(dim=1).max() < 15 and [20, 20, 20] in every.tolist()
    mask = torch.zeros(shape)
    mask[:16] = 1
    some = sphere_centres(shape, 8, 5, mask)
    assert 0 < len(some) < len(every) and some[:, 0].max() <= 20


def test_soft_sphere():
    ball = soft_sphere(21, 5, 4)[10, 10]
    assert ball[10:16].tolist() == [1.0] * 6 and ball[17] == pytest.approx(0.5) and ball[19:].tolist() == [0, 0]
    assert soft_sphere(9, 2, 0).sum() == 33


def uneven_halves(seed=1):
    """Half maps whose agreement ends sooner along z than across it."""
    g = torch.Generator().manual_seed(seed)
    kz, ky, kx = (k.float() for k in wave_numbers((N, N, N)))
    decay = torch.exp(-((kz / 9) ** 2) - (ky**2 + kx**2) / 18**2)
    f = torch.fft.rfftn(torch.randn(N, N, N, generator=g)) * decay
    truth = torch.fft.irfftn(f, s=(N, N, N))
    return [truth + 0.3 * torch.randn(N, N, N, generator=g) for _ in range(2)]


def test_direction_of_bad_resolution_is_found():
    found = directional_fsc(*uneven_halves(), PIXEL)
    along = found.directions[:, 2] > 0.95
    across = found.directions[:, 2] < 0.2
    assert found.resolution[along].median() > 1.5 * found.resolution[across].median()
    assert 0.7 < found.sphericity < 0.97
    volume = fsc_map(found, N)
    assert volume[32 + 14, 32, 32] < 0.3 < 0.6 < volume[32, 32, 32 + 14]
    torch.testing.assert_close(volume[1:, 1:, 1:], volume[1:, 1:, 1:].flip(0, 1, 2))


def test_even_map_is_even_and_a_cone_of_everything_is_the_fsc():
    half1, half2 = two_sided_halves()
    found = directional_fsc(half1, half2, PIXEL)
    assert found.sphericity > 0.98
    whole = directional_fsc(half1, half2, PIXEL, half_angle_deg=89.999, count=3)
    # the kx = 0 plane holds both k and −k, which weighs as in the ordinary FSC
    torch.testing.assert_close(whole.curves[0], fsc(half1, half2), atol=1e-6, rtol=0)
    assert whole.median == pytest.approx(resolution_at(fsc(half1, half2), 0.143, N * PIXEL).between)


def test_sphericity_of_a_ball_and_an_ellipsoid():
    directions = half_sphere(500)
    assert sphericity(directions, torch.full((500,), 3.0, dtype=torch.float64)) == pytest.approx(1.0)
    oblate = 1.0 / ((directions[:, 0] ** 2 + directions[:, 1] ** 2) + (directions[:, 2] * 2) ** 2).sqrt()
    # half axes 1, 1, ½: area 2π(1 + (1 − e²)/e · artanh e), e² = 3/4
    e = 0.75**0.5
    area = 2 * torch.pi * (1 + (1 - e * e) / e * torch.atanh(torch.tensor(e)).item())
    expected = torch.pi ** (1 / 3) * (6 * 4 / 3 * torch.pi / 2) ** (2 / 3) / area
    assert sphericity(directions, oblate) == pytest.approx(expected, rel=0.01)
