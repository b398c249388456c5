"""One number for the geometry of a protein, and where it stands among structures of like resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass


def molprobity_score(clashscore: float, rotamer_outlier_percent: float, favoured_percent: float) -> float:
    """MolProbity's combined score, on the scale of resolution in Å; lower is better.

    Notes
    -----
    .426 ln(1 + clashscore) + .33 ln(1 + max(0, rotamer outliers − 1)) + .25 ln(1 + max(0, (100 − favoured) − 2)) + .5
    (Chen et al. 2010, Acta Cryst. D66, 12, section 3.6).

    Examples
    --------
    >>> round(molprobity_score(0.0, 0.0, 100.0), 2)
    0.5
    """
    return (
        0.426 * math.log1p(clashscore)
        + 0.33 * math.log1p(max(0.0, rotamer_outlier_percent - 1.0))
        + 0.25 * math.log1p(max(0.0, (100.0 - favoured_percent) - 2.0))
        + 0.5
    )


@dataclass(frozen=True, slots=True)
class _Bin:
    d_min: float
    d_max: float
    clash_tenth: float
    clash_median: float
    score_tenth: float
    score_median: float


# Tenth percentile (the best tenth lies below) and median of structures of 2004–2006, from the tables of cctbx
_BINS = (
    _Bin(1.5, 1.8, 6.0, 12.3, 1.45, 1.95),
    _Bin(1.8, 2.0, 7.4, 14.9, 1.62, 2.16),
    _Bin(2.0, 2.2, 9.2, 18.4, 1.81, 2.38),
    _Bin(2.5, 2.8, 16.0, 31.0, 2.37, 2.98),
    _Bin(2.8, 3.2, 22.0, 43.0, 2.67, 3.33),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a value stands among structures of like resolution.

    Attributes
    ----------
    value : of this model; lower is better.
    tenth, median : of the structures; NaN where the resolution is outside the table (1.5–3.2 Å).
    percentile : estimated percentage of the structures that are worse, from a log-normal through both; NaN outside.
    """

    value: float
    tenth: float
    median: float
    percentile: float


def clashscore_standing(clashscore: float, d_min: float) -> Standing:
    """Standing of a clash score at the resolution `d_min`, Å."""
    middle = _interpolated(d_min, "clash_tenth", "clash_median")
    return _standing(clashscore, *middle)


def molprobity_standing(score: float, d_min: float) -> Standing:
    """Standing of a MolProbity score at the resolution `d_min`, Å."""
    middle = _interpolated(d_min, "score_tenth", "score_median")
    return _standing(score, *middle)


def _interpolated(d_min: float, tenth: str, median: str) -> tuple[float, float]:
    """Both percentiles at `d_min`, on straight lines between the middles of the bins."""
    if not _BINS[0].d_min <= d_min <= _BINS[-1].d_max:
        return math.nan, math.nan
    middles = [0.5 * (b.d_min + b.d_max) for b in _BINS]

    def at(name: str) -> float:
        values = [getattr(b, name) for b in _BINS]
        if d_min <= middles[0]:
            return values[0]
        for k in range(1, len(middles)):
            if d_min <= middles[k]:
                share = (d_min - middles[k - 1]) / (middles[k] - middles[k - 1])
                return values[k - 1] + share * (values[k] - values[k - 1])
        return values[-1]

    return at(tenth), at(median)


def _standing(value: float, tenth: float, median: float) -> Standing:
    if math.isnan(tenth):
        return Standing(value=value, tenth=tenth, median=median, percentile=math.nan)
    sigma = (math.log1p(median) - math.log1p(tenth)) / 1.2816  # the tenth percentile lies 1.2816 σ below the median
    z = (math.log1p(value) - math.log1p(median)) / sigma
    return Standing(value=value, tenth=tenth, median=median, percentile=100.0 * 0.5 * math.erfc(z / math.sqrt(2.0)))
