"""What an iteration has to compute and to move at least, and how fast a device does either: its floor.

The counts are those of the mathematics as it is arranged here (products over common grids, one gather of eight corners
a pixel), not of temporaries that array operations write beside: a fused kernel would reach them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from burnish.particles.controller import Plan
from burnish.particles.modes import march_radii
from burnish.particles.store import BlockStore

_COMPLEX, _FLOAT = 8, 4  # bytes
_CORNERS = 8
_SCORE_PASSES = 4  # a score is written, and read to find the peak, the weight, and for the sums
_PER_MODE_PIXEL = 200  # operations: interpolation with slope, five derivatives and the fifteen products of them
_PRODUCT, _COPY = 4096, 2**26  # edge of the product and numbers copied, to measure rates with


@dataclass(frozen=True, slots=True)
class Work:
    """Operations (multiplications and additions) and bytes of memory traffic."""

    operations: float
    bytes: float

    def __add__(self, other: Work) -> Work:
        return Work(self.operations + other.operations, self.bytes + other.bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What a device was measured to do: operations of products and bytes of copies in a second."""

    operations: float
    bytes: float

    def floor(self, work: Work) -> float:
        """Seconds that the work takes at least, arithmetic and traffic at the same time."""
        return max(work.operations / self.operations, work.bytes / self.bytes)


def measure_rates(device: torch.device, product: int = _PRODUCT, copy: int = _COPY) -> Rates:
    """Rates of one product of square matrices and one copy, the best of three each."""
    a = torch.ones(product, product, device=device)
    source = torch.zeros(copy, device=device)
    target = torch.empty_like(source)

    def seconds(work: str) -> float:
        _wait(device)
        began = time.perf_counter()
        if work == "product":
            torch.mm(a, a)
        else:
            target.copy_(source)
        _wait(device)
        return time.perf_counter() - began

    fastest = {work: min(seconds(work) for _ in range(4)) for work in ("product", "copy")}
    return Rates(operations=2.0 * product**3 / fastest["product"], bytes=2.0 * _FLOAT * copy / fastest["copy"])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def work_of(plan: Plan, store: BlockStore, rotations: int, shifts: int, modes: int) -> Work:
    """Work of an iteration.

    Parameters
    ----------
    rotations, shifts : of the grid, if the plan has one.
    modes : that the particles have together at the end.
    """
    images, blocks = len(store.particles), len(store.blocks)
    count = [sum(x.count(r) for x in store.lattices) / len(store.lattices) for r in range(store.frame.shells + 1)]
    at, in_map = count[plan.radius], count[plan.map_radius]
    if plan.stage == "grid":
        scored = _grid_scores(images, blocks, rotations, shifts, at)
        summed = Work(
            2.0 * images * rotations * in_map * (2 * shifts + 1), 2.0 * blocks * rotations * 3 * in_map * _FLOAT
        )
        return scored + summed + _insertion(2 * rotations, in_map)
    evaluations = Work(0.0, 0.0)
    for pixels, number in _evaluations(plan, count, images, modes):
        evaluations += Work(number * pixels * _PER_MODE_PIXEL, number * pixels * (_CORNERS + 1) * _COMPLEX)
    found = _insertion(modes, in_map) + evaluations
    if not plan.search:
        return found
    return found + _grid_scores(images, blocks, rotations, shifts, count[plan.search_radius])


def _evaluations(plan: Plan, count: list[float], images: int, modes: int) -> list[tuple[float, float]]:
    """How many modes are evaluated at how many pixels: carried ones, their power, and those found on the march."""
    carried = [(count[plan.radius], float(modes * (plan.steps + 2)))]
    if not plan.search:
        return carried
    radii = march_radii(plan.search_radius, plan.radius)
    steps = [4.0 * plan.candidates, *(2.0 * plan.limit for _ in radii[1:])]
    return carried + [(count[r], images * s) for r, s in zip(radii, steps, strict=True)]


def _grid_scores(images: int, blocks: int, rotations: int, shifts: int, pixels: float) -> Work:
    products = 2.0 * images * rotations * pixels * (2 * shifts + 1)
    banks = 3.0 * blocks * rotations * pixels * _FLOAT + 2.0 * rotations * pixels * _CORNERS * _COMPLEX
    return Work(products, banks + _SCORE_PASSES * _FLOAT * images * rotations * shifts)


def _insertion(slices: int, pixels: float) -> Work:
    """Three numbers read and written at eight corners of each pixel."""
    return Work(slices * pixels * _CORNERS * 3 * 2.0, slices * pixels * _CORNERS * 3 * 2.0 * _FLOAT)
