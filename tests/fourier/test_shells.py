"""Shells and Fourier shell correlation."""

import numpy as np
import pytest
import torch

from burnish.fourier import shells
from burnish.io.mrc import read_map
from burnish.io.star import read_star


def maps(n=16, seed=1):
    g = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, n, n, n, generator=g, dtype=torch.float64)
    return a, 0.6 * a + 0.4 * b


def slow_fsc(a, b):
    """Every stored coefficient once, by a loop over shells."""
    f, g, n = np.fft.rfftn(a), np.fft.rfftn(b), a.shape[0]
    k = np.fft.fftfreq(n, 1 / n)
    r = np.rint(np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + np.arange(n // 2 + 1) ** 2))
    out = []
    for s in range(n // 2 + 1):
        p, q = f[r == s], g[r == s]
        out.append((p * q.conj()).real.sum() / np.sqrt((abs(p) ** 2).sum() * (abs(q) ** 2).sum()))
    return np.array(out)


@pytest.mark.parametrize("n", [15, 16])
def test_fsc_equals_the_plain_sum(n, monkeypatch):
    a, b = maps(n)
    for block in (1 << 19, 300):  # one block, many blocks
        monkeypatch.setattr(shells, "_BLOCK", block)
        np.testing.assert_allclose(shells.fsc(a, b), slow_fsc(a.numpy(), b.numpy()), atol=1e-12)


def test_fsc_of_images_scale_and_empty_shells():
    a, b = maps()
    assert shells.fsc(a[0], b[0]).shape == (9,)
    torch.testing.assert_close(shells.fsc(a, b), shells.fsc(3 * b, 2 * a))
    assert shells.fsc(torch.zeros_like(a), b).abs().max() == 0
    assert shells.sum_shells(torch.fft.rfftn(a), torch.fft.rfftn(a), a.shape).count[0] == 1


def test_oblong_box_counts_shells_of_its_longest_axis():
    a = torch.randn(8, 12, 24, generator=torch.Generator().manual_seed(2))
    index = shells.shell_indices(a.shape)
    assert shells.shell_count(a.shape) == 13
    assert index[1, 0, 0] == 3 and index[0, 1, 0] == 2 and index[0, 0, 1] == 1


def test_curves_to_shells():
    curve = torch.tensor([1.0, 0.9, 0.5, 0.1, 0.4, 0.0])
    assert shells.last_shell_above(curve, 0.143) == 2
    assert shells.last_shell_above(curve[:3], 0.143) == 2
    assert shells.last_shell_above(torch.tensor([0.0, 1.0]), 0.143) == 0
    assert shells.crossing(curve, 0.3) == pytest.approx(2.5)
    assert shells.crossing(curve[:3], 0.3) == 2
    assert shells.resolution_of_shell(4, 256.0) == 64 and shells.resolution_of_shell(0, 1.0) == float("inf")


def test_weights_and_amplitudes():
    a, _ = maps()
    f = torch.fft.rfftn(a)
    weights = torch.linspace(1, 0.2, 9, dtype=torch.float64)
    weighted = shells.weight_shells_(f.clone(), a.shape, weights)
    torch.testing.assert_close(shells.amplitudes(weighted, a.shape), shells.amplitudes(f, a.shape) * weights)
    assert weighted[8, 8, 8] == 0  # corners lie beyond the last shell


def test_relion_half_maps(shared_data):
    folder = shared_data / "em/sets/bench_relion"
    a, b, mask = (
        read_map(folder / f).values
        for f in ("run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc", "mask.mrc")
    )
    table = read_star(folder / "postprocess.star")["fsc"]
    unmasked = table.floats("rlnFourierShellCorrelationUnmaskedMaps")
    np.testing.assert_allclose(shells.fsc(a, b), unmasked, atol=1e-6)
    np.testing.assert_allclose(
        shells.fsc(a * mask, b * mask), table.floats("rlnFourierShellCorrelationMaskedMaps"), atol=1e-6
    )
