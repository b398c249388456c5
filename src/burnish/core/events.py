"""What a running job tells: terminal, log file and web page render the same events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Message:
    """One line for the log; a warning is something that the user should act on or know of."""

    text: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage has come; `total` of None means that nobody knows."""

    stage: str
    done: float
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Numbers of one iteration, for tables and live plots, as name → value."""

    series: str
    step: int
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shells:
    """Numbers by resolution shell at one iteration, as name → one value a shell; for live plots only."""

    series: str
    step: int
    columns: Mapping[str, Sequence[float]] = field(default_factory=dict)


Event = Message | Progress | Metrics | Shells
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""
