"""When to stop rebuilding, and which round to keep: functions of numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundQuality:
    """What a round reached after refinement.

    Attributes
    ----------
    r_work, r_free : fractions.
    favoured_percent, rotamer_outlier_percent, clashscore : geometry.
    molprobity_score : geometry in one number.
    accepted : moves that led to this round.
    """

    r_work: float
    r_free: float
    favoured_percent: float
    rotamer_outlier_percent: float
    clashscore: float
    molprobity_score: float
    accepted: int


GEOMETRY_WEIGHT = 0.01  # one unit of the MolProbity score (Å of resolution) is worth a point of R-free
LEAST_GAIN = 0.0005


def merit(quality: RoundQuality) -> float:
    """Lower is better: R-free with a price on geometry, so that a gain of R-free bought with bad geometry is none."""
    return quality.r_free + GEOMETRY_WEIGHT * quality.molprobity_score


def best_round(history: Sequence[RoundQuality]) -> int:
    """Index of the round to keep; the earliest of equals."""
    return min(range(len(history)), key=lambda k: (merit(history[k]), k))


def should_stop(history: Sequence[RoundQuality], most: int) -> str | None:
    """Why to stop, or None to go on: enough rounds, nothing changed, or no gain in two rounds."""
    if len(history) > most:
        return f"{most} rounds done"
    if len(history) > 1 and history[-1].accepted == 0:
        return "no move was accepted"
    if len(history) > 2:
        earlier = min(merit(q) for q in history[:-2])
        if min(merit(q) for q in history[-2:]) > earlier - LEAST_GAIN:
            return "two rounds without gain"
    return None
