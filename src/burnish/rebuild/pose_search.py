"""Where and in which shape a molecule fits a box of density best: everywhere first, then uphill with random turns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from burnish.geometry.rotation_grid import even_rotations
from burnish.rebuild.flexible import (
    BoxMap,
    FlexibleBody,
    climb,
    distinct,
    kicked,
    pose_scores,
    turned_positions,
)

Array = NDArray[np.float64]

ROTATION_STEP = 0.6  # rad; a fifth of a turn's sixth: atoms 3 Å from the middle move by less than 2 Å
BLUR = 0.7  # Å; of the map that the first steps see
CENTRE_STEP = 1.2  # Å
MOST_CENTRES = 150
COARSE_MOST = 4.0  # σ; what counts of higher density in the search everywhere
CLIMBERS = 150  # poses that climb after the search everywhere
KEPT = 24  # of them that are turned at random and climb again
COPIES = 6
TURNS = 12  # of each bond at the end
POLISHED = 3  # poses whose bonds are turned all the way round


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """Positions of a molecule and what they score.

    Attributes
    ----------
    xyz : Å. (m, 3)
    score : weighted density less contacts within the molecule.
    """

    xyz: Array
    score: float


def search_poses(
    body: FlexibleBody, shapes: Array, box: BoxMap, blob: Array, generator: torch.Generator, *, most: int = 6
) -> list[Pose]:
    """The best poses, the best first.

    Parameters
    ----------
    body : what turns.
    shapes : conformers to start from, Å. (c, m, 3)
    box : density with the model's atoms as forbidden ground.
    blob : points of the density to fill; the middle of the molecule is tried near each of them. (k, 3)
    generator : of the random turns.
    most : how many, at least .7 Å rms apart.
    """
    blurred = _blurred(box)
    placed = _placed_everywhere(body, blurred, shapes, blob)
    xyz, _ = climb(body, blurred, placed, steps=25)
    scores = pose_scores(body, box, xyz)
    for k in range(2 + len(body.bonds) // 2):
        best = distinct(xyz, scores, least=1.2 if k < 3 else 0.6, most=KEPT)
        kept, value = climb(body, box, xyz[best], steps=12)
        moved, gained = climb(body, box, kicked(body, xyz[best], COPIES, generator), steps=25)
        xyz, scores = torch.cat([kept, moved]), torch.cat([value, gained])
    best = distinct(xyz, scores, least=0.7, most=most)
    xyz, scores = climb(body, box, xyz[best], steps=40)
    xyz, scores = polished(body, box, xyz, scores)
    return [
        Pose(xyz=xyz[k].double().numpy(), score=float(scores[k])) for k in distinct(xyz, scores, least=0.7, most=most)
    ]


def polished(body: FlexibleBody, box: BoxMap, xyz: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Each bond of the first poses turned all the way round, twice; what scores better is kept."""
    xyz, scores = xyz.clone(), scores.clone()
    turning = len(body.bonds)
    if turning == 0:
        return xyz, scores
    angles = torch.arange(1, TURNS) * (2.0 * torch.pi / TURNS)
    turns = (torch.eye(turning)[:, None] * angles[:, None]).reshape(-1, turning)
    for _ in range(2):
        for k in range(min(POLISHED, len(xyz))):
            tried = turned_positions(body, xyz[k].expand(len(turns), -1, -1), turns)
            moved, gained = climb(body, box, tried, steps=20)
            best = int(gained.argmax())
            if gained[best] > scores[k]:
                xyz[k], scores[k] = moved[best], gained[best]
    return xyz, scores


def _blurred(box: BoxMap) -> BoxMap:
    values = ndimage.gaussian_filter(box.values.numpy(), BLUR / box.step)
    return replace(box, values=torch.from_numpy(values))


def _placed_everywhere(body: FlexibleBody, box: BoxMap, shapes: Array, blob: Array) -> Tensor:
    """All conformers in all orientations at all centres, atoms at the nearest grid points; the best. (b, m, 3)"""
    rotations = even_rotations(ROTATION_STEP).numpy()
    middle = shapes.mean(1, keepdims=True)
    turned = np.einsum("rij,cmj->crmi", rotations, shapes - middle).reshape(-1, shapes.shape[1], 3)
    pad = int(np.ceil(np.abs(turned).max() / box.step)) + 1
    values = np.pad(box.values.numpy(), pad, constant_values=-1.0).clip(max=COARSE_MOST)
    _, ny, nx = values.shape
    flat = values.reshape(-1)
    centres = _centres(box, blob)
    at = np.round((centres - box.origin.numpy()) / box.step).astype(np.int64) + pad
    start = (at[:, 2] * ny + at[:, 1]) * nx + at[:, 0]
    weight = body.weight.float().numpy()
    steps = np.round(turned / box.step).astype(np.int64)
    offsets = (steps[..., 2] * ny + steps[..., 1]) * nx + steps[..., 0]
    scores = np.empty((len(turned), 2), dtype=np.float32)
    chosen = np.empty((len(turned), 2), dtype=np.int64)
    for k, offset in enumerate(offsets):
        found = flat[start[:, None] + offset[None]] @ weight
        chosen[k] = np.argpartition(found, -2)[-2:] if len(found) > 2 else [0, len(found) - 1]
        scores[k] = found[chosen[k]]
    order = np.argsort(-scores.reshape(-1), kind="stable")[:2500]
    shape, which = order // 2, chosen.reshape(-1)[order]
    xyz = torch.from_numpy(turned[shape] + centres[which][:, None]).float()
    return xyz[distinct(xyz, torch.from_numpy(scores.reshape(-1)[order]), least=1.0, most=CLIMBERS)]


def _centres(box: BoxMap, blob: Array) -> Array:
    """Points of a coarse grid in and beside a blob, those in its middle if there are too many. (k, 3)"""
    coarse = np.unique(np.round((blob - box.origin.numpy()) / CENTRE_STEP), axis=0)
    around = np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)])
    points = np.unique((coarse[:, None] + around[None]).reshape(-1, 3), axis=0) * CENTRE_STEP + box.origin.numpy()
    high = box.origin.numpy() + box.step * (np.array(box.values.shape[::-1]) - 1)
    points = points[((points >= box.origin.numpy()) & (points <= high)).all(axis=1)]
    density = np.array([(np.linalg.norm(blob - p, axis=1) < 4.0).sum() for p in points])
    return np.asarray(points[np.argsort(-density, kind="stable")[:MOST_CENTRES]])


def varied_shapes(body: FlexibleBody, shapes: Array, count: int, generator: torch.Generator) -> Array:
    """More conformers, by random turns about the bonds, those with the fewest contacts inside; as many as wanted.

    Conformers that are there are kept.
    """
    missing = count - len(shapes)
    if missing <= 0 or len(body.bonds) == 0:
        return shapes
    start = torch.from_numpy(shapes)
    turns = (torch.rand(4 * missing, len(body.bonds), generator=generator, dtype=torch.float64) * 2.0 - 1.0) * torch.pi
    made = turned_positions(body, start[torch.arange(4 * missing) % len(start)], turns)
    empty = BoxMap(values=torch.zeros(2, 2, 2), origin=torch.zeros(3), step=1.0)
    order = torch.argsort(pose_scores(body, empty, made), descending=True, stable=True)
    return np.concatenate([shapes, made[order[:missing]].numpy()])
