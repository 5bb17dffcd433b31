"""How much of one retraining a trial takes, and whether that is within the budget, on a machine that others may use, too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import mean, median

import numpy as np

FEWEST_TIMED, MOST_TIMED = 3, 9  # trials of a run
LEEWAY = 0.1  # of what is allowed: single shares differ by as much on a machine that nobody else seems to use
BUSY = 0.5  # of the time of all cores
UNEVEN = 0.5  # by which the mean of the trials' seconds may be more than their median, of that
SLACK = 0.01  # of one retraining, by which seconds may differ whatever they are
_MEDIAN = math.sqrt(math.pi / 2)  # standard error of a median over that of a mean, of a normal distribution


def margin_of_median(values: Sequence[float]) -> float:
    """How far the median of a distribution may be from that of values drawn from it, 95 %, if it is about normal.

    >>> round(margin_of_median([0.9, 1.0, 1.1]), 2), margin_of_median([1.0])
    (0.31, inf)
    """
    from scipy.stats import t

    if len(values) < 2:
        return math.inf
    return float(t.ppf(0.975, len(values) - 1) * _MEDIAN * np.std(values, ddof=1) / math.sqrt(len(values)))


@dataclass(frozen=True)
class Timing:
    """The timed trials of a run, beside epochs of retraining right before and right after each; none of a control row.

    What slows both down leaves shares as they are: a neighbour takes caches, clock and the other half of the core, which cost
    CPU time, too. Single epochs may be slow by chance, which a ratio of medians bears better than a median of ratios.
    """

    seconds: Sequence[float]  # of each timed trial
    beside: Sequence[Sequence[float]]  # seconds of one retraining, as it was right before and right after each
    allowed: float  # share of one retraining
    retraining: float  # seconds, at the fastest that was seen
    busy: Sequence[float] = ()  # share of the time of all cores that others used meanwhile, for each timed trial
    peak_memory: Sequence[float] = ()  # bytes, of each timed trial
    scored: Sequence[float] = ()  # seconds of every trial when it was scored, of a stack its part

    @property
    def shares(self) -> list[float]:
        """Of one retraining, for each timed trial."""
        return [seconds / mean(beside) for seconds, beside in zip(self.seconds, self.beside, strict=True)]

    @property
    def share(self) -> float:
        """The median of the trials over the median of what was beside them; NaN without any."""
        return median(self.seconds) / median(chain.from_iterable(self.beside)) if self.seconds else math.nan

    @property
    def margin(self) -> float:
        """By how much the share may be more or less, 95 %."""
        return margin_of_median(self.shares)

    @property
    def most(self) -> float:
        """The largest share that is not over budget: a tenth above what is allowed."""
        return (1 + LEEWAY) * self.allowed

    @property
    def undecided(self) -> bool:
        """Whether the share may be more as well as less than the largest that is not over budget."""
        return not abs(self.share - self.most) > self.margin

    @property
    def over_budget(self) -> bool:
        """Whether the share is more than that."""
        return self.share > self.most

    @property
    def borderline(self) -> bool:
        """Whether it is within a tenth of what is allowed."""
        return abs(self.share - self.allowed) <= LEEWAY * self.allowed

    @property
    def uneven(self) -> bool:
        """Whether some trials take so much longer than most that a median tells little of what all cost."""
        if not self.scored:
            return False
        usual, more = median(self.scored), mean(self.scored) - median(self.scored)
        return more > UNEVEN * usual + SLACK * self.retraining

    @property
    def on_busy_machine(self) -> bool:
        """Whether others used more than half of the cores' time, in the median of the trials."""
        return bool(self.busy) and median(self.busy) > BUSY

    @property
    def unclear(self) -> bool:
        """Whether it was measured on a busy machine, and may be over budget as well as not."""
        return self.on_busy_machine and self.undecided
