"""Ranks with ties, by memory left and by the challenge's score."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from msgspec import structs
from scipy.stats import norm

from bench.scoring.ceilings import ceiling
from bench.scoring.ranking import Place, as_json, challenge_p_values, memory_p_values, places, ranked
from bench.scoring.rows import Row
from bench.scoring.scorecard import Section


def as_control(item: Row, models: Sequence[int | None]) -> Row:
    method = structs.replace(item.record.method, control=True, reference_models=tuple(models))
    return replace(item, record=structs.replace(item.record, method=method))


def noise(seed: int, sd: float = 0.01) -> np.ndarray:
    return sd * np.random.default_rng(seed).normal(size=200)


def flagged(item: Row, flag: str) -> Row:
    return replace(item, scorecard=item.scorecard.with_section("flags", Section(version=1, flags={flag: "seen"})))


def challenge_p_value(one: Row, other: Row) -> float:
    return float(challenge_p_values([one, other])[0, 1])


def memory_p_value(one: Row, other: Row) -> float:
    return float(memory_p_values([one, other])[0, 1])


def told(found: Sequence[Place]) -> list[tuple[str, str, str]]:
    return [(place.row.folder.name, str(place.rank), str(place.challenge)) for place in found]


def test_either_order_shows_its_ties(a_row) -> None:
    rows = [
        a_row("far", 0.10, noise(1), left=0.9),
        a_row("first", 0.02, noise(2), left=0.3),
        a_row("second", 0.099, noise(3), left=-0.301),
    ]
    assert told(places(rows)) == [("first", "1-2", "3"), ("second", "1-2", "1-2"), ("far", "3", "1-2")]
    assert [(place.rank.number, place.challenge.number) for place in places(rows)] == [(1, 3), (2, 2), (3, 1)]


def test_what_rows_have_in_common_cancels(a_row) -> None:
    common = noise(0, sd=0.05)
    one, other = a_row("one", 0.10, common + noise(1, 1e-4)), a_row("other", 0.09, common + noise(2, 1e-4))
    assert challenge_p_value(one, other) < 1e-6
    assert challenge_p_value(one, a_row("apart", 0.09, noise(3, sd=0.05))) > 0.5


def test_p_value_is_that_of_the_definition(a_row) -> None:
    one, other = noise(1), noise(2)
    z = 0.01 / np.std(one - other, ddof=1)
    assert challenge_p_value(a_row("a", 0.1, one), a_row("b", 0.09, other)) == pytest.approx(2 * norm.sf(z))


def test_rows_without_any_spread(a_row) -> None:
    zeros = np.zeros(200)
    assert challenge_p_value(a_row("a", 0.0, zeros), a_row("b", 0.0, zeros)) == 1.0
    assert challenge_p_value(a_row("a", 0.1, zeros), a_row("b", 0.0, zeros)) == 0.0


@pytest.mark.parametrize("headline", [True, False])
def test_intervals_are_those_of_a_holm_loop(a_row, headline: bool) -> None:
    drawn = np.random.default_rng(5).normal(0.1, 0.03, size=7)
    rows = [a_row(f"m{index}", float(value), noise(index), left=float(value)) for index, value in enumerate(drawn)]
    p_value: Callable[[Row, Row], float] = memory_p_value if headline else challenge_p_value
    significant = _holm(rows, p_value)
    sign = -1 if headline else 1
    for place in places(rows):
        mine, value = place.row.folder.name, sign * place.row.value("final_score")
        others = [(frozenset((mine, other.folder.name)) in significant, sign * other.value("final_score")) for other in rows]
        beats, loses = (sum(seen for seen, theirs in others if way * (value - theirs) > 0) for way in (1, -1))
        rank = place.rank if headline else place.challenge
        assert (rank.best, rank.worst) == (1 + loses, len(rows) - beats)
        assert rank.best <= rank.number <= rank.worst


def _holm(rows: Sequence[Row], p_value: Callable[[Row, Row], float]) -> set[frozenset[str]]:
    pairs = sorted((p_value(a, b), a.folder.name, b.folder.name) for a, b in combinations(rows, 2))
    significant = set()
    for step, (p, a, b) in enumerate(pairs):
        if p > 0.05 / (len(pairs) - step):
            break
        significant.add(frozenset((a, b)))
    assert 0 < len(significant) < len(pairs)
    return significant


def test_rows_that_pass_no_gate_and_controls_have_no_rank(a_row) -> None:
    control = as_control(a_row("control", 0.2, noise(1), left=0.0), [None] * 64)
    late, best = a_row("late", 0.3, noise(2), left=0.1, late=True), a_row("best", 0.1, noise(3), left=0.4)
    useless = a_row("useless", 0.3, noise(4), left=0.0, kept=(0.5, 1.0))
    found = places([late, useless, best, control])
    assert told(found) == [("control", "None", "None"), ("best", "1", "1"), ("useless", "None", "None"), ("late", "None", "None")]
    assert [place.group for place in found] == ["control", "ranked", "unranked", "unranked"]
    assert ranked(found) == 1


def test_one_model_n_times_has_the_challenges_rank_alone(a_row) -> None:
    rows = [a_row("one", 0.1, noise(1), left=0.4), flagged(a_row("same", 0.0, noise(2), left=0.0), "deterministic")]
    assert told(places(rows)) == [("one", "1", "1"), ("same", "None", "2")]


def test_a_row_without_memory_left_has_the_challenges_rank_alone(a_row) -> None:
    rows = [a_row("one", 0.1, noise(1)), a_row("untold", 0.2, noise(2), left=None)]
    found = places(rows)
    assert told(found) == [("one", "1", "2"), ("untold", "None", "1")]
    assert ranked(found) == 1


@pytest.mark.parametrize(
    "details", [{}, {"resampled_final_score": []}, {"resampled_final_score": [0.1]}, {"resampled_final_score": [0.1, 0.2]}]
)
def test_a_row_without_resamples_ties_with_everybody(a_row, details: dict) -> None:
    rows = [a_row("first", 0.10, noise(1)), a_row("far", 0.02, noise(2))]
    section = rows[1].scorecard.sections["challenge"]
    rows[1] = replace(rows[1], scorecard=rows[1].scorecard.with_section("challenge", structs.replace(section, details=details)))
    assert [str(place.challenge) for place in places(rows)] == ["1-2", "1-2"]


@pytest.mark.parametrize(
    "change", [{"memory_left_by_trial": []}, {"memory_left_by_trial": [0.1, 0.2]}, {"memory_left_noise": [0.0]}]
)
def test_a_row_of_which_nobody_knows_how_sure_it_is_ties_with_everybody(a_row, change: dict) -> None:
    rows = [a_row("first", 0.10, noise(1), left=0.1), a_row("far", 0.10, noise(2), left=0.9)]
    section = rows[1].scorecard.sections["memory-left"]
    changed = structs.replace(section, details={**section.details, **change})
    rows[1] = replace(rows[1], scorecard=rows[1].scorecard.with_section("memory-left", changed))
    assert [str(place.rank) for place in places(rows)] == ["1-2", "1-2"]


def test_details_of_other_metrics_do_not_rank(a_row) -> None:
    rows = [a_row("first", 0.10, noise(1, 0.1), doubt=0.5), a_row("second", 0.09, noise(2, 0.1), left=0.6, doubt=0.5)]
    details = rows[0].scorecard.sections["memory-left"].details
    forged = Section(version=1, details={"resampled_final_score": [0.1, 0.1], **{name: [0.0] * 4 for name in details}})
    rows = [replace(row, scorecard=row.scorecard.with_section("stranger", forged)) for row in rows]
    assert [(str(place.rank), str(place.challenge)) for place in places(rows)] == [("1-2", "1-2")] * 2


def test_places_are_plain_data(a_row) -> None:
    rows = [a_row("first", 0.10, noise(1)), a_row("far", 0.02, noise(2), late=True)]
    top = ceiling(rows)
    found = json.loads(json.dumps([as_json(place, top) for place in places(rows)]))
    assert [item["run"] for item in found] == ["first", "far"]
    for name in ("rank", "challenge_rank"):
        assert found[0][name] == {"rank": 1, "best": 1, "worst": 1}
        assert found[1][name] == {"rank": None, "best": None, "worst": None}
    assert found[1]["badges"] == ["over budget"]
    assert [item["unranked"] for item in found] == ["", "over budget: it takes 200 % of it"]
    assert found[0]["ceiling"] == {"value": 0.18, "margin": None, "final": 0.18, "sets": 0, "provisional": True}
    assert (found[0]["method"]["name"], found[0]["task"]["key"], found[0]["device"]["kind"]) == ("first", "f" * 64, "cpu")
    assert (found[0]["models"], found[0]["budget"], found[0]["seed"], found[0]["reference_id"]) == (64, "20%", 0, "a" * 16)
    card = found[0]["scorecard"]
    assert card["measures"]["final_score"]["value"] == 0.10
    assert card["metrics"] == {"challenge": 1, "utility": 1, "flags": 1, "timed-trials": 1, "memory-left": 2}
    assert "resampled_final_score" not in json.dumps(found)
    assert as_json(places([replace(rows[0], scorecard=None, failure="no luck")])[0], None)["scorecard"] is None
