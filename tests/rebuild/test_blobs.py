"""Where a ligand is looked for: density that waters leave comes before peaks that waters explain."""

import numpy as np
import torch

from burnish.data.sampled_map import SampledMap
from burnish.rebuild.blobs import Blob, find_blobs
from burnish.rebuild.flexible import BoxMap
from burnish.rebuild.moves.ligands import ENOUGH, evened

SIZE, STEP = 48.0, 0.6


def density_of(spots: np.ndarray, height: float) -> np.ndarray:
    """Gaussians of variance .4 Å² in a box."""
    axis = np.arange(0.0, SIZE, STEP)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    total = np.zeros(x.shape)
    for a, b, c in spots:
        total += height * np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 0.8)
    return total


def as_map(values: np.ndarray) -> SampledMap:
    return SampledMap(
        values=torch.tensor(values).float(),
        to_grid=torch.eye(3, dtype=torch.float64) / STEP,
        offset=torch.zeros(3, dtype=torch.float64),
        periodic=False,
    )


def test_a_ligand_is_found_among_many_good_waters():
    rng = np.random.default_rng(2)
    ligand = np.array([[24.0 + 1.4 * k, 24.0, 24.0 + 0.7 * (k % 2)] for k in range(7)])
    rows = [np.array([[x, y, 8.0 + 2.7 * k] for k in range(6)]) for x in (10.0, 16.0) for y in (10.0, 16.0, 36.0, 42.0)]
    singles = rng.uniform([30.0, 4.0, 4.0], [44.0, 14.0, 44.0], (40, 3))
    waters = np.concatenate([*rows, singles])
    beside_ligand, beside_waters = np.array([0.0, 4.5, 0.0]), np.array([0.0, 0.0, 3.4])
    model = np.concatenate([ligand + beside_ligand, waters + beside_waters])
    residual = density_of(ligand, 6.0)
    with_waters = residual + density_of(waters, 25.0)
    found = find_blobs(as_map(with_waters), as_map(residual), 1.0, None, model, 9.0, most=4)
    assert np.linalg.norm(found[0].centre - ligand.mean(0)) < 1.0
    assert found[0].unexplained > 10.0
    assert len(found) > 1  # the largest of the others are looked at as well
    assert all(b.unexplained < 1.0 for b in found[1:])


def test_high_density_is_scaled_so_that_poses_differ():
    values = torch.linspace(-4.0, 30.0, 27).reshape(3, 3, 3)
    box = BoxMap(values=values, origin=torch.zeros(3, dtype=torch.float64), step=1.0)
    points = np.zeros((10, 3))
    high = Blob(points=points, weights=np.full(10, 24.0), volume=10.0, total=240.0)
    low = Blob(points=points, weights=np.full(10, 5.0), volume=10.0, total=50.0)
    assert evened(box, low) is box
    scaled = evened(box, high)
    assert float(scaled.values.max()) == 30.0 * ENOUGH / 24.0
    assert torch.equal(scaled.values[values <= 0], values[values <= 0])
    assert float(box.values.max()) == 30.0
