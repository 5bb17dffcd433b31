"""How much of one retraining a trial takes, and whether that is within the budget, on a machine that others may use, too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST_TIMED, MOST_TIMED = 3, 9  # trials of a run
LEEWAY = 0.1  # of what is allowed: single shares differ by as much on a machine that nobody else seems to use
BUSY = 0.5  # of the time of all cores
_MEDIAN = math.sqrt(math.pi / 2)  # standard error of a median over that of a mean, of a normal distribution


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Where the median of a distribution lies that values were drawn from, 95 %, if it is about normal; one says nothing.

    >>> [round(end, 2) for end in median_interval([0.9, 1.0, 1.1])]
    [0.69, 1.31]
    """
    from scipy.stats import t

    if len(values) < 2:
        return -math.inf, math.inf
    middle = float(np.median(values))
    reach = float(t.ppf(0.975, len(values) - 1) * _MEDIAN * np.std(values, ddof=1) / math.sqrt(len(values)))
    return middle - reach, middle + reach


@dataclass(frozen=True)
class Timing:
    """The timed trials of a run, as shares of one retraining; none of a control row.

    A share compares a trial with epochs of retraining right before and after it. What slows both down leaves it as it is: a
    neighbour takes caches, clock and the other half of the core, which cost CPU time, too.
    """

    shares: Sequence[float]  # of one retraining, for each timed trial
    allowed: float  # share of one retraining
    retraining: float  # seconds, at the fastest that was seen
    busy: Sequence[float] = ()  # share of the time of all cores that others used meanwhile, for each timed trial
    peak_memory: Sequence[float] = ()  # bytes, of each timed trial

    @property
    def share(self) -> float:
        """The median share; NaN without any."""
        return float(np.median(self.shares)) if self.shares else math.nan

    @property
    def most(self) -> float:
        """The largest share that is not over budget: a tenth above what is allowed."""
        return (1 + LEEWAY) * self.allowed

    @property
    def undecided(self) -> bool:
        """Whether the interval of the median covers the largest share that is not over budget."""
        low, high = median_interval(self.shares) if self.shares else (-math.inf, math.inf)
        return low <= self.most <= high

    @property
    def over_budget(self) -> bool:
        """Whether the median is more than that."""
        return self.share > self.most

    @property
    def borderline(self) -> bool:
        """Whether it is within a tenth of what is allowed."""
        return abs(self.share - self.allowed) <= LEEWAY * self.allowed

    @property
    def on_busy_machine(self) -> bool:
        """Whether others used more than half of the cores' time, in the median of the trials."""
        return bool(self.busy) and float(np.median(self.busy)) > BUSY

    @property
    def unclear(self) -> bool:
        """Whether it was measured on a busy machine, and may be over budget as well as not."""
        return self.on_busy_machine and self.undecided
