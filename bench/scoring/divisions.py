"""Which runs may be ranked together, and why two may not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bench.scoring.rows import Row
from bench.store.records import RunRecord

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
