"""Which rows pass the gates, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs

from bench.scoring.gates import DECIDING, VOIDING, stated, why_unranked
from bench.scoring.ranking import better_unranked, places
from bench.scoring.rows import Row
from bench.scoring.scorecard import Scorecard, Section
from bench.store.records import Finished, Killed


def noise(seed: int, sd: float = 0.01) -> np.ndarray:
    return sd * np.random.default_rng(seed).normal(size=200)


def flagged(item: Row, **about: object) -> Row:
    """A row whose timed trials were looked at by a metric that says so."""
    section = Section(version=1, **about)
    return replace(item, scorecard=item.scorecard.with_section("timed-trials", section))


def test_why_a_row_is_at_the_bottom(a_row) -> None:
    good, late = a_row("good", 0.1, noise(1)), a_row("late", 0.3, noise(2), left=0.3, late=True)
    other = flagged(a_row("other", 0.4, noise(3), left=0.2), flags={"timed differently": "trial 3 took 5 s"})
    untold = flagged(a_row("untold", 0.5, noise(4), left=0.1), problem="ValueError: no luck")
    busy = a_row("busy", 0.2, noise(5), left=-0.4)
    useless = a_row("useless", 0.2, noise(6), left=0.6, kept=(0.9, 0.8333))
    noisy = [
        Killed(trial=trial, killed="", seconds=seconds, retraining=(5.0, 5.0), busy=0.8)
        for trial, seconds in enumerate((0.5, 0.9, 1.5))
    ]
    busy = replace(busy, record=structs.replace(busy.record, timed=tuple(noisy)))
    chunks = tuple(
        Finished(trials=(trial,), file=f"outputs-{trial:04d}.npz", sha256="0" * 64, seconds=seconds)
        for trial, seconds in enumerate((0.5, 0.5, 0.5, 0.5, 6.0))
    )
    untimed = replace(good, record=structs.replace(good.record, timed=()))
    lucky = replace(good, record=structs.replace(good.record, chunks=chunks))
    unscored = replace(good, scorecard=None, failure="3/16 trials: no luck")
    assert [why_unranked(item) for item in (good, late, other, untold, busy, untimed, lucky, useless, unscored)] == [
        "",
        "over budget: it takes 200 % of it",
        "timed differently: trial 3 took 5 s",
        "nobody can tell whether what is timed is what is scored: ValueError: no luck",
        "timed on a busy machine, where it cannot be told whether it is within the budget",
        "nobody can tell whether it is within the budget: no trial was timed",
        "uneven times: trials take 1.60 s on average, and 0.50 s in the median, which is what is judged",
        "utility lost: test accuracy is 90.0 % of retrained models', 95 % are asked;"
        " retain accuracy is 83.3 % of retrained models', 90 % are asked",
        "3/16 trials: no luck",
    ]
    placed = places([good, late, other, untold, busy, useless, unscored])
    assert [place.row.folder.name for place in placed if place.rank] == ["good"]
    assert [item.folder.name for item in better_unranked(placed)] == ["untold", "other", "late", "busy"]
    assert better_unranked(places([good])) == []


@pytest.mark.parametrize("flag", VOIDING)
def test_a_row_that_no_honest_method_gives_is_not_ranked(a_row, flag: str) -> None:
    honest, bought = (
        a_row("honest", 0.1, noise(1)),
        flagged(a_row("bought", 0.3, noise(2), left=0.0), flags={flag: "16 of 16 models"}),
    )
    assert why_unranked(bought) == f"{flag}: 16 of 16 models"
    placed = places([honest, bought])
    assert [(place.row.folder.name, str(place.rank)) for place in placed] == [("honest", "1"), ("bought", "None")]
    assert better_unranked(placed) == [bought]


@pytest.mark.parametrize(("score", "ranked"), [(0.1, True), (0.18, True), (0.19, False)])
def test_near_constant_rows_are_ranked_if_they_score_less_than_retraining(a_row, score: float, ranked: bool) -> None:
    """Short fine-tuning is near-constant, and honest; a score that it was made for is above the ceiling of .18."""
    item = flagged(a_row("finetune", score, noise(1)), flags={"near-constant": "62 of 120 examples"})
    assert (not why_unranked(item)) is ranked
    assert ranked or why_unranked(item).startswith("near-constant, and more than retraining itself scores: 62 of 120")


@pytest.mark.parametrize("flag", ["deterministic", "utility-collapse", "over-unlearned"])
def test_other_flags_are_badges(a_row, flag: str) -> None:
    assert why_unranked(flagged(a_row("one", 0.1, noise(1)), flags={flag: "seen"})) == ""


@pytest.mark.parametrize("metric", DECIDING)
def test_where_a_gate_could_not_be_looked_at_nobody_is_ranked(a_row, metric: str) -> None:
    """Whether a metric failed or was never computed."""
    item = a_row("one", 0.1, noise(1))
    assert not why_unranked(item)
    card = item.scorecard.with_section(metric, Section(version=1, problem="ValueError: no luck"))
    assert why_unranked(replace(item, scorecard=card)) == f"nobody can tell {DECIDING[metric]}: ValueError: no luck"
    without = {name: section for name, section in item.scorecard.sections.items() if name != metric}
    told = why_unranked(replace(item, scorecard=Scorecard(sections=without)))
    assert told == f"nobody can tell {DECIDING[metric]}: not computed yet; `bench score` does it"


def test_accuracies_must_stand_beside_retrained_models(a_row) -> None:
    item = a_row("one", 0.1, noise(1))
    measures = item.scorecard.sections["utility"].measures
    alone = {name: structs.replace(measure, relative=None) for name, measure in measures.items()}
    card = item.scorecard.with_section("utility", Section(version=1, measures=alone))
    assert "no accuracies beside retrained models" in why_unranked(replace(item, scorecard=card))


@pytest.mark.parametrize(
    ("kept", "useful"), [((0.95, 0.90), True), ((0.949, 1.0), False), ((1.2, 0.899), False), ((1.0, 1.5), True)]
)
def test_a_row_keeps_the_use_that_is_asked(a_row, kept: tuple[float, float], useful: bool) -> None:
    item = a_row("one", 0.1, noise(1), kept=kept)
    assert (not why_unranked(item)) is useful
    assert ("utility lost" in item.badges) is not useful


def test_gates_are_said_with_their_numbers() -> None:
    said = "; ".join(stated())
    assert "test accuracy at least 95 % of retrained models' and retain accuracy at least 90 % of" in said
    assert all(flag in said for flag in VOIDING)


def test_models_that_were_unlearned_elsewhere_are_never_ranked(a_row) -> None:
    """Whatever else there is to say of them: nobody timed that."""
    good = a_row("good", 0.1, noise(1))
    other = a_row("other", 0.15, noise(2), left=0.0)
    elsewhere = replace(other, record=structs.replace(other.record, self_reported=True, timed=()))
    flagged_too = flagged(elsewhere, flags={"copied": "16 of 16 models"})
    told = "self-reported: its models were unlearned elsewhere and nobody timed that, so it cannot be ranked among timed rows"
    assert why_unranked(elsewhere) == why_unranked(flagged_too) == told
    assert "self-reported" in elsewhere.badges
    assert "self-reported" not in good.badges
    placed = places([good, elsewhere])
    assert [(place.row.folder.name, str(place.rank), str(place.challenge)) for place in placed] == [
        ("good", "1", "1"),
        ("other", "None", "None"),
    ]
