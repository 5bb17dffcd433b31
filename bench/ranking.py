"""Rows beside each other: divisions, ceilings, ranks and how sure they are, and whether two runs can be told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from bench.results import Row
from bench.scorecard import VERSION
from bench.store import Record

RANKED_BY, METRIC = "final_score", "challenge"
LEVEL = 0.05

_DIVISION: Mapping[str, Callable[[Record], Any]] = {
    "task": lambda record: record["task"]["key"],
    "reference": lambda record: record["reference_id"],
    "number of models": lambda record: record["models"],
    "budget": lambda record: record["budget"],
    "kind of device": lambda record: record["device"]["kind"],
}


def divisions(found: Iterable[Row]) -> list[list[Row]]:
    """Rows that may be ranked together: of one task key, reference, N, budget and device kind."""
    grouped: dict[tuple[Any, ...], list[Row]] = {}
    for item in found:
        grouped.setdefault(tuple(value(item.record) for value in _DIVISION.values()), []).append(item)
    return list(grouped.values())


def differences(one: Record, other: Record) -> list[str]:
    """Why two runs are not of one division: what differs in their records, in words; empty if they are."""
    pairs = [(name, value(one), value(other)) for name, value in _DIVISION.items()]
    return [f"{name} ({str(ours)[:16]} and {str(theirs)[:16]})" for name, ours, theirs in pairs if ours != theirs]


@dataclass(frozen=True)
class Ceiling:
    """What retraining itself scores in a division."""

    value: float
    provisional: bool


def ceiling(division: Sequence[Row]) -> Ceiling | None:
    """The `retrain` row's forgetting score; before there is one, that of halves of the retrained models."""
    for candidate in division:
        models, score = candidate.record["models"], candidate.value("forgetting_score")
        if score and candidate.record["method"]["reference_models"] == list(range(models, 2 * models)):
            return Ceiling(score, provisional=False)
    for candidate in division:
        measure = candidate.measure("forgetting_score")
        if measure and measure.retrained:
            return Ceiling(measure.retrained, provisional=True)
    return None


@dataclass(frozen=True)
class Place:
    """A row's rank, and the best and the worst that it can have as far as the division can tell; None: it is not ranked."""

    row: Row
    rank: int | None = None
    best: int | None = None
    worst: int | None = None

    @property
    def interval(self) -> str:
        """The rank in words: `2`, or `1-3` where rows tie."""
        if self.best == self.worst:
            return "" if self.rank is None else str(self.best)
        return f"{self.best}-{self.worst}"


def places(division: Sequence[Row]) -> list[Place]:
    """Best final score first; control rows keep their place without a rank, rows over budget or without score come last.

    The interval of a rank counts the rows that are better, and worse, in all pairwise differences that are significant after
    Holm's correction at 5 %.
    """
    ordered = sorted(division, key=lambda item: (not _ranks(item) and not item.control, -(item.value(RANKED_BY) or 0.0)))
    competing = [item for item in ordered if _ranks(item)]
    beaten = _significant(competing)
    answer, rank = [], 0
    for item in ordered:
        if not _ranks(item):
            answer.append(Place(item))
            continue
        index, rank = rank, rank + 1
        better = sum(loser == index for _, loser in beaten)
        worse = sum(winner == index for winner, _ in beaten)
        answer.append(Place(item, rank, 1 + better, len(competing) - worse))
    return answer


def _significant(competing: Sequence[Row]) -> list[tuple[int, int]]:
    """Pairs (winner, loser) of rows, best first, whose scores differ beyond chance after Holm's correction."""
    pairs = list(combinations(range(len(competing)), 2))
    values = np.array([difference_p_value(competing[one], competing[other]) for one, other in pairs])
    order = np.argsort(values, kind="stable")
    found = []
    for done, index in enumerate(order):
        if not values[index] <= LEVEL / (len(pairs) - done):
            break
        found.append(pairs[index])
    return found


def difference_p_value(one: Row, other: Row) -> float:
    """Two-sided p-value of the difference of two rows' final scores: normal, with the deviation of common resamples.

    Rows of one division share every resample of the retrained models, so what they have in common cancels.
    """
    from scipy.stats import norm

    replicates = [np.array(item.detail(METRIC, f"resampled_{RANKED_BY}"), dtype=np.float64) for item in (one, other)]
    if replicates[0].shape != replicates[1].shape or len(replicates[0]) < 2:
        return 1.0  # nothing is known of the difference
    gap = abs((one.value(RANKED_BY) or 0.0) - (other.value(RANKED_BY) or 0.0))
    spread = float(np.std(replicates[0] - replicates[1], ddof=1))
    if spread == 0.0:
        return 1.0 if gap == 0.0 else 0.0
    return float(2 * norm.sf(gap / spread))


def _ranks(item: Row) -> bool:
    return item.value(RANKED_BY) is not None and not item.control and not item.over_budget


def as_json(place: Place, top: Ceiling | None) -> Mapping[str, Any]:
    """A row and its place as plain data; resamples and values per example stay in the scorecard's file."""
    item = place.row
    card = item.scorecard
    return {
        "run": item.folder.name,
        **{key: item.record[key] for key in ("method", "task", "reference_id", "models", "budget", "seed", "device")},
        "ceiling": asdict(top) if top else None,
        "rank": {"rank": place.rank, "best": place.best, "worst": place.worst},
        "badges": item.badges,
        "failure": item.failure,
        "scorecard": {
            "measures": {name: asdict(measure) for name, measure in card.measures.items()},
            "flags": dict(card.flags),
            "problems": dict(card.problems),
            "metrics": {name: section.version for name, section in card.sections.items()},
            "scorecard_version": VERSION,
        }
        if card
        else None,
    }
