"""Pictures of density: contours where the density is, in the colours of their maps, sticks where the bonds are."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from burnish.data.sampled_map import SampledMap
from burnish.maps.sampling import SplineMap, spline_map
from burnish.reports.density_pictures import (
    DIFFERENCE_LEVEL,
    PicturedAtoms,
    PicturedMaps,
    _contours,
    best_view,
    density_pictures,
)

ATOMS = np.array([[8.0, 8.0, 8.0], [9.4, 8.0, 8.0], [9.9, 9.3, 8.0]])


def gaussian(at: np.ndarray, height: float) -> SplineMap:
    axis = np.arange(0.0, 16.0, 0.5)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([x, y, z], -1)
    values = sum(height * np.exp(-((points - a) ** 2).sum(-1)) for a in at)
    grid = SampledMap(
        values=torch.tensor(values).float(),
        to_grid=2.0 * torch.eye(3, dtype=torch.float64),
        offset=torch.zeros(3, dtype=torch.float64),
        periodic=True,
    )
    return spline_map(grid)


def panel(density: float, difference: float) -> tuple[str, PicturedAtoms, PicturedMaps]:
    atoms = PicturedAtoms(xyz=ATOMS, elements=("C", "N", "O"), conformer=("", "", ""), meant=np.ones(3, dtype=bool))
    maps = PicturedMaps(
        density=gaussian(ATOMS, density), difference=gaussian(ATOMS[:1], difference), sigma=1.0, difference_sigma=1.0
    )
    return "here", atoms, maps


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)


def coloured(image: np.ndarray, channel: int) -> int:
    """Pixels in which one colour is much stronger than both others."""
    others = [c for c in range(3) if c != channel]
    return int((image[..., channel] - image[..., others].max(-1) > 40).sum())


def test_panels_stand_side_by_side_and_are_small():
    png = density_pictures([panel(4.0, 0.0), panel(4.0, 0.0)], best_view(ATOMS), ATOMS, size=200)
    assert pixels(png).shape == (200, 400, 3)
    assert len(png) < 40_000
    image = pixels(png)
    np.testing.assert_array_equal(image[:, :200], image[:, 200:])


@pytest.mark.parametrize(("height", "channel"), [(2.0 * DIFFERENCE_LEVEL, 1), (-2.0 * DIFFERENCE_LEVEL, 0)])
def test_difference_density_is_green_or_red(height, channel):
    without = coloured(pixels(density_pictures([panel(0.0, 0.0)], best_view(ATOMS), ATOMS)), channel)
    drawn = coloured(pixels(density_pictures([panel(0.0, height)], best_view(ATOMS), ATOMS)), channel)
    assert drawn > without + 300


def test_density_is_blue_and_only_near_what_is_shown():
    view = best_view(ATOMS)
    near = coloured(pixels(density_pictures([panel(4.0, 0.0)], view, ATOMS)), 2)
    far = coloured(pixels(density_pictures([panel(4.0, 0.0)], view, ATOMS + 50.0)), 2)
    assert near > far + 500


def test_contours_lie_where_the_level_is():
    axis = np.linspace(-3.0, 3.0, 31)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    lines = _contours(4.0 - np.sqrt(x**2 + y**2 + z**2), (axis, axis, axis), 2.0)
    radii = np.concatenate([np.linalg.norm(line, axis=1) for line in lines])
    np.testing.assert_allclose(radii, 2.0, atol=0.02)


def test_a_view_looks_along_the_shortest_direction():
    flat = np.random.default_rng(1).normal(size=(40, 3)) * [5.0, 3.0, 0.2]
    view = best_view(flat)
    np.testing.assert_allclose(view.axes @ view.axes.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(view.axes) == pytest.approx(1.0)
    assert abs(view.axes[2, 2]) > 0.99
    assert best_view(ATOMS[:1]).reach >= 4.0
