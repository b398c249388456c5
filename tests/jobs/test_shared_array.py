"""Arrays that processes of one machine fill together."""

import subprocess
import sys

import numpy as np
import pytest

from burnish.jobs.shared_array import can_share, fill, shared_array

pytestmark = pytest.mark.skipif(not can_share(), reason="no memfd here")
OTHER = (
    "import sys, numpy as np; from burnish.jobs.shared_array import fill; fill(sys.argv[1], 6, np.arange(6.0)[::-1])"
)


def test_parts_come_from_several_processes() -> None:
    with shared_array((4, 3)) as (name, values):
        fill(name, 0, np.arange(6, dtype=np.float32).reshape(2, 3))
        subprocess.run([sys.executable, "-c", OTHER, name], check=True)
    assert values.tolist() == [[0, 1, 2], [3, 4, 5], [5, 4, 3], [2, 1, 0]]
    values += 1.0  # stays valid and is the caller's own
    assert values[0, 0] == 1.0


def test_a_part_that_does_not_lie_in_one_piece() -> None:
    with shared_array((2, 2)) as (name, values):
        fill(name, 0, np.array([[1.0, 2.0], [3.0, 4.0]]).T)
    assert values.tolist() == [[1, 3], [2, 4]]


def test_who_comes_late_writes_nowhere() -> None:
    with shared_array((3,)) as (old, _):
        pass
    with pytest.raises(FileNotFoundError):
        fill(old, 0, np.ones(3))
    with shared_array((3,)) as (new, values):
        assert new.split()[0] == old.split()[0]  # the same place
        with pytest.raises(FileNotFoundError, match="gone"):
            fill(old, 0, np.ones(3))
    assert values.tolist() == [0, 0, 0]
