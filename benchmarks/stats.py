"""The few statistics that a side-by-side comparison needs."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from statistics import median
from typing import NamedTuple


class Interval(NamedTuple):
    """A median, and between which bounds the true one lies."""

    median: float
    low: float
    high: float

    def reaches(self, bound: float, *, at_most: bool) -> bool:
        """Whether the interval reaches a goal."""
        return self.low <= bound if at_most else self.high >= bound


def interval(values: Sequence[float]) -> Interval:
    """The median with its 95 % interval, from order statistics alone: no model of the noise.

    The k-th smallest and k-th largest of n values enclose the true median with a probability that
    only the binomial distribution decides. Fewer than six values cannot reach 95 %: then these are
    simply the extremes.
    """
    ordered = sorted(values)
    count = len(ordered)
    outside = 0.0
    rank = 0
    for k in range(count // 2):
        outside += 2 * comb(count, k) / 2**count
        if outside > 0.05:
            break
        rank = k
    return Interval(median(ordered), ordered[rank], ordered[-1 - rank])


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours in parts of theirs, pair by pair, as they were measured side by side."""
    return [our / their for our, their in zip(ours, theirs, strict=True) if their]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
