"""What makes a division."""

from __future__ import annotations

import numpy as np
import pytest

from bench.scoring.divisions import differences, divisions
from bench.store.records import DeviceRecord, TaskRecord


def noise(seed: int, sd: float = 0.01) -> np.ndarray:
    return sd * np.random.default_rng(seed).normal(size=200)


def test_divisions_and_why_rows_are_not_of_one(a_row) -> None:
    one, other = a_row("one", 0.1, noise(1)), a_row("other", 0.1, noise(2), models=32, budget="30s")
    assert len(divisions([one, other, one])) == 2
    assert differences(one.record, one.record) == []
    assert differences(one.record, other.record) == ["number of models (64 and 32)", "budget (20% and 30s)"]


@pytest.mark.parametrize(
    "change",
    [
        {"task": TaskRecord(name="t", key="e" * 64)},
        {"reference_id": "b" * 16},
        {"models": 32},
        {"budget": "30s"},
        {"device": DeviceRecord(kind="other")},
    ],
)
def test_what_makes_a_division(a_row, change: dict) -> None:
    one, other = a_row("one", 0.1, noise(1)), a_row("other", 0.1, noise(2), **change)
    assert [[item.folder.name for item in division] for division in divisions([one, other, one])] == [["one", "one"], ["other"]]
    assert len(differences(one.record, other.record)) == 1


def test_seeds_methods_and_processors_share_a_division(a_row) -> None:
    one = a_row("one", 0.1, noise(1))
    other = a_row("other", 0.1, noise(2), seed=5, device=DeviceRecord(kind="cpu", processor="another"))
    assert len(divisions([one, other])) == 1
