"""Ranks with ties, ceilings, and what makes a division."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from scipy.stats import norm

from bench.scoring.ranking import (
    VOIDING,
    as_json,
    better_unranked,
    ceiling,
    difference_p_value,
    differences,
    divisions,
    places,
    why_unranked,
)
from bench.scoring.rows import Row
from bench.scoring.scorecard import Measure, Scorecard, Section
from bench.store.records import DeviceRecord, Finished, Killed, MethodRecord, RunRecord, TaskRecord


def a_row(name: str, final: float, replicates: np.ndarray, *, late: bool = False, **changes: object) -> Row:
    record = RunRecord(
        method=MethodRecord(name=name, spec=name, hyper_parameters={}, source_hash="0" * 64, control=False, reference_models=()),
        task=TaskRecord(name="t", key="f" * 64),
        reference_id="a" * 16,
        models=64,
        budget="20%",
        seed=0,
        device=DeviceRecord(kind="cpu"),
        chunks=(),
        timed=tuple(Killed(trial=trial, killed="", seconds=2.0 if late else 0.5, retraining=(5.0, 5.0)) for trial in range(3)),
        retraining_seconds=5.0,
        allowance_seconds=1.0,
    )
    scores = ("final_score", "forgetting_score")
    measures = {name: Measure(value=final, unit="score", better="higher", retrained=0.18) for name in scores}
    section = Section(version=1, measures=measures, details={"resampled_final_score": replicates.tolist()})
    return Row(Path(name), structs.replace(record, **changes), Scorecard(sections={"challenge": section}), "")


def as_control(item: Row, models: Sequence[int | None]) -> Row:
    method = structs.replace(item.record.method, control=True, reference_models=tuple(models))
    return replace(item, record=structs.replace(item.record, method=method))


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
    control = as_control(a_row("control", 0.2, noise(1)), [None] * 64)
    late, best = a_row("late", 0.3, noise(2), late=True), a_row("best", 0.1, noise(3))
    found = [(place.row.folder.name, place.rank) for place in places([late, best, control])]
    assert found == [("control", None), ("best", 1), ("late", None)]


def flagged(item: Row, **about: object) -> Row:
    """A row whose timed trials were looked at by a metric that says so."""
    section = Section(version=1, **about)
    return replace(item, scorecard=item.scorecard.with_section("timed-trials", section))


def test_why_a_row_is_at_the_bottom() -> None:
    good, late = a_row("good", 0.1, noise(1)), a_row("late", 0.3, noise(2), late=True)
    other = flagged(a_row("other", 0.4, noise(3)), flags={"timed differently": "trial 3 took 5 s"})
    untold = flagged(a_row("untold", 0.5, noise(4)), problem="ValueError: no luck")
    busy = a_row("busy", 0.2, noise(5))
    noisy = [
        Killed(trial=trial, killed="", seconds=seconds, retraining=(5.0, 5.0), busy=0.8)
        for trial, seconds in enumerate((0.5, 0.9, 1.5))
    ]
    busy = replace(busy, record=structs.replace(busy.record, timed=tuple(noisy)))
    chunks = tuple(
        Finished(trials=(trial,), file=f"outputs-{trial:04d}.npz", sha256="0" * 64, seconds=seconds)
        for trial, seconds in enumerate((0.5, 0.5, 0.5, 0.5, 6.0))
    )
    lucky = replace(good, record=structs.replace(good.record, chunks=chunks))
    unscored = replace(good, scorecard=None, failure="3/16 trials: no luck")
    assert [why_unranked(item) for item in (good, late, other, untold, busy, lucky, unscored)] == [
        "",
        "over budget: it takes 200 % of it",
        "timed differently: trial 3 took 5 s",
        "nobody can tell whether what is timed is what is scored: ValueError: no luck",
        "timed on a busy machine, where it cannot be told whether it is within the budget",
        "uneven times: trials take 1.60 s on average, and 0.50 s in the median, which is what is judged",
        "3/16 trials: no luck",
    ]
    placed = places([good, late, other, untold, busy, unscored])
    assert [place.row.folder.name for place in placed if place.rank] == ["good"]
    assert [item.folder.name for item in better_unranked(placed)] == ["untold", "other", "late", "busy"]
    assert better_unranked(places([good])) == []


@pytest.mark.parametrize("flag", VOIDING)
def test_a_row_that_no_honest_method_gives_is_not_ranked(flag: str) -> None:
    honest, bought = a_row("honest", 0.1, noise(1)), flagged(a_row("bought", 0.3, noise(2)), flags={flag: "16 of 16 models"})
    assert why_unranked(bought) == f"{flag}: 16 of 16 models"
    placed = places([honest, bought])
    assert [(place.row.folder.name, place.rank) for place in placed] == [("honest", 1), ("bought", None)]
    assert better_unranked(placed) == [bought]


@pytest.mark.parametrize(("score", "ranked"), [(0.1, True), (0.18, True), (0.19, False)])
def test_near_constant_rows_are_ranked_if_they_score_less_than_retraining(score: float, ranked: bool) -> None:
    """Short fine-tuning is near-constant, and honest; a score that it was made for is above the ceiling of .18."""
    item = flagged(a_row("finetune", score, noise(1)), flags={"near-constant": "62 of 120 examples"})
    assert (not why_unranked(item)) is ranked
    assert ranked or why_unranked(item).startswith("near-constant, and more than retraining itself scores: 62 of 120")


@pytest.mark.parametrize("flag", ["deterministic", "utility-collapse", "over-unlearned"])
def test_other_flags_are_badges(flag: str) -> None:
    assert why_unranked(flagged(a_row("one", 0.1, noise(1)), flags={flag: "seen"})) == ""


def test_where_flags_could_not_be_looked_for_nobody_is_ranked() -> None:
    item = a_row("one", 0.1, noise(1))
    card = item.scorecard.with_section("flags", Section(version=1, problem="ValueError: no luck"))
    assert why_unranked(replace(item, scorecard=card)).startswith("nobody can tell whether its models are what they seem to be")


def test_ceiling_is_the_retrain_row_once_there_is_one() -> None:
    one = a_row("one", 0.1, noise(1))
    assert (ceiling([one]).value, ceiling([one]).provisional) == (0.18, True)
    retrain = as_control(a_row("retrain", 0.21, noise(2)), range(64, 128))
    assert (ceiling([one, retrain]).value, ceiling([one, retrain]).provisional) == (0.21, False)
    assert ceiling([]) is None


def test_other_control_rows_are_no_ceiling() -> None:
    original = as_control(a_row("original", 0.3, noise(2)), [None] * 64)
    mine = as_control(a_row("half", 0.3, noise(2)), range(64))
    found = ceiling([original, mine])
    assert (found.value, found.provisional) == (0.18, True)


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
    rows[1] = replace(rows[1], scorecard=Scorecard(sections={"challenge": structs.replace(section, details=details)}))
    assert [place.interval for place in places(rows)] == ["1-2", "1-2"]


def test_details_of_other_metrics_do_not_rank() -> None:
    rows = [a_row("first", 0.10, noise(1, 0.1)), a_row("second", 0.09, noise(2, 0.1))]
    forged = Section(version=1, details={"resampled_final_score": [0.1, 0.1]})
    rows = [replace(row, scorecard=row.scorecard.with_section("stranger", forged)) for row in rows]
    assert [place.interval for place in places(rows)] == ["1-2", "1-2"]


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
def test_what_makes_a_division(change: dict) -> None:
    one, other = a_row("one", 0.1, noise(1)), a_row("other", 0.1, noise(2), **change)
    assert [[item.folder.name for item in division] for division in divisions([one, other, one])] == [["one", "one"], ["other"]]
    assert len(differences(one.record, other.record)) == 1


def test_seeds_methods_and_processors_share_a_division() -> None:
    one = a_row("one", 0.1, noise(1))
    other = a_row("other", 0.1, noise(2), seed=5, device=DeviceRecord(kind="cpu", processor="another"))
    assert len(divisions([one, other])) == 1


def test_places_are_plain_data() -> None:
    rows = [a_row("first", 0.10, noise(1)), a_row("far", 0.02, noise(2), late=True)]
    top = ceiling(rows)
    found = json.loads(json.dumps([as_json(place, top) for place in places(rows)]))
    assert [item["run"] for item in found] == ["first", "far"]
    assert found[0]["rank"] == {"rank": 1, "best": 1, "worst": 1}
    assert found[1]["rank"] == {"rank": None, "best": None, "worst": None}
    assert found[1]["badges"] == ["over budget"]
    assert found[0]["ceiling"] == {"value": 0.18, "provisional": True, "final": 0.18}
    assert (found[0]["method"]["name"], found[0]["task"]["key"], found[0]["device"]["kind"]) == ("first", "f" * 64, "cpu")
    assert (found[0]["models"], found[0]["budget"], found[0]["seed"], found[0]["reference_id"]) == (64, "20%", 0, "a" * 16)
    card = found[0]["scorecard"]
    assert card["measures"]["final_score"]["value"] == 0.10
    assert card["metrics"] == {"challenge": 1}
    assert "resampled_final_score" not in json.dumps(found)
    assert as_json(places([replace(rows[0], scorecard=None, failure="no luck")])[0], None)["scorecard"] is None
