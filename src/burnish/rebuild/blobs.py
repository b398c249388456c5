"""Density that nothing explains, in the shape of boxes: where a ligand might be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from burnish.data.particle_symmetry import Symmetry
from burnish.data.sampled_map import SampledMap
from burnish.maps.peaks import find_peaks
from burnish.maps.sampling import SplineMap, sample, spline_map
from burnish.rebuild.flexible import SMOOTH, BoxMap
from burnish.symmetry.images import images_near, nearest_images

Array = NDArray[np.float64]

STEP = 0.5  # Å, of boxes
COARSE_STEP = 0.7  # Å, of those in which blobs are looked for
TAKEN = 1.9  # Å; nearer than that to an atom of the model there is no room for another
TOO_NEAR = 2.6  # Å; from here inwards density counts less and less
TAKEN_VALUE = -5.0  # σ
THRESHOLD = 2.0  # σ; of connected density
SEEDS = 120  # peaks that blobs are looked for at


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Connected density above a threshold.

    Attributes
    ----------
    points : grid points in it, Å. (n, 3)
    weights : density there, σ. (n,)
    volume : Å³.
    total : Σ density · volume of a point, σ Å³.
    """

    points: Array
    weights: Array
    volume: float
    total: float

    @property
    def centre(self) -> Array:
        """Centre of its density."""
        return np.asarray((self.points * self.weights[:, None]).sum(0) / self.weights.sum())


def box_map(
    spline: SplineMap, sigma: float, centre: Array, radius: float, occupied: Array, step: float = STEP
) -> BoxMap:
    """Density in a cube, σ, low where atoms are.

    Parameters
    ----------
    spline : the map.
    sigma : its unit.
    centre : of the cube, Å. (3,)
    radius : half its edge, Å.
    occupied : atoms that are there already, symmetry mates among them, Å. (k, 3)
    step : of the grid, Å.
    """
    n = 2 * int(np.ceil(radius / step)) + 1
    origin = centre - step * (n // 2)
    axis = np.arange(n) * step
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([x, y, z], axis=-1).reshape(-1, 3) + origin
    density = sample(spline, torch.from_numpy(points)).numpy() / sigma
    if len(occupied):
        away, _ = cKDTree(occupied).query(points, distance_upper_bound=TOO_NEAR)
        share = np.clip((away - TAKEN) / (TOO_NEAR - TAKEN), 0.0, 1.0)
        density = np.where(np.isfinite(away), share * np.minimum(density, 3.0) + (1.0 - share) * TAKEN_VALUE, density)
    return BoxMap(values=torch.from_numpy(density.reshape(n, n, n)).float(), origin=torch.from_numpy(origin), step=step)


def evened(box: BoxMap, weights: Array) -> BoxMap:
    """A box whose density goes up to what counts in a search.

    In a good map all of a molecule lies above that, and every pose inside would score the same.

    Parameters
    ----------
    weights : density where the molecule may be, σ. (n,)
    """
    high = float(np.percentile(weights, 90.0)) if len(weights) else 0.0
    if high <= SMOOTH:
        return box
    return replace(box, values=torch.where(box.values > 0, box.values * (SMOOTH / high), box.values))


def blob_at(box: BoxMap, seed: Array, threshold: float) -> Blob | None:
    """The connected density about a position; None where it is below the threshold."""
    values = box.values.numpy()
    labels, _ = ndimage.label(values > threshold, structure=np.ones((3, 3, 3)))
    at = np.round((seed - box.origin.numpy()) / box.step).astype(int)[::-1]
    low, high = np.maximum(at - 1, 0), at + 2
    near = labels[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    number = int(near.max(initial=0))
    if number == 0:
        return None
    z, y, x = np.nonzero(labels == number)
    weights = values[z, y, x].astype(np.float64)
    points = np.stack([x, y, z], axis=1) * box.step + box.origin.numpy()
    return Blob(
        points=points,
        weights=weights,
        volume=len(points) * box.step**3,
        total=float(weights.sum()) * box.step**3,
    )


def find_blobs(
    density: SampledMap, sigma: float, crystal: Symmetry | None, model: Array, extent: float, *, most: int = 4
) -> list[Blob]:
    """Connected density near a model, the largest first.

    Parameters
    ----------
    density : difference map.
    sigma : its unit.
    crystal : for symmetry mates; None without.
    model : atoms that a ligand may not touch, Å. (k, 3)
    extent : largest distance in the ligand, Å: blobs are looked at in cubes of that size.
    most : how many.
    """
    spline = spline_map(density)
    where = _seeds(density, sigma, crystal, model)
    done = np.zeros(len(where), dtype=bool)
    radius = 0.75 * extent + 3.0
    blobs: list[Blob] = []
    for k in range(len(where)):
        if done[k]:
            continue
        near = near_atoms(crystal, model, where[k], radius + TOO_NEAR)
        box = box_map(spline, sigma, where[k], radius, near, COARSE_STEP)
        blob = blob_at(box, where[k], THRESHOLD)
        if blob is None:
            continue
        done |= cKDTree(blob.points).query(where, distance_upper_bound=0.9)[0] < 0.9
        blobs.append(blob)
    return sorted(blobs, key=lambda b: -b.total)[:most]


def _seeds(density: SampledMap, sigma: float, crystal: Symmetry | None, model: Array) -> Array:
    """The highest peaks that are near a model and not in it. (n, 3)"""
    peaks = find_peaks(density, 3.0 * sigma)
    where, _, distance = nearest_images(crystal, peaks.xyz.numpy(), model)
    left = (distance > 1.6) & (distance < 7.0)
    return np.asarray(where[left][np.argsort(-peaks.height.numpy()[left], kind="stable")[:SEEDS]])


def near_atoms(crystal: Symmetry | None, model: Array, centre: Array, radius: float) -> Array:
    """Atoms and their mates in a cube. (k, 3)"""
    if crystal is None:
        return np.asarray(model[(np.abs(model - centre) < radius).all(axis=1)])
    return np.asarray(images_near(crystal, model, centre[None], radius).xyz)
