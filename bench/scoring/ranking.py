"""Rows beside each other: divisions, ceilings, ranks and how sure they are, and whether two runs can be told apart."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics.resampling import LEVEL
from bench.metrics.timed_trials import TIMED_DIFFERENTLY
from bench.metrics.timing import Timing
from bench.scoring.rows import BUSY_MACHINE, OVER_BUDGET, UNEVEN, Row
from bench.scoring.scorecard import VERSION, Scorecard
from bench.store.fields import plain
from bench.store.records import RunRecord

RANKED_BY, METRIC = "final_score", "challenge"

# Flags of what no honest run does; each was tried on honest rows and on what it is to catch (docs/evidence/flags.md).
VOIDING = (TIMED_DIFFERENTLY, "copied", "shared-seeds", "too-close", "clustered", "outlier-models", "duplicate-trials")
NEAR_CONSTANT = "near-constant"  # so is short fine-tuning, which is honest and scores little
DECIDING = {  # metrics whose failure must not be an advantage
    "timed-trials": "whether what is timed is what is scored",
    "flags": "whether its models are what they seem to be",
}

_DIVISION: Mapping[str, Callable[[RunRecord], Any]] = {
    "task": lambda record: record.task.key,
    "reference": lambda record: record.reference_id,
    "number of models": lambda record: record.models,
    "budget": lambda record: record.budget,
    "kind of device": lambda record: record.device.kind,
}


def divisions(found: Iterable[Row]) -> list[list[Row]]:
    """Rows that may be ranked together: of one task key, reference, N, budget and device kind."""
    grouped: dict[tuple[Any, ...], list[Row]] = {}
    for item in found:
        grouped.setdefault(tuple(value(item.record) for value in _DIVISION.values()), []).append(item)
    return list(grouped.values())


def apart_from_budget(record: RunRecord) -> tuple[Any, ...]:
    """What divisions have in common that differ in their budget only."""
    return tuple(value(record) for name, value in _DIVISION.items() if name != "budget")


def differences(one: RunRecord, other: RunRecord) -> list[str]:
    """Why two runs are not of one division: what differs in their records, in words; empty if they are."""
    pairs = [(name, value(one), value(other)) for name, value in _DIVISION.items()]
    return [f"{name} ({str(ours)[:16]} and {str(theirs)[:16]})" for name, ours, theirs in pairs if ours != theirs]


@dataclass(frozen=True)
class Ceiling:
    """What retraining itself scores in a division."""

    value: float  # forgetting score
    provisional: bool
    final: float  # final score


def ceiling(division: Sequence[Row]) -> Ceiling | None:
    """The `retrain` row's forgetting score; before there is one, that of halves of the retrained models."""
    for candidate in division:
        models, score = candidate.record.models, candidate.value("forgetting_score")
        if score and candidate.record.method.reference_models == tuple(range(models, 2 * models)):
            return Ceiling(score, provisional=False, final=candidate.value(RANKED_BY) or score)
    for candidate in division:
        measure = candidate.measure("forgetting_score")
        if measure and measure.retrained:
            return Ceiling(measure.retrained, provisional=True, final=measure.retrained)
    return None


RANKED, CONTROL, UNRANKED = "ranked", "control", "unranked"  # where a row stands in its table: first, apart, at the bottom


@dataclass(frozen=True)
class Place:
    """A row's rank, and the best and the worst that it can have as far as the division can tell; None: it is not ranked."""

    row: Row
    rank: int | None = None
    best: int | None = None
    worst: int | None = None

    @property
    def group(self) -> str:
        """Whether it is ranked, a control row, or at the bottom for a reason."""
        return CONTROL if self.row.control else RANKED if self.rank else UNRANKED

    @property
    def interval(self) -> str:
        """The rank in words: `2`, or `1-3` where rows tie."""
        if self.best == self.worst:
            return "" if self.rank is None else str(self.best)
        return f"{self.best}-{self.worst}"


def ranked(division: Iterable[Place]) -> int:
    """How many rows of a division are ranked."""
    return sum(place.group == RANKED for place in division)


def places(division: Sequence[Row]) -> list[Place]:
    """Best final score first; control rows keep their place without a rank, those that cannot be ranked come last.

    The interval of a rank counts the rows that are better, and worse, in all pairwise differences that are significant after
    Holm's correction at 5 %.
    """
    ordered = sorted(division, key=lambda item: (not _ranks(item) and not item.control, -(item.value(RANKED_BY) or 0.0)))
    competing = [item for item in ordered if _ranks(item)]
    told = _significant(competing)
    better, worse = Counter(loser for _, loser in told), Counter(winner for winner, _ in told)
    answer, rank = [], 0
    for item in ordered:
        if not _ranks(item):
            answer.append(Place(item))
            continue
        index, rank = rank, rank + 1
        answer.append(Place(item, rank, 1 + better[index], len(competing) - worse[index]))
    return answer


def _significant(competing: Sequence[Row]) -> list[tuple[int, int]]:
    """Pairs (winner, loser) of rows, best first, whose scores differ beyond chance after Holm's correction."""
    first, second = np.triu_indices(len(competing), 1)
    values = _p_values(competing)[first, second]
    order = np.argsort(values, kind="stable")
    passes = values[order] <= LEVEL / (len(order) - np.arange(len(order)))
    told = order[: len(order) if passes.all() else int(np.argmin(passes))]
    return [(int(first[index]), int(second[index])) for index in told]


def difference_p_value(one: Row, other: Row) -> float:
    """Two-sided p-value of the difference of two rows' final scores: normal, with the deviation of common resamples.

    Rows of one division share every resample of the retrained models, so what they have in common cancels.
    """
    return float(_p_values([one, other])[0, 1])


def _p_values(rows: Sequence[Row]) -> NDArray[np.float64]:
    """`difference_p_value` of every pair [n, n]; 1 where nothing is known of the difference."""
    found: NDArray[np.float64] = np.ones((len(rows), len(rows)))
    resampled = [np.array(item.detail(METRIC, f"resampled_{RANKED_BY}"), dtype=np.float64) for item in rows]
    scores = np.array([item.value(RANKED_BY) or 0.0 for item in rows])
    for length in {len(each) for each in resampled} - {0, 1}:
        members = np.array([index for index, each in enumerate(resampled) if len(each) == length])
        table = np.stack([resampled[index] for index in members])
        for position, index in enumerate(members):
            spread = np.std(table[position] - table, axis=1, ddof=1)
            gap = np.abs(scores[index] - scores[members])
            ratio = np.divide(gap, spread, out=np.where(gap > 0, np.inf, 0.0), where=spread > 0)
            found[index, members] = [math.erfc(each / math.sqrt(2)) for each in ratio]
    return found


def _ranks(item: Row) -> bool:
    return not item.control and not why_unranked(item)


def why_unranked(item: Row) -> str:
    """Why a row is at the bottom, in words; "" if nothing stands against it."""
    card = item.scorecard
    if item.failure or card is None:
        return item.failure or "not scored"
    if item.value(RANKED_BY) is None:
        return f"no final score: {card.problems.get(METRIC) or 'its metric was not computed'}"
    return _why_not_believed(card) or _why_too_long(item.timing)


def _why_not_believed(card: Scorecard) -> str:
    for flag in VOIDING:
        if flag in card.flags:
            return f"{flag}: {card.flags[flag]}"
    if NEAR_CONSTANT in card.flags and _above_retraining(card):
        return f"{NEAR_CONSTANT}, and more than retraining itself scores: {card.flags[NEAR_CONSTANT]}"
    for metric, what in DECIDING.items():
        if metric in card.problems:
            return f"nobody can tell {what}: {card.problems[metric]}"
    return ""


def _above_retraining(card: Scorecard) -> bool:
    score = card.measures.get("forgetting_score")
    return score is not None and score.retrained is not None and score.value > score.retrained


def _why_too_long(timing: Timing) -> str:
    if timing.uneven:
        usual, average = median(timing.scored), mean(timing.scored)
        return f"{UNEVEN}: trials take {average:.2f} s on average, and {usual:.2f} s in the median, which is what is judged"
    if timing.over_budget:
        return f"{OVER_BUDGET}: it takes {100 * timing.share / timing.allowed:.0f} % of it"
    return f"{BUSY_MACHINE}, where it cannot be told whether it is within the budget" if timing.unclear else ""


def better_unranked(placed: Sequence[Place]) -> list[Row]:
    """Rows that score higher than the best that is ranked, and are not ranked themselves; best first."""
    best = max((place.row.value(RANKED_BY) or 0.0 for place in placed if place.rank), default=-math.inf)
    rows = [place.row for place in placed if place.group == UNRANKED]
    return sorted((item for item in rows if _score(item) > best), key=_score, reverse=True)


def _score(item: Row) -> float:
    found = item.value(RANKED_BY)
    return -math.inf if found is None else found


_SHOWN = ("method", "task", "reference_id", "models", "budget", "seed", "device")  # of a run's record


def as_json(place: Place, top: Ceiling | None) -> Mapping[str, Any]:
    """A row and its place as plain data; resamples and values per example stay in the scorecard's file."""
    item = place.row
    card = item.scorecard
    return {
        "run": item.folder.name,
        **{field: plain(getattr(item.record, field)) for field in _SHOWN},
        "ceiling": asdict(top) if top else None,
        "rank": {"rank": place.rank, "best": place.best, "worst": place.worst},
        "badges": item.badges,
        "failure": item.failure,
        "scorecard": {
            "measures": plain(card.measures),
            "flags": dict(card.flags),
            "problems": dict(card.problems),
            "notes": plain(card.notes),
            "metrics": {name: section.version for name, section in card.sections.items()},
            "scorecard_version": VERSION,
        }
        if card
        else None,
    }
