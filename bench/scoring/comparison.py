"""Can two runs be told apart?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.errors import BenchError
from bench.metrics.distinguishability import p_value
from bench.metrics.exchange import EXCHANGES, exchanged_differences
from bench.metrics.resampling import LEVEL
from bench.progress import Progress
from bench.scoring.ranking import RANKED_BY, differences
from bench.scoring.rows import Row, row
from bench.scoring.scorer import Scorer
from bench.scoring.stored import score_runs
from bench.store.runs import Run
from bench.store.store import Store


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two runs of one division, and how surely their final scores differ."""

    rows: tuple[Row, Row]
    p_value: float  # of their difference: trials exchanged within each index

    def __repr__(self) -> str:
        one, other = (f"{item.label} ({score:.4f})" for item, score in zip(self.rows, self.scores, strict=True))
        verdict = f"{self.better.label} is better" if self.distinguishable else "they cannot be told apart"
        return f"{one} and {other}: {verdict} (p = {self.p_value:.3f})"

    @property
    def scores(self) -> tuple[float, float]:
        """Final scores."""
        one, other = (item.value(RANKED_BY) or 0.0 for item in self.rows)
        return one, other

    @property
    def difference(self) -> float:
        """The first score less the second."""
        return self.scores[0] - self.scores[1]

    @property
    def distinguishable(self) -> bool:
        """Whether they can be told apart at 5 %."""
        return self.p_value < LEVEL

    @property
    def better(self) -> Row:
        """The run with the higher score, whether that means something or not."""
        return self.rows[int(self.scores[1] > self.scores[0])]


def compare_runs(store: Store, runs: Sequence[Run], progress: Progress) -> Comparison:
    """Compare two complete runs; what they lack of the score is computed first.

    Raises:
        BenchError: they are not of one division, or one cannot be scored.
    """
    one, other = runs
    reasons = differences(one.record, other.record)
    if reasons:
        raise BenchError(f"{one.folder.name} and {other.folder.name} are not of one division: {'; '.join(reasons)} differ")
    problems = score_runs(store, runs, progress, only=("challenge",))
    rows = row(one), row(other)
    for item in rows:
        if item.value(RANKED_BY) is None:
            raise problems[0] if problems else BenchError(f"{item.folder.name} has no score: {item.failure}")
    scorer = Scorer.of(store, one)
    advance = progress.stage("exchanging trials", 1 + EXCHANGES)
    sides = scorer.unlearned(one), scorer.unlearned(other)
    return Comparison(rows, p_value(exchanged_differences(*sides, scorer.retrained, advance=lambda: advance(1))))
