"""Can two runs be told apart?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.errors import BenchError
from bench.metrics.distinguishability import p_value
from bench.metrics.exchange import EXCHANGES, exchanged_differences
from bench.metrics.resampling import LEVEL
from bench.progress import Progress
from bench.scoring.divisions import differences
from bench.scoring.ranking import memory, memory_p_values
from bench.scoring.rows import Row, row
from bench.scoring.scorecard import CHALLENGE, CHALLENGE_METRIC, HEADLINE, HEADLINE_METRIC
from bench.scoring.scorer import Scorer
from bench.scoring.stored import score_runs
from bench.store.runs import Run
from bench.store.store import Store


@dataclass(frozen=True)
class Verdict:
    """One number of two runs, and how surely it differs."""

    values: tuple[float, float]
    difference: float  # the first less the second; of memory left by their distances from 0, which are tested
    p_value: float
    better: int  # which of the two

    @property
    def distinguishable(self) -> bool:
        """Whether they can be told apart at 5 %."""
        return self.p_value < LEVEL


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two runs of one division: by memory left, which the board ranks by, and by the challenge's final score."""

    rows: tuple[Row, Row]
    memory_left: Verdict | None  # of its absolute value, over models and people; None: a run has no such number
    final_score: Verdict  # trials exchanged within each index

    def __repr__(self) -> str:
        one, other = (item.label for item in self.rows)
        told = [self._told("final score", self.final_score)]
        if self.memory_left:
            told.insert(0, self._told("memory left", self.memory_left))
        return f"{one} and {other}: {'; '.join(told)}"

    def _told(self, name: str, found: Verdict) -> str:
        values = " and ".join(f"{value:.4f}" for value in found.values)
        better = f"{self.better(found).label} is better" if found.distinguishable else "they cannot be told apart"
        return f"{name} {values}, {better} (p = {found.p_value:.3f})"

    def better(self, found: Verdict) -> Row:
        """The run with the better value, whether that means something or not."""
        return self.rows[found.better]


def compare_runs(store: Store, runs: Sequence[Run], progress: Progress) -> Comparison:
    """Compare two complete runs; what they lack of the numbers is computed first.

    Raises:
        BenchError: they are not of one division, or one cannot be scored.
    """
    one, other = runs
    reasons = differences(one.record, other.record)
    if reasons:
        raise BenchError(f"{one.folder.name} and {other.folder.name} are not of one division: {'; '.join(reasons)} differ")
    problems = score_runs(store, runs, progress, only=(HEADLINE_METRIC, CHALLENGE_METRIC))
    rows = row(one), row(other)
    for item in rows:
        if item.value(CHALLENGE) is None:
            raise problems[0] if problems else BenchError(f"{item.folder.name} has no final score: {_why_none(item)}")
    scorer = Scorer.of(store, one)
    advance = progress.stage("exchanging trials", 1 + EXCHANGES)
    sides = scorer.unlearned(one), scorer.unlearned(other)
    exchanged = p_value(exchanged_differences(*sides, scorer.retrained, advance=lambda: advance(1)))
    return Comparison(rows, _by_memory(*rows), _by_score(*rows, exchanged))


def _why_none(item: Row) -> str:
    return item.failure or "; ".join(item.scorecard.notes.get(CHALLENGE_METRIC, ["unknown why"]) if item.scorecard else [])


def _by_memory(one: Row, other: Row) -> Verdict | None:
    left = one.value(HEADLINE), other.value(HEADLINE)
    if left[0] is None or left[1] is None:
        return None
    gap = memory(one) - memory(other)
    return Verdict((left[0], left[1]), gap, float(memory_p_values([one, other])[0, 1]), int(gap > 0))


def _by_score(one: Row, other: Row, exchanged: float) -> Verdict:
    scores = one.value(CHALLENGE) or 0.0, other.value(CHALLENGE) or 0.0
    return Verdict(scores, scores[0] - scores[1], exchanged, int(scores[1] > scores[0]))
