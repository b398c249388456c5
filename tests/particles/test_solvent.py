"""Solvent masks of half maps."""

from __future__ import annotations

import pytest
import torch

from burnish.particles.reconstruct import soft_sphere
from burnish.particles.solvent import solvent_mask
from tests.particles.phantom import blobs, density

SIZE, PIXEL = 32, 4.0


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
def test_mask_holds_the_particle_and_leaves_solvent_out(noise: float) -> None:
    truth = density(blobs("C5", count=6), SIZE, PIXEL)
    generator = torch.Generator().manual_seed(1)
    strong = truth[truth > 0.1 * truth.max()].std()
    seen = truth + noise * strong * torch.randn(truth.shape, generator=generator)
    kept = seen.clone()
    sphere = soft_sphere(SIZE, 14.0, 2.0)
    mask = solvent_mask(seen, sphere, PIXEL)
    assert torch.equal(seen, kept)
    assert float((truth * mask).sum() / (truth * sphere).sum()) > 0.98
    assert float(mask.sum() / sphere.sum()) < 0.7
    assert float(mask.min()) >= 0.0 and bool((mask <= sphere + 1e-6).all())


def test_sphere_stays_where_no_surface_is_found() -> None:
    sphere = soft_sphere(SIZE, 14.0, 2.0)
    assert solvent_mask(torch.zeros(SIZE, SIZE, SIZE), sphere, PIXEL) is sphere
    assert solvent_mask(torch.ones(SIZE, SIZE, SIZE), sphere, PIXEL) is sphere
