"""What retraining itself scores in a division."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Any

from bench.metrics.ceiling import DETAILS
from bench.metrics.resampling import Z
from bench.scoring.scorecard import CHALLENGE, CHALLENGE_METRIC, Scorecard

if TYPE_CHECKING:
    from bench.scoring.rows import Row

ABOVE_CEILING, ABOVE = "above-ceiling", 3.5  # standard deviations of the difference


@dataclass(frozen=True)
class Ceiling:
    """What retraining itself scores in a division."""

    value: float  # forgetting score
    final: float  # final score
    sets: int = 0  # of N further retrained models that say so; 0: halves of the N do, provisionally
    deviation: float | None = None  # by how much the forgetting score of a set moves; None: nobody knows

    @property
    def provisional(self) -> bool:
        """Whether no further retrained models have been asked."""
        return self.sets == 0

    @property
    def doubt(self) -> float | None:
        """Standard deviation of the value."""
        return self.deviation / math.sqrt(self.sets) if self.deviation is not None and self.sets else None

    @property
    def margin(self) -> float | None:
        """Half of the value's 95 % interval."""
        return None if self.doubt is None else Z * self.doubt

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "value": self.value,
            "margin": self.margin,
            "final": self.final,
            "sets": self.sets,
            "provisional": self.provisional,
        }


def ceiling(division: Sequence[Row]) -> Ceiling | None:
    """The mean of the sets of further retrained models that rows were scored beside, or the `retrain` row's.

    Before there is either, what halves of the retrained models say.
    """
    found = [of_card(item.scorecard) for item in division]
    known = [each for each in found if each]
    best = max(known, key=lambda each: each.sets, default=None)
    if best and not best.provisional:
        return best
    return next((each for item in division if (each := _of_control(item))), best)


def of_card(card: Scorecard | None) -> Ceiling | None:
    """What a row's own scorecard says of it; None: it has no score."""
    measures = card.measures if card else {}
    measure, final = measures.get("forgetting_score"), measures.get(CHALLENGE)
    if card is None or measure is None or not measure.retrained:
        return None
    details = card.sections[CHALLENGE_METRIC].details if CHALLENGE_METRIC in card.sections else {}
    scores, finals, spread = ([value for value in details.get(name, ()) if value is not None] for name in DETAILS)
    if scores and len(finals) == len(scores) and spread:
        return Ceiling(mean(scores), mean(finals), len(scores), spread[0])
    return Ceiling(measure.retrained, final.retrained if final and final.retrained else measure.retrained)


def _of_control(item: Row) -> Ceiling | None:
    """Of the control row of the next N retrained models."""
    models, measure = item.record.models, item.measure("forgetting_score")
    of_others = item.record.method.reference_models != tuple(range(models, 2 * models))
    if not item.control or of_others or measure is None or not measure.value:
        return None
    deviation = measure.margin / Z if measure.margin is not None else None
    return Ceiling(measure.value, item.value(CHALLENGE) or measure.value, 1, deviation)


def share(item: Row, top: Ceiling | None) -> tuple[float, float | None] | None:
    """A row's forgetting score as a share of the ceiling, and the deviation of that; None: there is no such share."""
    measure = item.measure("forgetting_score")
    if measure is None or top is None or not top.value:
        return None
    value = measure.value / top.value
    if measure.margin is None or top.doubt is None:
        return value, None
    return value, math.hypot(measure.margin / Z, value * top.doubt) / top.value


def above(card: Scorecard) -> float:
    """By how many standard deviations a forgetting score is above what one more set of retrained models gets; 0: nobody knows."""
    score, top = card.measures.get("forgetting_score"), of_card(card)
    if score is None or top is None or not top.sets or not top.deviation:
        return 0.0
    return (score.value - top.value) / (top.deviation * math.sqrt(1 + 1 / top.sets))
