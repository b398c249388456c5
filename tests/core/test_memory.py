"""Freed arrays leave the process, or serve again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from burnish.core import memory
from burnish.core.memory import return_freed_memory, return_small_blocks


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_freed_arrays_leave_the_process() -> None:
    def resident_mib() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

    if not return_freed_memory():
        pytest.skip("the C library has no mallopt")
    before = resident_mib()
    arrays = [np.ones(2_000_000) for _ in range(10)]  # 15 MiB each
    assert resident_mib() > before + 100
    del arrays
    assert resident_mib() < before + 30


FAULTS = """
import resource, sys
import numpy as np
from burnish.core.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    np.ones(1_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts page faults of Linux")
def test_freed_arrays_serve_again_where_the_environment_says_otherwise() -> None:
    if not return_freed_memory():
        pytest.skip("the C library has no mallopt")
    environment = os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"}
    faults = [
        int(
            subprocess.run([sys.executable, "-c", FAULTS, how], env=environment, capture_output=True, check=True).stdout
        )
        for how in ("keep", "leave")
    ]
    assert faults[0] < faults[1] / 4


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_small_blocks_are_given_back_when_there_are_many() -> None:
    def resident_mib() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

    if not return_small_blocks(least=0):
        pytest.skip("the C library cannot give them back")
    arrays = [np.ones(2_000) for _ in range(4_000)]  # 61 MiB in blocks that are never mapped apart
    last = np.ones(2_000)  # holds the end of the heap
    del arrays
    before = resident_mib()
    assert return_small_blocks(least=1 << 40)
    assert resident_mib() > before - 10
    assert return_small_blocks()
    assert resident_mib() < before - 40
    assert last[0] == 1.0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the heap of glibc")
def test_a_c_library_that_cannot_count_its_free_pages_gives_them_back(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Older:  # than glibc 2.33
        @staticmethod
        def malloc_trim(pad: int) -> int:
            asked.append(pad)
            return 1

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: Older())
    assert return_small_blocks(least=1 << 40)
    assert asked == [0]
