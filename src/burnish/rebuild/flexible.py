"""Molecules that turn about their bonds, placed in density: many poses at once.

A pose is a rotation, a shift and an angle for each bond that can be turned. Poses are scored by density at the atoms
and by atoms of the molecule that come too near each other, and climb by the gradient of that score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burnish.geometry.rotations import rotation_from_vector
from burnish.geometry.torsions import rotate_about_axis

Index = NDArray[np.int64]

CONTACT = 2.9  # Å; atoms four or more bonds apart come no nearer, hydrogen bonds and planar rings aside
CONTACT_WEIGHT = 4.0  # per Å² and pair
SMOOTH = 6.0  # σ of the map; higher density than that counts no more, lest a heavy atom's peak draws everything
STEP = 0.06  # rad or Å a step of the climb


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexibleBody:
    """What can turn in a molecule.

    Attributes
    ----------
    weight : of the density at each atom: electrons / 6; 0 for atoms that do not count. (m,)
    bonds : axes, from the side that stays to the side that turns. (t, 2)
    moving : which atoms turn with each axis. bool (t, m)
    apart : pairs of atoms that may not come too near each other. (p, 2)
    is_anchored : the body does not move as a whole, only about its bonds.
    """

    weight: Tensor
    bonds: Index
    moving: NDArray[np.bool_]
    apart: Index
    is_anchored: bool = False

    def __len__(self) -> int:
        return len(self.weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxMap:
    """Density for poses on a cubic grid in a box, σ, with what is taken already as low values.

    Attributes
    ----------
    values : indexed [z, y, x]. (nz, ny, nx) float32
    origin : position of the first point (x, y, z), Å. (3,)
    step : Å.
    """

    values: Tensor
    origin: Tensor
    step: float


def flexible_body(
    weight: Tensor, pairs: Index, turning: Index, *, anchor: int = 0, is_anchored: bool = False
) -> FlexibleBody:
    """Work out what turns about which bond.

    Parameters
    ----------
    weight : of each atom. (m,)
    pairs : all bonds. (b, 2)
    turning : those that can be turned. (t, 2)
    anchor : an atom that no bond turns; without `is_anchored` the larger side of each bond stays.
    is_anchored : whether the body stays where it is as a whole.
    """
    n = len(weight)
    graph: dict[int, list[int]] = {}
    for i, j in pairs.tolist():
        graph.setdefault(i, []).append(j)
        graph.setdefault(j, []).append(i)
    axes, masks = [], []
    for i, j in turning.tolist():
        side = _side(graph, i, j)
        stays = anchor not in side if is_anchored else len(side) <= n - len(side)
        first, second, turned = (i, j, side) if stays else (j, i, _side(graph, j, i))
        mask = np.zeros(n, dtype=bool)
        mask[sorted(turned - {second})] = True
        if mask.any():
            axes.append((first, second))
            masks.append(mask)
    # axes nearer to what stays come first, so that each turns what the ones before it have moved
    order = sorted(range(len(axes)), key=lambda k: -int(masks[k].sum()))
    return FlexibleBody(
        weight=weight,
        bonds=np.array([axes[k] for k in order], dtype=np.int64).reshape(-1, 2),
        moving=np.array([masks[k] for k in order], dtype=bool).reshape(-1, n),
        apart=_far_pairs(graph, n),
        is_anchored=is_anchored,
    )


def _side(graph: dict[int, list[int]], near: int, far: int) -> set[int]:
    """Atoms on the far side of a bond, `far` among them."""
    seen, waiting = {far}, [far]
    while waiting:
        atom = waiting.pop()
        for other in graph.get(atom, ()):
            if other not in seen and not (atom == far and other == near):
                seen.add(other)
                waiting.append(other)
    return seen


def _far_pairs(graph: dict[int, list[int]], n: int) -> Index:
    """Pairs at least four bonds apart."""
    close = np.eye(n, dtype=bool)
    bonded = np.zeros((n, n), dtype=bool)
    for i, others in graph.items():
        bonded[i, others] = True
    reach = close.copy()
    for _ in range(3):
        reach = reach | (reach @ bonded)
    first, second = np.nonzero(np.triu(~reach, 1))
    return np.stack([first, second], axis=1).astype(np.int64)


def turned_positions(body: FlexibleBody, start: Tensor, turns: Tensor) -> Tensor:
    """Positions after turning about the bonds. (b, m, 3)

    Parameters
    ----------
    start : positions, Å. (b, m, 3)
    turns : angles, rad. (b, t)
    """
    xyz = start
    for k, (first, second) in enumerate(body.bonds.tolist()):
        moving = torch.from_numpy(np.flatnonzero(body.moving[k]))
        axis = xyz[:, second] - xyz[:, first]
        turned = rotate_about_axis(xyz[:, moving], xyz[:, second], axis, turns[:, k])
        xyz = xyz.index_copy(1, moving, turned)
    return xyz


def posed(body: FlexibleBody, start: Tensor, rotation: Tensor, shift: Tensor, turns: Tensor) -> Tensor:
    """Positions of poses: turned about bonds, then rotated about the mean of `start` and shifted. (b, m, 3)

    Parameters
    ----------
    start : (b, m, 3)
    rotation : vectors, rad. (b, 3)
    shift : Å. (b, 3)
    turns : rad. (b, t)
    """
    xyz = turned_positions(body, start, turns)
    if body.is_anchored:
        return xyz
    centre = start.mean(1, keepdim=True)
    return (xyz - centre) @ rotation_from_vector(rotation).transpose(1, 2) + centre + shift[:, None]


def density_at(box: BoxMap, xyz: Tensor) -> Tensor:
    """Density at positions by trilinear interpolation, differentiable; 0 outside. (b, m)"""
    size = torch.tensor([box.values.shape[2], box.values.shape[1], box.values.shape[0]], dtype=xyz.dtype)
    at = 2.0 * (xyz - box.origin.to(xyz)) / box.step / (size - 1.0) - 1.0
    values = torch.nn.functional.grid_sample(
        box.values.to(xyz.dtype)[None, None], at[None, None], mode="bilinear", align_corners=True
    )
    return values[0, 0, 0]


def pose_scores(body: FlexibleBody, box: BoxMap, xyz: Tensor) -> Tensor:
    """Weighted density of each pose less its own contacts; larger is better. (b,)"""
    density = (density_at(box, xyz).clamp(max=SMOOTH) * body.weight.to(xyz)).sum(1)
    if len(body.apart) == 0:
        return density
    delta = xyz[:, body.apart[:, 0]] - xyz[:, body.apart[:, 1]]
    distance = delta.square().sum(-1).clamp(min=1e-6).sqrt()
    return density - CONTACT_WEIGHT * (CONTACT - distance).clamp(min=0.0).square().sum(1)


def climb(body: FlexibleBody, box: BoxMap, start: Tensor, *, steps: int = 40) -> tuple[Tensor, Tensor]:
    """Poses moved uphill by Adam's method, all at once.

    Returns
    -------
    The best positions that each pose came through (b, m, 3), and their scores (b,).
    """
    batch, turning = len(start), len(body.bonds)
    parameters = torch.zeros(batch, 6 + turning, dtype=start.dtype, requires_grad=True)
    first, second = torch.zeros_like(parameters), torch.zeros_like(parameters)
    best, best_xyz = torch.full((batch,), -torch.inf, dtype=start.dtype), start.clone()
    for step in range(1, steps + 1):
        xyz = posed(body, start, parameters[:, :3], parameters[:, 3:6], parameters[:, 6:])
        scores = pose_scores(body, box, xyz)
        with torch.no_grad():
            better = scores > best
            best = torch.where(better, scores, best)
            best_xyz = torch.where(better[:, None, None], xyz, best_xyz)
        (gradient,) = torch.autograd.grad(scores.sum(), parameters)
        with torch.no_grad():
            first = 0.85 * first + 0.15 * gradient
            second = 0.97 * second + 0.03 * gradient.square()
            size = first / (1 - 0.85**step) / ((second / (1 - 0.97**step)).sqrt() + 1e-9)
            rate = STEP * (1.0 if step < 0.6 * steps else 0.3)
            parameters = (parameters + rate * size).requires_grad_()
    return best_xyz.detach(), best.detach()


def distinct(xyz: Tensor, scores: Tensor, *, least: float = 0.7, most: int = 10) -> list[int]:
    """The best poses that differ by at least `least` Å rms from better ones, the best first."""
    chosen: list[int] = []
    for k in torch.argsort(scores, descending=True).tolist():
        if not chosen or float((xyz[chosen] - xyz[k]).square().sum(-1).mean(-1).sqrt().min()) > least:
            chosen.append(k)
        if len(chosen) == most:
            break
    return chosen


def kicked(body: FlexibleBody, start: Tensor, copies: int, generator: torch.Generator) -> Tensor:
    """Each pose several times with one or two of its bonds turned at random. (b · copies, m, 3)"""
    turning = len(body.bonds)
    repeated = start.repeat_interleave(copies, dim=0)
    if turning == 0:
        return repeated
    wild = (torch.rand(len(repeated), turning, generator=generator) * 2.0 - 1.0) * torch.pi
    share = torch.rand(len(repeated), turning, generator=generator)
    chosen = share >= share.topk(min(2, turning), dim=1).values[:, -1:]
    few = torch.rand(len(repeated), turning, generator=generator) * 0.3
    return turned_positions(body, repeated, torch.where(chosen, wild, few).to(start.dtype))
