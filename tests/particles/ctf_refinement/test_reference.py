"""Half planes and slices: known transforms, the two implementations, edges."""

from __future__ import annotations

import math

import roma
import torch
from tests.particles.ctf_refinement.ctf_blobs import (
    BOX,
    MAX_FREQUENCY,
    PIXEL,
    blob_map,
    blob_positions,
    exact_projection,
)

from burnish.particles.ctf_refinement.half_plane import make_half_plane, transform_images
from burnish.particles.ctf_refinement.reference import slice_in_torch, slices, transform_reference


def rotations(count: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(5)
    q = torch.randn(count, 4, generator=g, dtype=torch.float64)
    return roma.unitquat_to_rotmat(q / q.norm(dim=1, keepdim=True))


def test_each_independent_pixel_once():
    for box in (16, 15):
        plane = make_half_plane(box, 1.0, 0.05, 0.5)
        seen = {tuple(k) for k in plane.frequency.tolist()}
        assert len(seen) == len(plane)
        assert not any((-x, -y) in seen for x, y in seen)
        k = torch.fft.fftfreq(box, dtype=torch.float64)
        s = torch.hypot(k[:, None], k)
        inner = (s >= 0.05) & (s <= 0.5) & (k[:, None].abs() < 0.5) & (k.abs() < 0.5)
        assert 2 * len(plane) == int(inner.sum())


def test_no_pixels_between_the_limits():
    assert len(make_half_plane(16, 1.0, 0.4, 0.3)) == 0


def test_image_of_a_point():
    """A point at the centre, moved there by its shift, has the transform 1 everywhere."""
    plane = make_half_plane(16, 2.0, 0.02, 0.2)
    images = torch.zeros(1, 16, 16)
    images[0, 8 - 2, 8 + 3] = 1.0
    found = transform_images(images, torch.tensor([[-6.0, 4.0]]), plane)
    torch.testing.assert_close(found, torch.ones_like(found), rtol=0, atol=1e-5)


def test_slices_of_blobs():
    positions = blob_positions()
    density = blob_map(positions)
    axis = (torch.arange(BOX) - BOX // 2) * PIXEL
    r2 = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    reference = transform_reference(density, (r2 < 20.0**2).float(), PIXEL, MAX_FREQUENCY)
    plane = make_half_plane(BOX, PIXEL, 0.0, MAX_FREQUENCY)
    rotation = rotations(6)
    found = slices(reference, rotation, plane.frequency)
    expected = exact_projection(rotation, plane.frequency, positions).to(found.dtype)
    error = (found - expected).abs().square().sum() / expected.abs().square().sum()
    # the blobs reach 14 of 20 Å: linear interpolation with twofold padding leaves some per cent
    assert math.sqrt(error) < 0.04


def test_both_implementations_agree_also_outside():
    g = torch.Generator().manual_seed(2)
    density = torch.randn(12, 12, 12, generator=g)
    reference = transform_reference(density, torch.ones(12, 12, 12), 1.0, 0.2)
    frequency = torch.cat([make_half_plane(12, 1.0, 0.0, 0.49).frequency, torch.zeros(1, 2)])
    rotation = rotations(5)
    compiled, plain = slices(reference, rotation, frequency), slice_in_torch(reference, rotation, frequency)
    assert bool((plain == 0).any())  # some lie beyond the transform
    # neighbouring grid points where float32 rounds a coordinate to either side give the same value within its rounding
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-3)


def test_friedel_mates_are_conjugate():
    g = torch.Generator().manual_seed(2)
    reference = transform_reference(torch.randn(12, 12, 12, generator=g), torch.ones(12, 12, 12), 1.0, 0.3)
    k = torch.tensor([[0.1, 0.07], [0.0, 0.2]])
    torch.testing.assert_close(
        slices(reference, rotations(3), -k), slices(reference, rotations(3), k).conj(), rtol=1e-4, atol=1e-4
    )


def test_the_mask_cuts_the_map():
    density = torch.zeros(16, 16, 16)
    density[8, 8, 8], density[8, 8, 14] = 1.0, 5.0
    mask = torch.zeros(16, 16, 16)
    mask[6:11, 6:11, 6:11] = 1.0
    reference = transform_reference(density, mask, 1.0, 0.3)
    found = slices(reference, torch.eye(3)[None], make_half_plane(16, 1.0, 0.0, 0.3).frequency)
    torch.testing.assert_close(found, torch.ones_like(found), rtol=0, atol=1e-4)
