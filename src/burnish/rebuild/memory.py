"""What earlier rounds tried: failures are not repeated while nothing has changed, and nothing goes to and fro."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SAME = 0.25  # Å rms; a zone that moved by less since an attempt failed would fail again
BACK = 0.6  # Å rms; a conformation nearer than that to one that was left before is that one


@dataclass(slots=True)
class Memory:
    """Grows from round to round; the only thing in rebuilding that does.

    Attributes
    ----------
    failed : by kind and residue, positions of the zone when its attempt failed. (m, 3) each
    left : by residue, positions of the judged atoms of conformations that were given up. (j, 3) each
    made : likewise, of those that they were given up for.
    """

    failed: dict[str, Array] = field(default_factory=dict)
    left: dict[str, list[Array]] = field(default_factory=dict)
    made: dict[str, list[Array]] = field(default_factory=dict)

    @property
    def is_new(self) -> bool:
        """Whether this is the first round."""
        return not self.failed and not self.left

    def would_repeat(self, kind: str, residue: str, xyz: Array) -> bool:
        """Whether this was tried, in vain, on a zone that has hardly moved since. xyz: of the zone (m, 3)"""
        return _alike(self.failed.get(f"{kind}|{residue}"), xyz, SAME)

    def remember_failure(self, kind: str, residue: str, xyz: Array) -> None:
        """Note that nothing better was found for a zone at these positions (m, 3)."""
        self.failed[f"{kind}|{residue}"] = xyz.copy()

    def forget_failures(self) -> None:
        """What failed may be tried again: the maps have become clearer. That rounds have been is not forgotten."""
        self.failed = {k: np.zeros((0, 3)) for k in self.failed}

    def goes_back(self, residue: str, now: Array, xyz: Array) -> bool:
        """Whether the judged atoms (j, 3) would return to a conformation that was given up in an earlier round.

        Or to one that was made then and that refinement has left for where they are `now`: it would do so again.
        """
        undone = [x for x in self.made.get(residue, ()) if not _alike(x, now, BACK)]
        return any(_alike(old, xyz, BACK) for old in (*self.left.get(residue, ()), *undone))

    def remember_left(self, residue: str, xyz: Array, now: Array) -> None:
        """Note the conformation that a residue has just given up for `now`, by its judged atoms (j, 3).

        One that was only straightened was not given up.
        """
        if not _alike(xyz, now, BACK):
            self.left.setdefault(residue, []).append(xyz.copy())
            self.made.setdefault(residue, []).append(now.copy())

    def as_record(self) -> dict[str, Any]:
        """Plain values, for a file."""
        return {
            "failed": {k: v.tolist() for k, v in self.failed.items()},
            "left": {k: [x.tolist() for x in v] for k, v in self.left.items()},
            "made": {k: [x.tolist() for x in v] for k, v in self.made.items()},
        }


def memory_from_record(record: dict[str, Any]) -> Memory:
    """The memory that `as_record` was made of."""
    return Memory(
        failed={k: np.array(v) for k, v in record["failed"].items()},
        left={k: [np.array(x) for x in v] for k, v in record["left"].items()},
        made={k: [np.array(x) for x in v] for k, v in record.get("made", {}).items()},
    )


def _alike(old: Array | None, new: Array, limit: float) -> bool:
    if old is None or old.shape != new.shape or len(new) == 0:
        return False
    return float(np.sqrt(((old - new) ** 2).sum(axis=1).mean())) < limit
