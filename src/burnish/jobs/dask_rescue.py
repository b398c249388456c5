"""What a Dask scheduler is asked to do from time to time; this runs there and imports nothing of ours."""

from __future__ import annotations

from typing import Any


def free_stuck(dask_scheduler: Any) -> int:
    """Let tasks run that wait for a worker of no known address; returns how many.

    A task that is best done by one worker and may be done by any is put aside where no worker is alive at the moment.
    When workers come again, the scheduler looks at the one that is gone alone, and the task would wait for ever.
    """
    stuck = {task.key: "processing" for task in dask_scheduler.unrunnable if task.loose_restrictions}
    if stuck and dask_scheduler.running:
        dask_scheduler.transitions(stuck, stimulus_id="burnish-free-stuck")
    return len(stuck)
