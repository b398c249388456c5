"""Halves of a Cn particle that have turned against each other come back while a refinement runs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.particles.phantom import write_set

from burnish.io.mrc import read_map
from burnish.io.particles import read_particles
from burnish.jobs.folder import Job
from burnish.options.refine3d import Refine3DOptions
from burnish.particles import refinement
from burnish.particles.frames import turned_map
from burnish.particles.reconstruct import shell_correlation
from burnish.particles.state import load_state, save_state
from burnish.workflows import refine3d

TURN = math.radians(17.0)


def refine(o: Refine3DOptions) -> dict:  # type: ignore[type-arg]
    job = Job("refine3d", o.out, o.model_dump(mode="json"))
    summary = refine3d.run(o, job)
    job.finish(summary)
    return summary


def turn_second_half(folder: Path, iteration: int) -> Path:
    """Turn the second half's map and poses about the axis in a checkpoint; its optimiser file."""
    path = folder / f"run_it{iteration:03d}_checkpoint.pt"
    state = load_state(path)
    c, s = math.cos(TURN), math.sin(TURN)
    turn = torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    half = read_particles(folder / f"run_it{iteration:03d}_data.star").particles.half_set
    mine = (half == 1)[:, None, None]
    maps = state.maps.clone()
    maps[1] = turned_map(maps[1], turn)
    owners = mine[state.modes.owner]
    modes = replace(state.modes, rotation=torch.where(owners, state.modes.rotation @ turn, state.modes.rotation))
    rotation = torch.where(mine, state.rotation @ turn, state.rotation)
    save_state(replace(state, maps=maps, modes=modes, rotation=rotation), path)
    return folder / f"run_it{iteration:03d}_optimiser.star"


def agreement(folder: Path) -> float:
    """Mean FSC of the half maps between 64 and 13 Å."""
    halves = [read_map(folder / f"run_half{h}_class001_unfil.mrc").values for h in (1, 2)]
    return float(shell_correlation(*halves)[2:10].mean())


def test_turned_halves_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    particles, reference, _, _ = write_set(tmp_path, symmetry="C5", count=60, noise=1.0)
    straight = tmp_path / "straight"
    o = Refine3DOptions(
        particles=particles, reference=reference, symmetry="C5", mask_diameter=90.0, initial_lowpass=30.0,
        join_halves=60.0, out=straight, memory=4.0, offset_range=4.0, max_iterations=6,
    )  # fmt: skip
    refine(o)
    begun = turn_second_half(straight, 4)
    refine(Refine3DOptions(continue_from=begun, out=tmp_path / "cured"))
    assert "the halves had turned by" in (tmp_path / "cured" / "run.log").read_text()
    monkeypatch.setattr(refinement, "rejoin_halves", lambda state, *rest: (state, 0.0))
    refine(Refine3DOptions(continue_from=begun, out=tmp_path / "left"))
    found = {name: agreement(tmp_path / name) for name in ("straight", "cured", "left")}
    assert found["cured"] > found["straight"] - 0.03
    assert found["left"] < found["straight"] - 0.15  # what the cure is for
