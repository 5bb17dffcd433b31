"""The challenge's numbers on models with known answers; its resampling against the score itself; the ceiling."""

import math

import numpy as np
import pytest

from bench.metrics.challenge import Challenge
from bench.metrics.forgetting import epsilons, forgetting_score
from bench.metrics.metric import Evidence, Models
from bench.metrics.resampling import resamples
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import Fresh, shifted


def example_kinds(fresh: Fresh, reference: np.ndarray) -> np.ndarray:
    """The first example is peaky, the second separated, the third closer together than thresholds are."""
    changed = fresh.forget.copy()
    changed[:, 0] = reference[:, 0].mean() + 1e-4 * fresh.forget[:, 0]
    changed[:, 1] += 100.0
    changed[:, 2] = np.linspace(0, 1e-4, len(fresh.forget))
    return changed


def test_counts_of_special_examples() -> None:
    population = Population.draw(8, 0)
    close = population.case(
        lambda fresh, reference: np.where(np.arange(8) == 2, 1e-5 * fresh.forget, fresh.forget), population.retrained(16)
    )
    unlearned = population.case(example_kinds, close)
    found = Challenge().score(Evidence(unlearned, close, UNTIMED))
    expected = epsilons(unlearned.confidence, close.confidence)
    assert np.flatnonzero(np.isnan(expected)).tolist() == [2]
    counts = {name: estimate.value for name, estimate in found.estimates.items() if name.endswith("_examples")}
    assert counts == {"capped_examples": 2, "peaky_examples": 1, "separated_examples": 1, "undecided_examples": 1}
    assert found.details["epsilons"] == [None if math.isnan(value) else value for value in expected]


def accuracy(models: Models, split: str) -> float:
    logits, labels = models.outputs.logits[split], models.labels[split]
    right = [int(np.argmax(scores)) == label for model in logits for scores, label in zip(model, labels, strict=True)]
    return sum(right) / len(right)


@pytest.mark.parametrize("models", [8, 70])
def test_final_score_is_a_product(models: int) -> None:
    population = Population.draw(6, 1)
    retrained = population.retrained(models)
    unlearned = population.case(shifted(0.5), retrained)
    found = Challenge().score(Evidence(unlearned, retrained, UNTIMED)).estimates
    forgetting = forgetting_score(unlearned.confidence, retrained.confidence)
    retain = np.mean(unlearned.outputs.retain_accuracy) / np.mean(retrained.outputs.retain_accuracy)
    test = accuracy(unlearned, "test") / accuracy(retrained, "test")
    assert found["forgetting_score"].value == pytest.approx(forgetting)
    assert found["final_score"].value == pytest.approx(forgetting * retain * test)


@pytest.mark.independent
@pytest.mark.parametrize("models", [16, 80])
def test_deviation_is_that_of_the_score_on_resampled_models(models: int) -> None:
    """The approximation in place of the grid, and the draws, against a loop over the published score."""
    population = Population.draw(3, 2)
    retrained = population.retrained(models)
    unlearned = population.case(shifted(0.5), retrained)
    found = Challenge().score(Evidence(unlearned, retrained, UNTIMED))
    plan = resamples(models)
    every = 10
    again, products = [], []
    for ours, theirs in plan[::every]:
        drawn, reference = unlearned.select(ours), retrained.select(theirs)
        again.append(forgetting_score(drawn.confidence, reference.confidence))
        retain = drawn.outputs.retain_accuracy.mean() / reference.outputs.retain_accuracy.mean()
        products.append(again[-1] * retain * accuracy(drawn, "test") / accuracy(reference, "test"))
    for name, expected in (("resampled_forgetting_score", again), ("resampled_final_score", products)):
        assert np.abs(np.array(found.details[name][::every]) - expected).mean() < 0.01
    assert np.std(found.details["resampled_forgetting_score"][::every]) == pytest.approx(np.std(again), rel=0.3)
    spread = np.std(found.details["resampled_forgetting_score"], ddof=1)
    assert found.estimates["forgetting_score"].sd == pytest.approx(spread)


def test_original_model_scores_zero() -> None:
    """The baseline states it; here it is computed: N copies of one model are peaky on every example."""
    population = Population.draw(10, 3)
    retrained, original = population.retrained(16), population.original()
    baseline = Challenge().baseline(retrained, original).original
    copies = np.repeat(original.confidence, 16, axis=0)
    assert baseline["forgetting_score"].value == baseline["final_score"].value == 0.0
    assert forgetting_score(copies, retrained.confidence) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("common", [0.0, 1.0])
def test_ceiling_is_what_half_as_many_retrained_models_get(common: float) -> None:
    """Unbiased for independent runs of N/2 models, also where some models are more confident than others on all examples."""
    rng = np.random.default_rng(0)
    population = Population.draw(20, 0)
    original = population.original()

    def retrained(models: int) -> Models:
        draw = rng.normal(size=(models, 20)) + common * rng.normal(size=(models, 1))
        return population.case(lambda fresh, reference: draw, population.retrained(models))

    ceilings, runs = [], []
    for _ in range(120):
        ceilings.append(Challenge().baseline(retrained(16), original).retrained["forgetting_score"].value)
        runs.append(forgetting_score(retrained(8).confidence, retrained(8).confidence))
    error = math.hypot(np.std(ceilings), np.std(runs)) / math.sqrt(120)
    assert np.mean(ceilings) == pytest.approx(np.mean(runs), abs=3.5 * error)
