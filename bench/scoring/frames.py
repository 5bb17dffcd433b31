"""Rows as tables for other programs: a row per run, a column per number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.budget import in_words
from bench.scoring.ranking import Place
from bench.scoring.rows import Row
from bench.store.records import RunRecord

if TYPE_CHECKING:
    import pandas as pd


def titles(records: Sequence[RunRecord]) -> list[str]:
    """Divisions in words, given by a record of each; those that read the same are told apart by task and reference."""
    plain = [f"{record.task.name}, {record.models} models, {in_words(record.budget)}, {record.device.kind}" for record in records]
    twins = {name for name, count in Counter(plain).items() if count > 1}
    return [
        f"{name}, task {record.task.key[:8]}, reference {record.reference_id[:8]}" if name in twins else name
        for name, record in zip(plain, records, strict=True)
    ]


def of_rows(rows: Sequence[Row]) -> pd.DataFrame:
    """One row per run, in their order. `attrs["units"]` has the unit of every column of numbers."""
    return _frame([_values(item) for item in rows], rows)


def of_places(placed: Sequence[tuple[str, Place]]) -> pd.DataFrame:
    """The same with division and ranks: `..._best` and `..._worst` are what one can be as far as the division can tell."""
    ranked = [{"division": name, **of_ranks(place), "unranked": place.reason, **_values(place.row)} for name, place in placed]
    return _frame(ranked, [place.row for _, place in placed])


def of_ranks(place: Place) -> dict[str, int | None]:
    """Columns of a row's rank by memory left, and by the challenge's score."""
    return {
        f"{name}{ending}": getattr(rank, field, None)
        for name, rank in (("rank", place.rank), ("challenge_rank", place.challenge))
        for ending, field in (("", "number"), ("_best", "best"), ("_worst", "worst"))
    }


def _frame(values: Sequence[dict[str, Any]], rows: Sequence[Row]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(values)
    cards = [item.scorecard for item in rows if item.scorecard]
    frame.attrs["units"] = {name: measure.unit for card in cards for name, measure in card.measures.items()}
    return frame


def _values(item: Row) -> dict[str, Any]:
    record = item.record
    about = {
        "method": item.label,
        "run": item.folder.name,
        "task": record.task.name,
        "models": record.models,
        "budget": record.budget,
        "seed": record.seed,
        "device": record.device.kind,
        "control": item.control,
        "badges": "; ".join(item.badges),
        "failure": item.failure,
    }
    measures = item.scorecard.measures if item.scorecard else {}
    return about | {name: measure.value for name, measure in measures.items()}
