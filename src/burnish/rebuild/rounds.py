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
    r_free_error : standard deviation of R-free for its number of reflections, R / √(2n) (Brünger 1997, Methods
        Enzymol. 277, 366; Tickle et al. 2000, Acta Cryst. D56, 442).
    favoured_percent, rotamer_outlier_percent, clashscore : geometry.
    molprobity_score : geometry in one number.
    accepted : moves that led to this round.
    """

    r_work: float
    r_free: float
    r_free_error: float
    favoured_percent: float
    rotamer_outlier_percent: float
    clashscore: float
    molprobity_score: float
    accepted: int


LEAST_GAIN = 0.0005  # of R-free
CLEARER = 0.02  # of R-work
LEAST_SCORE = 0.02  # of the MolProbity score
LIKE_SCORE = 0.1  # of the MolProbity score: what one clash of a small protein makes


def best_round(history: Sequence[RoundQuality]) -> int:
    """Index of the round to keep: of those whose R-free cannot be told from the best, that of the best geometry.

    R-free of a few hundred reflections is uncertain by half a point or more; a round whose R-free lies within that of
    the lowest is as good a model by the data, and the MolProbity score decides. Of rounds that one clash tells apart it
    is that of the lowest R-free, then the earlier.
    """
    lowest = min(history, key=lambda q: q.r_free)
    alike = [k for k, q in enumerate(history) if q.r_free <= lowest.r_free + lowest.r_free_error]
    best = min(history[k].molprobity_score for k in alike)
    sound = [k for k in alike if history[k].molprobity_score < best + LIKE_SCORE]
    return min(sound, key=lambda k: (history[k].r_free, k))


def is_clearer(before: RoundQuality, now: RoundQuality) -> bool:
    """Whether the phases have improved so much that what failed in the maps before may succeed now."""
    return now.r_work < before.r_work - CLEARER


def should_stop(history: Sequence[RoundQuality], most: int) -> str | None:
    """Why to stop, or None to go on: enough rounds, nothing changed, or no gain in two rounds."""
    if len(history) > most:
        return f"{most} round{'s' if most > 1 else ''} done"
    if len(history) > 1 and history[-1].accepted == 0:
        return "no move was accepted"
    if len(history) > 2:
        before = history[best_round(history[:-2])]
        now = history[best_round(history)]
        fitter = now.r_free < before.r_free - LEAST_GAIN
        sounder = now.molprobity_score < before.molprobity_score - LEAST_SCORE
        if not fitter and not sounder:
            return "two rounds without gain"
    return None
