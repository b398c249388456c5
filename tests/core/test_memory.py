"""Freed arrays leave the process."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from burnish.core.memory import return_freed_memory


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
