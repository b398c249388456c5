"""A refinement whose process dies again and again loses at most one iteration each time, and no bit of the result."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from tests.particles.phantom import write_set
from tests.worker.killing import LONGEST, start

from burnish.io.mrc import read_map

ARGUMENTS = (
    "refine3d --particles particles.star --reference initial.mrc --symmetry D2 --mask-diameter 90 --initial-lowpass 30 "
    "--join-halves 60 --memory 4 --offset-range 4 --out job"
)


def optimisers(folder: Path) -> list[Path]:
    return sorted(folder.glob("run_it*_optimiser.star"))


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_from_the_last_iteration(tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("whole", "killed")}
    for place in places.values():
        place.mkdir()
        write_set(place, symmetry="D2", count=60, noise=1.0)
    assert start(ARGUMENTS.split(), places["whole"]).wait(LONGEST) == 0
    draw, job = random.Random(1), places["killed"] / "job"
    for _ in range(5):
        done = optimisers(job)
        again = f"refine3d --continue {done[-1].relative_to(places['killed'])} --out job" if done else ARGUMENTS
        process = start(again.split(), places["killed"])
        began = time.monotonic()
        # files of the next iteration begin with its table of particles
        while len(list(job.glob("run_it*_data.star"))) <= len(done) and process.poll() is None:
            assert time.monotonic() - began < LONGEST
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, 0.5))
        process.kill()
        process.wait(LONGEST)
        written = len(list(job.glob("run_it*_checkpoint.pt")))
        assert len(optimisers(job)) >= written - 1  # at most the iteration that was being written is lost
    last = optimisers(job)[-1].relative_to(places["killed"])
    assert start(f"refine3d --continue {last} --out job".split(), places["killed"]).wait(LONGEST) == 0
    for name in ("run_class001.mrc", "run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc"):
        maps = [read_map(place / "job" / name).values for place in places.values()]
        assert bool((maps[0] == maps[1]).all())
