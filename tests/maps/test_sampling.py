"""Density between grid points: through the values, smooth, right derivative, periodic or bounded; peaks."""

import math
from dataclasses import replace

import gemmi
import numpy as np
import torch

from burnish.data.density import DensityMap
from burnish.data.sampled_map import SampledMap, box_map, cell_map
from burnish.maps.peaks import find_peaks
from burnish.maps.sampling import local_spline, points_near, rms, sample, sample_with_gradient, spline_map

CELL = gemmi.UnitCell(20.0, 24.0, 30.0, 90.0, 104.0, 90.0)
FRAC = np.array(CELL.frac.mat.tolist())
ORTH = np.array(CELL.orth.mat.tolist())


def wave(shape=(40, 48, 60)) -> SampledMap:
    axes = [torch.arange(n, dtype=torch.float64) / n for n in shape]
    u, v, w = torch.meshgrid(*axes, indexing="ij")
    values = torch.cos(2 * math.pi * (2 * u + v)) + 0.5 * torch.sin(2 * math.pi * (w - v))
    return cell_map(values.float(), FRAC)


def wave_at(xyz: torch.Tensor) -> torch.Tensor:
    u, v, w = (xyz @ torch.tensor(FRAC).T).unbind(1)
    return torch.cos(2 * math.pi * (2 * u + v)) + 0.5 * torch.sin(2 * math.pi * (w - v))


def somewhere(n: int) -> torch.Tensor:
    return torch.rand(n, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 60.0 - 20.0


def test_grid_points_keep_their_values():
    grid = wave()
    index = torch.tensor([[0, 0, 0], [3, 7, 11], [39, 47, 59]])
    xyz = index.double() @ torch.linalg.inv(grid.to_grid).T
    torch.testing.assert_close(sample(spline_map(grid), xyz), grid.values[tuple(index.T)].double(), atol=1e-5, rtol=0)


def test_smooth_density_is_followed_between_points_and_across_cells():
    xyz = somewhere(200)
    assert float((sample(spline_map(wave()), xyz) - wave_at(xyz)).abs().max()) < 2e-4


def test_gradient():
    spline = spline_map(wave((12, 14, 18)))
    xyz = somewhere(5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sample(spline, x), (xyz,))
    density, gradient = sample_with_gradient(spline_map(wave()), xyz.detach())
    at = xyz.detach().clone().requires_grad_()
    (expected,) = torch.autograd.grad(wave_at(at).sum(), at)
    assert float((gradient - expected).abs().max()) < 5e-3
    torch.testing.assert_close(density, wave_at(xyz.detach()), atol=2e-4, rtol=0)


def test_box_has_its_origin_and_ends():
    values = torch.zeros(10, 12, 14)
    values[4, 5, 6] = 1.0
    grid = box_map(DensityMap(values=values, voxel_size=(1.0, 1.5, 2.0), origin=(10.0, -5.0, 3.0)))
    at = torch.tensor([[10.0 + 6.0, -5.0 + 7.5, 3.0 + 8.0], [0.0, 0.0, 0.0], [100.0, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(
        sample(spline_map(grid), at), torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64), atol=1e-5, rtol=0
    )


def test_points_near_are_those_within_the_sphere():
    grid = wave((20, 24, 30))
    centre = torch.tensor([[1.0, 2.0, 0.5]], dtype=torch.float64)
    owner, point, square = points_near(grid, centre, 3.0)
    index = torch.cartesian_prod(*[torch.arange(-30, 31)] * 3)
    away = (index.double() @ torch.linalg.inv(grid.to_grid).T - centre).norm(dim=1)
    assert len(point) == int((away <= 3.0).sum())
    assert float(square.max()) <= 9.0
    assert bool((owner == 0).all())


def test_no_positions():
    owner, point, _ = points_near(wave(), torch.zeros(0, 3, dtype=torch.float64), 2.0)
    assert len(owner) == len(point) == 0


def test_a_peak_is_found_between_grid_points():
    shape = (40, 48, 60)
    true = np.array([3.3, 4.7, 8.1])
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1) / np.array(shape)
    delta = index - FRAC @ true
    away = (delta - np.round(delta)) @ ORTH.T
    values = torch.tensor(np.exp(-(away**2).sum(-1) / 2.0)).float()
    grid = cell_map(values, FRAC)
    peaks = find_peaks(grid, 0.3)
    assert len(peaks) == 1
    assert float((peaks.xyz[0] - torch.tensor(true)).norm()) < 0.08  # a sixth of the grid spacing: the cell is oblique
    assert abs(float(peaks.height[0]) - 1.0) < 0.02
    assert len(find_peaks(grid, 2.0)) == 0
    assert rms(grid) > 0


def test_analytic_gradient_is_that_of_autograd():
    spline = spline_map(wave((12, 14, 18)))
    xyz = somewhere(20).requires_grad_()
    density = sample(spline, xyz)
    (expected,) = torch.autograd.grad(density.sum(), xyz)
    found, gradient = sample_with_gradient(spline, xyz.detach())
    torch.testing.assert_close(found, density.detach())
    torch.testing.assert_close(gradient, expected)


def test_the_spline_of_a_part_is_that_of_the_whole():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(20, 24, 18, generator=generator)
    grid = cell_map(values, np.diag([0.1, 0.08, 0.12]))
    xyz = torch.tensor([[0.3, 6.0, 8.2], [-1.2, 7.1, 7.9], [0.9, 5.5, 8.8]], dtype=torch.float64)
    whole, part = sample(spline_map(grid), xyz), sample(local_spline(grid, xyz, margin=2.0), xyz)
    torch.testing.assert_close(part, whole, atol=2e-3, rtol=0.0)
    box = replace(grid, periodic=False)
    inside = torch.tensor([[5.0, 6.0, 4.0], [4.6, 6.3, 4.4]], dtype=torch.float64)
    torch.testing.assert_close(
        sample(local_spline(box, inside), inside), sample(spline_map(grid), inside), atol=0.02, rtol=0
    )
