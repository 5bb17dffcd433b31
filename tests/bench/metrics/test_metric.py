"""What two-sample metrics say of people who are not forgotten, and whether attacks see members at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t

from bench.metrics.challenge import Challenge
from bench.metrics.confidence import logit_scaled_confidence
from bench.metrics.cross_fitted import CrossFitted
from bench.metrics.forgetting import forgetting_score
from bench.metrics.gaussian_dp import GaussianDP
from bench.metrics.klom import KLOM
from bench.metrics.metric import CONTROLS, Evidence, Metric, Models
from bench.metrics.resampling import Sample
from bench.metrics.rmia import RMIA
from bench.metrics.two_sample import TwoSample, stands_out
from bench.metrics.ulira import ULiRA
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import shifted

MODELS = 16


@pytest.fixture(scope="module")
def population() -> Population:
    return Population.draw(60, 0)


@pytest.fixture(scope="module")
def retrained(population: Population) -> Models:
    return population.retrained(MODELS)


@pytest.fixture(scope="module")
def unlearned(population: Population, retrained: Models) -> Models:
    return population.case(shifted(1.0), retrained)


def confidences(models: Models, split: str) -> np.ndarray:
    return logit_scaled_confidence(models.outputs.logits[split], models.labels[split])


@pytest.mark.parametrize("metric", [ULiRA(), CrossFitted()], ids=["ulira", "cross-fitted"])
def test_controls_are_the_same_on_other_splits(metric: TwoSample, unlearned: Models, retrained: Models) -> None:
    found = metric.score(Evidence(unlearned, retrained, UNTIMED)).controls
    assert set(found) == set(CONTROLS)
    for split, values in found.items():
        sides = [Sample.draw(confidences(models, split)) for models in (unlearned, retrained)]
        assert values == metric.compare(*sides)


@pytest.mark.parametrize("metric", [KLOM(), GaussianDP()], ids=["klom", "gaussian-dp"])
def test_where_n_matters_controls_are_by_halves_too(metric: TwoSample, unlearned: Models, retrained: Models) -> None:
    found = metric.score(Evidence(unlearned, retrained, UNTIMED)).controls["unseen"]
    ours, theirs = (Sample.draw(confidences(models, "unseen")).halved() for models in (unlearned, retrained))
    pairs = [metric.compare(one, other) for one in ours for other in theirs]
    assert found == {name: pytest.approx(np.mean([pair[name] for pair in pairs])) for name in pairs[0]}


@pytest.mark.parametrize(
    "metric", [ULiRA(), CrossFitted(), GaussianDP(), RMIA(), Challenge()], ids=lambda each: type(each).__name__
)
def test_a_change_of_the_forgotten_shows_on_nobody_else(metric: Metric, unlearned: Models, retrained: Models) -> None:
    """Controls are what retrained models get, and the number on forget is not."""
    original = unlearned.select([0])
    evidence = Evidence(unlearned, retrained, UNTIMED, original=original)
    found, baseline = metric.score(evidence), metric.baseline(retrained, original)
    for name in set.intersection(*(set(values) for values in found.controls.values())) & {
        "ulira_auc",
        "cross_fitted_epsilon",
        "gaussian_dp_mu",
        "rmia_auc",
        "forgetting_score",
    }:
        away = abs(found.estimates[name].value - baseline.retrained[name].value)
        for split, values in found.controls.items():
            assert abs(values[name] - baseline.controls[split][name]) < away / 2


def test_the_challenges_score_on_controls_is_near_its_grid(unlearned: Models, retrained: Models) -> None:
    found = Challenge().score(Evidence(unlearned, retrained, UNTIMED)).controls["test"]["forgetting_score"]
    assert found == pytest.approx(forgetting_score(confidences(unlearned, "test"), confidences(retrained, "test")), abs=0.03)


def test_a_split_that_a_task_lacks_is_no_control(unlearned: Models, retrained: Models) -> None:
    def without(models: Models) -> Models:
        logits = {**models.outputs.logits, "unseen": models.outputs.logits["unseen"][:, :0]}
        return Models(replace(models.outputs, logits=logits), {**models.labels, "unseen": models.labels["unseen"][:0]})

    sides = without(unlearned), without(retrained)
    assert set(ULiRA().score(Evidence(*sides, UNTIMED)).controls) == {"test", "retain_sample"}
    assert set(ULiRA().baseline(sides[1], sides[0].select([0])).controls) == {"test", "retain_sample"}


def test_members_of_the_training_set_are_seen_under_the_original(population: Population, retrained: Models) -> None:
    assert all(ULiRA().baseline(retrained, population.original()).sees.values())


@pytest.mark.parametrize(("models", "sees"), [(16, False), (128, True)])
def test_of_few_models_klom_sees_no_members(population: Population, models: int, sees: bool) -> None:
    """Most of its bins hold none of eight retrained models, so that every point is as far away as can be."""
    found = KLOM().baseline(population.retrained(models), population.original()).sees
    assert found["klom_median"] is sees


@pytest.mark.parametrize("metric", [ULiRA(), KLOM()], ids=["ulira", "klom"])
def test_nothing_is_seen_under_a_retrained_model_in_its_place(
    metric: TwoSample, population: Population, retrained: Models
) -> None:
    """Of five such models' numbers one in twenty stands out by chance."""
    seen = [seen for _ in range(5) for seen in metric.baseline(retrained, population.retrained(1)).sees.values()]
    assert np.mean(seen) < 0.35


def test_what_stands_out_is_outside_of_a_prediction_interval() -> None:
    """At the 5 % that it says, and as scipy's t has it."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(4000, 9))
    assert np.mean([stands_out(row[0], row[1:]) for row in draws]) == pytest.approx(0.05, abs=0.012)
    usual = draws[0, 1:]
    edge = usual.mean() + t.ppf(0.975, 7) * usual.std(ddof=1) * np.sqrt(1 + 1 / 8)
    assert stands_out(edge + 1e-9, usual)
    assert not stands_out(edge - 1e-9, usual)
