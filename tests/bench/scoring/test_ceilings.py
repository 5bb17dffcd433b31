"""What retraining itself scores in a division, who says so, and rows that score more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs

from bench.scoring.ceilings import Ceiling, above, ceiling, share
from bench.scoring.gates import why_unranked
from bench.scoring.rows import Row

NOISE = 0.01 * np.random.default_rng(0).normal(size=200)


def as_control(item: Row, models: Sequence[int | None]) -> Row:
    method = structs.replace(item.record.method, control=True, reference_models=tuple(models))
    return replace(item, record=structs.replace(item.record, method=method))


def beside(item: Row, *scores: float, deviation: float = 0.01) -> Row:
    """A row that was scored when its reference had so many sets of further models."""
    section = item.scorecard.sections["challenge"]
    found = {"ceiling_scores": list(scores), "ceiling_finals": [score / 2 for score in scores], "ceiling_deviation": [deviation]}
    more = structs.replace(section, details={**section.details, **found})
    return replace(item, scorecard=item.scorecard.with_section("challenge", more))


def test_further_models_say_more_than_halves(a_row) -> None:
    one = a_row("one", 0.1, NOISE)
    assert ceiling([one]) == Ceiling(0.18, 0.18)
    assert ceiling([one]).provisional
    found = ceiling([one, beside(one, 0.19), beside(one, 0.19, 0.2, 0.21, 0.2)])
    assert (found.value, found.final, found.sets, found.provisional) == (pytest.approx(0.2), pytest.approx(0.1), 4, False)
    assert found.doubt == pytest.approx(0.005)
    assert ceiling([]) is None


def test_a_retrain_row_says_it_to_rows_that_were_scored_before(a_row) -> None:
    retrain = as_control(a_row("retrain", 0.21, NOISE), range(64, 128))
    found = ceiling([a_row("one", 0.1, NOISE), retrain])
    assert (found.value, found.final, found.sets) == (0.21, 0.21, 1)


def test_a_row_that_is_no_control_row_says_nothing(a_row) -> None:
    stranger = a_row("stranger", 0.9, NOISE)
    method = structs.replace(stranger.record.method, reference_models=tuple(range(64, 128)))
    stranger = replace(stranger, record=structs.replace(stranger.record, method=method))
    assert ceiling([a_row("one", 0.1, NOISE), stranger]) == Ceiling(0.18, 0.18)


def test_other_control_rows_say_nothing(a_row) -> None:
    original = as_control(a_row("original", 0.3, NOISE), [None] * 64)
    half = as_control(a_row("half", 0.3, NOISE), range(64))
    assert ceiling([original, half]) == Ceiling(0.18, 0.18)


def test_share_has_the_doubt_of_both(a_row) -> None:
    item = a_row("one", 0.1, NOISE)
    section = item.scorecard.sections["challenge"]
    sure = structs.replace(section.measures["forgetting_score"], interval=(0.1 - 0.0392, 0.1 + 0.0392))
    section = structs.replace(section, measures={**section.measures, "forgetting_score": sure})
    item = replace(item, scorecard=item.scorecard.with_section("challenge", section))
    value, deviation = share(item, Ceiling(0.2, 0.2, sets=4, deviation=0.02))
    assert value == pytest.approx(0.5)
    assert deviation == pytest.approx(np.hypot(0.02 / 0.2, 0.5 * 0.01 / 0.2), rel=1e-3)
    assert share(item, Ceiling(0.2, 0.2)) == (pytest.approx(0.5), None)
    assert share(item, None) is None


@pytest.mark.parametrize(("score", "told"), [(0.20, False), (0.238, False), (0.241, True), (0.9, True)])
def test_a_row_that_beats_retraining_is_not_ranked(a_row, score: float, told: bool) -> None:
    """.2 by four sets, and a deviation of .01: of the difference .0112, three and a half times of which are .039."""
    item = beside(a_row("one", score, NOISE), 0.19, 0.2, 0.21, 0.2)
    assert above(item.scorecard) == pytest.approx((score - 0.2) / (0.01 * np.sqrt(1.25)))
    assert why_unranked(item).startswith("above-ceiling: it scores more than retraining itself, by") is told
    assert ("above-ceiling" in item.badges) is told


def test_without_further_models_nobody_can_say(a_row) -> None:
    assert above(a_row("one", 0.9, NOISE).scorecard) == 0
    assert not why_unranked(a_row("one", 0.9, NOISE))
