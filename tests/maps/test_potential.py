"""Potential of a model on a grid."""

import gemmi
import numpy as np
import pytest
import torch

from burnish.core.errors import DataError
from burnish.maps.potential import electron_potential


def some_atoms(n=30, seed=1):
    g = torch.Generator().manual_seed(seed)
    xyz = 16 * (torch.rand(n, 3, generator=g, dtype=torch.float64) - 0.5)
    b = 10 + 80 * torch.rand(n, generator=g, dtype=torch.float64)
    return xyz, b, torch.rand(n, generator=g, dtype=torch.float64), [("C", "N", "O", "S", "H")[i % 5] for i in range(n)]


def direct(xyz, b, occ, elements, box, pixel):
    """Fourier coefficients atom by atom."""
    k = np.fft.fftfreq(box, pixel)
    kz, ky, kx = k[:, None, None], k[None, :, None], np.fft.rfftfreq(box, pixel)
    s2 = kz**2 + ky**2 + kx**2
    total = np.zeros(s2.shape, complex)
    for r, bi, q, name in zip(xyz.numpy(), b.numpy(), occ.numpy(), elements, strict=True):
        c = gemmi.Element(name).c4322.get_coefs()
        f = sum(a * np.exp(-(w + bi) * s2 / 4) for a, w in zip(c[:5], c[5:], strict=True))
        total += q * f * np.exp(-2j * np.pi * (kz * r[2] + ky * r[1] + kx * r[0]))
    return np.fft.fftshift(np.fft.irfftn(total / pixel**3, s=(box,) * 3, axes=(0, 1, 2))), s2


@pytest.mark.parametrize("pixel", [0.8, 1.5])
def test_equals_the_direct_sum(pixel):
    atoms = some_atoms()
    before = atoms[0].clone()
    box = 40 if pixel < 1 else 24
    expected, s2 = direct(*atoms, box, pixel)
    inside = s2 < 0.99 / (2 * pixel) ** 2  # what both hold in full
    found = np.fft.rfftn(electron_potential(*atoms, box, pixel).numpy())[inside]
    reference = np.fft.rfftn(expected)[inside]
    assert abs(found - reference).max() < 2e-4 * abs(reference).max()
    assert np.linalg.norm(found - reference) < 1e-3 * np.linalg.norm(reference)
    assert torch.equal(atoms[0], before)


def test_sum_is_the_scattering_at_zero_angle():
    xyz, b, occ, elements = some_atoms()
    values = electron_potential(xyz, b, occ, elements, 48, 1.0)
    at_zero = sum(q * sum(gemmi.Element(e).c4322.get_coefs()[:5]) for q, e in zip(occ.tolist(), elements, strict=True))
    assert float(values.sum()) == pytest.approx(at_zero, rel=1e-3)


def test_model_larger_than_the_box_is_refused():
    with pytest.raises(DataError, match="use a larger --box"):
        electron_potential(*some_atoms(), 12, 1.0)
