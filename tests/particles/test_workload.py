"""Counts of an iteration's work, and rates of a device."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from burnish.particles.controller import Plan
from burnish.particles.lattice import make_lattice
from burnish.particles.store import Frame
from burnish.particles.workload import Rates, Work, measure_rates, work_of


def store(images: int = 10, blocks: int = 2) -> Any:
    return SimpleNamespace(
        particles=range(images), blocks=range(blocks), lattices=(make_lattice(32, 1.0, 15),),
        frame=Frame(size=32, pixel_size=4.0, mask_radius=60.0),
    )  # fmt: skip


def test_grid_is_two_products() -> None:
    """Scores and sums are o × 2k × (b t) products, power and weight o × k × b ones: two operations a term."""
    lattice = make_lattice(32, 1.0, 15)
    k, in_map = lattice.count(6), lattice.count(9)
    work = work_of(Plan(stage="grid", order=2, radius=6, map_radius=9), store(), 100, 21, 0)
    products = 2 * 10 * 100 * (2 * 21 + 1) * (k + in_map)
    assert work.operations == pytest.approx(products + 2 * 100 * in_map * 8 * 3 * 2)


def test_work_is_linear_in_particles_and_a_search_adds_to_it() -> None:
    plan = Plan(stage="modes", order=2, radius=12, map_radius=14)
    one, two = work_of(plan, store(10), 0, 0, 30), work_of(plan, store(20), 0, 0, 60)
    assert two.operations == pytest.approx(2 * one.operations) and two.bytes == pytest.approx(2 * one.bytes)
    searching = Plan(stage="modes", order=2, radius=12, map_radius=14, search=True, search_radius=6)
    assert work_of(searching, store(10), 100, 21, 30).operations > one.operations


def test_floor_is_the_slower_of_both() -> None:
    rates = Rates(operations=10.0, bytes=2.0)
    assert rates.floor(Work(100.0, 4.0)) == 10.0
    assert rates.floor(Work(100.0, 40.0)) == 20.0
    assert (Work(1.0, 2.0) + Work(3.0, 4.0)) == Work(4.0, 6.0)


def test_rates_are_measured() -> None:
    rates = measure_rates(torch.device("cpu"), product=64, copy=2**12)
    assert rates.operations > 0 and rates.bytes > 0
