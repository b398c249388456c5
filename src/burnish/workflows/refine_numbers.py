"""Numbers of a refinement as JSON takes them."""

from __future__ import annotations

import math
from typing import Any

from burnish.models.refinement import CycleRecord


def cycle_numbers(record: CycleRecord) -> dict[str, float]:
    """One cycle as flat names."""
    return {
        "cycle": record.cycle,
        "weight": record.weight,
        "step": record.step,
        **record.data,
        **record.geometry,
    }


def without_nan(value: Any) -> Any:
    """JSON has no NaN: such numbers become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(v) for v in value]
    return value
