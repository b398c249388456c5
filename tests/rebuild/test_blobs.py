"""Where a ligand is looked for: density that waters leave comes before peaks that waters explain."""

from dataclasses import replace

import numpy as np
import torch

from burnish.data.sampled_map import SampledMap
from burnish.rebuild.blobs import evened
from burnish.rebuild.flexible import SMOOTH, BoxMap
from burnish.rebuild.moves.ligands import LigandRules, Unexplained, ligand_blobs

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
    free = Unexplained(
        difference=as_map(with_waters),
        residual=as_map(residual),
        sigma=1.0,
        keep=model,
        waters=np.arange(len(waters)),
    )
    found = ligand_blobs(free, None, 5.0, 9.0, LigandRules())
    assert np.linalg.norm(found[0].blob.centre - ligand.mean(0)) < 1.0
    assert found[0].density is free.residual
    rest = found[1:]  # the largest of the others are looked at as well, with their waters
    assert len(rest) == LigandRules().water_blobs and all(p.density is free.difference for p in rest)
    assert ligand_blobs(free, None, 1e3, 9.0, LigandRules()) == []
    dry = replace(free, waters=np.zeros(0, dtype=np.int64))
    assert [p.density is free.residual for p in ligand_blobs(dry, None, 5.0, 9.0, LigandRules())] == [True]


def test_high_density_is_scaled_so_that_poses_differ():
    values = torch.linspace(-4.0, 30.0, 27).reshape(3, 3, 3)
    box = BoxMap(values=values, origin=torch.zeros(3, dtype=torch.float64), step=1.0)
    assert evened(box, np.full(10, 5.0)) is box and evened(box, np.zeros(0)) is box
    scaled = evened(box, np.full(10, 24.0))
    assert float(scaled.values.max()) == 30.0 * SMOOTH / 24.0
    assert torch.equal(scaled.values[values <= 0], values[values <= 0])
    assert float(box.values.max()) == 30.0
