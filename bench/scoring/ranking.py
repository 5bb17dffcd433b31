"""Rows beside each other: ranks by memory left and by the challenge's score, and how sure they are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import memory_order
from bench.metrics.resampling import LEVEL
from bench.scoring.ceilings import Ceiling
from bench.scoring.gates import why_unranked
from bench.scoring.rows import Row
from bench.scoring.scorecard import CHALLENGE, CHALLENGE_METRIC, HEADLINE, HEADLINE_METRIC, VERSION
from bench.store.fields import plain

DETERMINISTIC = "deterministic"  # a flag: one model, N times, which has no distribution that could be like retraining's

RANKED, CONTROL, UNRANKED = "ranked", "control", "unranked"  # where a row stands in its table: first, apart, at the bottom


@dataclass(frozen=True)
class Rank:
    """A rank, and the best and the worst that it can be as far as the division can tell."""

    number: int
    best: int
    worst: int

    def __str__(self) -> str:
        """In words: `2`, or `1-3` where rows tie."""
        return str(self.best) if self.best == self.worst else f"{self.best}-{self.worst}"


@dataclass(frozen=True)
class Place:
    """A row, its rank by memory left, which is the headline's, and by the challenge's score; None: it has none."""

    row: Row
    rank: Rank | None = None
    challenge: Rank | None = None

    @cached_property
    def reason(self) -> str:
        """Which gate it does not pass, in words; "" if it passes."""
        return why_unranked(self.row)

    @property
    def group(self) -> str:
        """Whether it passes the gates, is a control row, or is at the bottom for a reason."""
        return CONTROL if self.row.control else UNRANKED if self.reason else RANKED


def ranked(division: Iterable[Place]) -> int:
    """How many rows of a division have a headline rank."""
    return sum(place.rank is not None for place in division)


def places(division: Sequence[Row]) -> list[Place]:
    """Least memory left first, of the rows that pass the gates; control rows among them without a rank; then all others.

    A row of one model N times has no headline rank: its trials have no spread that could be like retraining's. The interval of a
    rank counts the rows that are better, and worse, in all pairwise differences that are significant after Holm's correction
    at 5 %.
    """
    passing = [item for item in division if not item.control and not why_unranked(item)]
    headline = _ranks([item for item in passing if _spreads(item)], memory, memory_p_values)
    challenge = _ranks(passing, _challenge, challenge_p_values)
    found = [Place(item, headline.get(id(item)), challenge.get(id(item))) for item in division]
    return sorted(found, key=_order)


def _order(place: Place) -> tuple[bool, bool, float, float]:
    apart = place.group == CONTROL
    return place.group == UNRANKED, place.rank is None and not apart, memory(place.row), _challenge(place.row)


def memory(item: Row) -> float:
    """Absolute memory left, by which rows are ranked; infinite without one."""
    return abs(found) if (found := item.value(HEADLINE)) is not None else math.inf


def _challenge(item: Row) -> float:
    return -found if (found := item.value(CHALLENGE)) is not None else math.inf


def _spreads(item: Row) -> bool:
    return item.scorecard is not None and DETERMINISTIC not in item.scorecard.flags


def _ranks(
    rows: Sequence[Row], cost: Callable[[Row], float], p_values: Callable[[Sequence[Row]], NDArray[np.float64]]
) -> dict[int, Rank]:
    """Ranks of the rows that have the number, by their identity."""
    competing = sorted((item for item in rows if math.isfinite(cost(item))), key=cost)
    told = _significant(p_values(competing))
    better, worse = Counter(loser for _, loser in told), Counter(winner for winner, _ in told)
    return {id(item): Rank(index + 1, 1 + better[index], len(competing) - worse[index]) for index, item in enumerate(competing)}


def _significant(p_values: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs (winner, loser) of rows, best first, that differ beyond chance after Holm's correction."""
    first, second = np.triu_indices(len(p_values), 1)
    values = p_values[first, second]
    order = np.argsort(values, kind="stable")
    passes = values[order] <= LEVEL / (len(order) - np.arange(len(order)))
    told = order[: len(order) if passes.all() else int(np.argmin(passes))]
    return [(int(first[index]), int(second[index])) for index in told]


def memory_p_values(rows: Sequence[Row]) -> NDArray[np.float64]:
    """Two-sided p-values of the difference of every two rows' |memory left| [n, n]; 1 where nothing is known of it.

    Student's t, over models and people (`bench.metrics.memory_order`).
    """
    found: NDArray[np.float64] = np.ones((len(rows), len(rows)))
    known = [memory_order.Parts.kept(item.details(HEADLINE_METRIC)) for item in rows]
    for form in {parts.form for parts in known if parts}:
        alike = [(index, parts) for index, parts in enumerate(known) if parts and parts.form == form]
        members = np.array([index for index, _ in alike])
        found[np.ix_(members, members)] = memory_order.p_values(
            [memory(rows[index]) for index in members], [parts for _, parts in alike]
        )
    return found


def challenge_p_values(rows: Sequence[Row]) -> NDArray[np.float64]:
    """Likewise of their final scores: normal, with the deviation of common resamples.

    Rows of one division share every resample of the retrained models, so what they have in common cancels.
    """
    found: NDArray[np.float64] = np.ones((len(rows), len(rows)))
    resampled = [np.array(item.details(CHALLENGE_METRIC).get(f"resampled_{CHALLENGE}", ()), dtype=np.float64) for item in rows]
    scores = np.array([item.value(CHALLENGE) or 0.0 for item in rows])
    for length in {len(each) for each in resampled} - {0, 1}:
        members = np.array([index for index, each in enumerate(resampled) if len(each) == length])
        table = np.stack([resampled[index] for index in members])
        for position, index in enumerate(members):
            spread = np.std(table[position] - table, axis=1, ddof=1)
            gap = np.abs(scores[index] - scores[members])
            ratio = np.divide(gap, spread, out=np.where(gap > 0, np.inf, 0.0), where=spread > 0)
            found[index, members] = [math.erfc(each / math.sqrt(2)) for each in ratio]
    return found


def better_unranked(placed: Sequence[Place]) -> list[Row]:
    """Rows with less memory left than the best that is ranked, which do not pass the gates; best first."""
    best = min((memory(place.row) for place in placed if place.rank), default=math.inf)
    return [place.row for place in placed if place.group == UNRANKED and memory(place.row) < best]


_SHOWN = ("method", "task", "reference_id", "models", "budget", "seed", "device")  # of a run's record


def as_json(place: Place, top: Ceiling | None) -> Mapping[str, Any]:
    """A row and its place as plain data; resamples and values per example stay in the scorecard's file."""
    item = place.row
    card = item.scorecard
    return {
        "run": item.folder.name,
        **{field: plain(getattr(item.record, field)) for field in _SHOWN},
        "ceiling": top.as_json() if top else None,
        **ranks_json(place),
        "badges": item.badges,
        "unranked": place.reason,
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


def ranks_json(place: Place) -> dict[str, Any]:
    """Both ranks as plain data."""
    none = {"rank": None, "best": None, "worst": None}
    return {
        name: {"rank": rank.number, "best": rank.best, "worst": rank.worst} if rank else none
        for name, rank in (("rank", place.rank), ("challenge_rank", place.challenge))
    }
