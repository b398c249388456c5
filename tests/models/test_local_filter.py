"""The locally filtered map."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from burnish.models.boxed_maps import box_maps
from burnish.models.local_filter import local_correlation, locally_filtered
from tests.models.test_map_term import _atoms, _maps


def test_local_correlation_of_equal_opposite_and_unlike_maps() -> None:
    generator = torch.Generator().manual_seed(1)
    one, two = torch.randn((2, 24, 20, 28), generator=generator)
    voxel = (1.0, 1.2, 1.1)
    assert torch.allclose(local_correlation(one, one, voxel, 4.0), torch.ones_like(one), atol=1e-4)
    assert torch.allclose(local_correlation(one, -2.0 * one, voxel, 4.0), -torch.ones_like(one), atol=1e-4)
    assert float(local_correlation(one, two, voxel, 4.0).abs().mean()) < 0.1


def test_the_noisy_end_is_smoothed_and_the_clear_end_kept() -> None:
    """Noise in one half of the box only: there the halves disagree, and what is left of it is small."""
    atoms = _atoms()
    clear = _maps(atoms, noise=0.001)
    generator = torch.Generator().manual_seed(2)
    n = clear[0].values.shape[2]
    noisy = []
    for half in clear:
        values = half.values.clone()
        noise = float(values.std()) * torch.randn(values[:, :, : n // 2].shape, generator=generator)
        values[:, :, : n // 2] += 2.0 * noise
        noisy.append(replace(half, values=values))
    one, other = (box_maps(maps, atoms.xyz, 3.0, mask_radius=5.0) for maps in (clear, noisy))
    expected, found = locally_filtered(one), locally_filtered(other)
    assert expected is not None
    assert found is not None
    middle = round(n // 2 - other.origin[0] / clear[0].voxel_size[0])
    right, left = (slice(None), slice(None), slice(middle + 3, None)), (slice(None), slice(None), slice(0, middle - 3))
    raw = torch.corrcoef(torch.stack([expected.values[right].flatten(), found.values[right].flatten()]))[0, 1]
    assert float(raw) > 0.9
    detail = [float((v.values[left] - v.values[left].mean()).square().mean()) for v in (expected, found)]
    assert detail[1] < 2.0 * detail[0]


def test_one_map_has_none() -> None:
    atoms = _atoms()
    assert locally_filtered(box_maps(_maps(atoms, noise=0.0, count=1), atoms.xyz, 3.0)) is None


def test_inputs_are_left_alone_and_the_scale_is_sigma() -> None:
    atoms = _atoms()
    boxed = box_maps(_maps(atoms, noise=0.01), atoms.xyz, 3.0)
    before = boxed.halves.clone()
    found = locally_filtered(boxed)
    assert found is not None
    assert torch.equal(before, boxed.halves)
    assert float(found.values[boxed.mask.permute(2, 1, 0) > 0.5].std()) == pytest.approx(1.0, rel=1e-4)
