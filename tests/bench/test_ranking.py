"""Ranks with ties, ceilings, and what makes a division."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from bench.ranking import ceiling, difference_p_value, differences, divisions, places
from bench.results import Row
from bench.scorecard import Measure, Scorecard, Section


def a_row(name: str, final: float, replicates: np.ndarray, *, late: bool = False, **changes: object) -> Row:
    record = {
        "method": {"name": name, "spec": name, "control": False, "reference_models": []},
        "task": {"name": "t", "key": "k"},
        "reference_id": "r",
        "models": 64,
        "budget": "20%",
        "device": {"kind": "cpu"},
        "solo": [{"seconds": 2.0 if late else 0.5}],
        "allowance_seconds": 1.0,
        **changes,
    }
    measures = {name: Measure(final, "score", "higher", retrained=0.18) for name in ("final_score", "forgetting_score")}
    section = Section(1, measures, {}, {"resampled_final_score": replicates.tolist()})
    return Row(Path(name), record, Scorecard({"challenge": section}), "")


def noise(seed: int, sd: float = 0.01) -> np.ndarray:
    return sd * np.random.default_rng(seed).normal(size=200)


def test_ties_show_as_ties() -> None:
    rows = [a_row("far", 0.02, noise(1)), a_row("first", 0.10, noise(2)), a_row("second", 0.099, noise(3))]
    found = [(place.row.folder.name, place.rank, place.interval) for place in places(rows)]
    assert found == [("first", 1, "1-2"), ("second", 2, "1-2"), ("far", 3, "3")]


def test_what_rows_have_in_common_cancels() -> None:
    common = noise(0, sd=0.05)
    one, other = a_row("one", 0.10, common + noise(1, 1e-4)), a_row("other", 0.09, common + noise(2, 1e-4))
    assert difference_p_value(one, other) < 1e-6
    assert difference_p_value(one, a_row("apart", 0.09, noise(3, sd=0.05))) > 0.5


def test_p_value_is_that_of_the_definition() -> None:
    one, other = noise(1), noise(2)
    z = 0.01 / np.std(one - other, ddof=1)
    assert difference_p_value(a_row("a", 0.1, one), a_row("b", 0.09, other)) == pytest.approx(2 * norm.sf(z))


def test_rows_without_any_spread() -> None:
    zeros = np.zeros(200)
    assert difference_p_value(a_row("a", 0.0, zeros), a_row("b", 0.0, zeros)) == 1.0
    assert difference_p_value(a_row("a", 0.1, zeros), a_row("b", 0.0, zeros)) == 0.0


def test_intervals_are_those_of_a_holm_loop() -> None:
    rng = np.random.default_rng(5)
    rows = [a_row(f"m{index}", float(value), noise(index)) for index, value in enumerate(rng.normal(0.1, 0.03, size=7))]
    pairs = sorted((difference_p_value(a, b), a.folder.name, b.folder.name) for a, b in combinations(rows, 2))
    significant = set()
    for step, (p, a, b) in enumerate(pairs):
        if p > 0.05 / (len(pairs) - step):
            break
        significant.add(frozenset((a, b)))
    for place in places(rows):
        mine, value = place.row.folder.name, place.row.value("final_score")
        beats = [
            other for other in rows if frozenset((mine, other.folder.name)) in significant and other.value("final_score") < value
        ]
        loses = [
            other for other in rows if frozenset((mine, other.folder.name)) in significant and other.value("final_score") > value
        ]
        assert (place.best, place.worst) == (1 + len(loses), len(rows) - len(beats))
        assert place.best <= place.rank <= place.worst


def test_rows_over_budget_and_controls_are_not_ranked() -> None:
    control = a_row("control", 0.2, noise(1))
    control = replace(control, record={**control.record, "method": {**control.record["method"], "control": True}})
    late, best = a_row("late", 0.3, noise(2), late=True), a_row("best", 0.1, noise(3))
    found = [(place.row.folder.name, place.rank) for place in places([late, best, control])]
    assert found == [("control", None), ("best", 1), ("late", None)]


def test_ceiling_is_the_retrain_row_once_there_is_one() -> None:
    one = a_row("one", 0.1, noise(1))
    assert (ceiling([one]).value, ceiling([one]).provisional) == (0.18, True)
    retrain = a_row("retrain", 0.21, noise(2))
    method = {**retrain.record["method"], "control": True, "reference_models": list(range(64, 128))}
    retrain = replace(retrain, record={**retrain.record, "method": method})
    assert (ceiling([one, retrain]).value, ceiling([one, retrain]).provisional) == (0.21, False)
    assert ceiling([]) is None


def test_divisions_and_why_rows_are_not_of_one() -> None:
    one, other = a_row("one", 0.1, noise(1)), a_row("other", 0.1, noise(2), models=32, budget="30s")
    assert len(divisions([one, other, one])) == 2
    assert differences(one.record, one.record) == []
    assert differences(one.record, other.record) == ["number of models (64 and 32)", "budget (20% and 30s)"]


@pytest.mark.parametrize(
    "details", [{}, {"resampled_final_score": []}, {"resampled_final_score": [0.1]}, {"resampled_final_score": [0.1, 0.2]}]
)
def test_a_row_without_resamples_ties_with_everybody(details: dict) -> None:
    rows = [a_row("first", 0.10, noise(1)), a_row("far", 0.02, noise(2))]
    section = rows[1].scorecard.sections["challenge"]
    rows[1] = replace(rows[1], scorecard=Scorecard({"challenge": replace(section, details=details)}))
    assert [place.interval for place in places(rows)] == ["1-2", "1-2"]


def test_details_of_other_metrics_do_not_rank() -> None:
    rows = [a_row("first", 0.10, noise(1, 0.1)), a_row("second", 0.09, noise(2, 0.1))]
    forged = Section(1, details={"resampled_final_score": [0.1, 0.1]})
    rows = [replace(row, scorecard=row.scorecard.with_section("stranger", forged)) for row in rows]
    assert [place.interval for place in places(rows)] == ["1-2", "1-2"]
