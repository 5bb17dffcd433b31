"""Cross-fitted epsilons against a search over all intervals, loops, and scipy's exact binomial intervals."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm

from bench.metrics.cross_fitted import CrossFitted, Rules, certified_epsilon, choose_rules, held_out_epsilon
from bench.metrics.metric import Evidence
from bench.metrics.resampling import SPLITS, Sample, Values, halves
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import deterministic, shifted, widened


def smoothed(side: np.ndarray, low: float, high: float) -> float:
    return (sum(1 for value in side if low <= value <= high) + 0.5) / (len(side) + 1)


def four_ratios(unlearned: np.ndarray, retrained: np.ndarray, low: float, high: float) -> list[float]:
    a, b = (smoothed(side, low, high) for side in (unlearned, retrained))
    return [math.log(a / b), math.log(b / a), math.log((1 - a) / (1 - b)), math.log((1 - b) / (1 - a))]


def best_between(cuts: np.ndarray, unlearned: np.ndarray, retrained: np.ndarray) -> float:
    """The largest ratio of all intervals from one cut to a later one, open ends included."""
    ends = [-math.inf, *cuts, math.inf]
    edges = [(low, high) for i, low in enumerate(ends) for high in ends[i + 1 :]]
    return max(max(four_ratios(unlearned, retrained, *edge)) for edge in edges)


@pytest.mark.parametrize(("models", "others"), [(4, 4), (7, 5), (12, 12), (100, 100)])
@pytest.mark.parametrize("tied", [False, True])
def test_rules_are_the_best_between_quantiles(models: int, others: int, tied: bool) -> None:
    """Up to 24 confidences of both sides are all cuts; of more, 24 at equal ranks are."""
    rng = np.random.default_rng(models)
    unlearned, retrained = rng.normal(size=(models, 6)) + 0.5, rng.normal(size=(others, 6))
    if tied:
        unlearned, retrained = unlearned.round(), retrained.round()
    rules = choose_rules(unlearned, retrained)
    for e in range(6):
        levels = np.linspace(0, 1, min(24, models + others))
        cuts = np.quantile(np.r_[unlearned[:, e], retrained[:, e]], levels, method="nearest")
        found = four_ratios(unlearned[:, e], retrained[:, e], rules.low[e], rules.high[e])[rules.kind[e]]
        assert found == pytest.approx(best_between(cuts, unlearned[:, e], retrained[:, e]))


def random_rules(examples: int, rng: np.random.Generator) -> Rules:
    edges = np.sort(rng.normal(size=(2, examples)), axis=0)
    edges[0, rng.random(examples) < 0.3] = -np.inf
    edges[1, rng.random(examples) < 0.3] = np.inf
    return Rules(edges[0], edges[1], rng.integers(4, size=examples))


@pytest.mark.independent
def test_held_out_epsilon_is_a_loop() -> None:
    rng = np.random.default_rng(1)
    unlearned, retrained, rules = rng.normal(size=(9, 40)), rng.normal(size=(6, 40)), random_rules(40, rng)
    found = held_out_epsilon(rules, unlearned, retrained)
    for e in range(40):
        expected = four_ratios(unlearned[:, e], retrained[:, e], rules.low[e], rules.high[e])[rules.kind[e]]
        assert found[e] == pytest.approx(expected)


@pytest.mark.parametrize("models", [8, 100])
def test_certified_epsilon_is_from_scipys_exact_intervals(models: int) -> None:
    rng = np.random.default_rng(models)
    unlearned, retrained, rules = rng.normal(size=(models, 60)) + 2, rng.normal(size=(models, 60)), random_rules(60, rng)
    found = certified_epsilon(rules, unlearned, retrained)
    for e in range(60):
        inside = [int(((side[:, e] >= rules.low[e]) & (side[:, e] <= rules.high[e])).sum()) for side in (unlearned, retrained)]
        if rules.kind[e] >= 2:  # the rule guesses from confidences outside
            inside = [models - count for count in inside]
        first, second = inside[:: -1 if rules.kind[e] % 2 else 1]
        low = binomtest(first, models).proportion_ci(confidence_level=0.95, method="exact").low
        high = binomtest(second, models).proportion_ci(confidence_level=0.95, method="exact").high
        expected = max(math.log((low - 1e-5) / high), 0.0) if low > 1e-5 else 0.0
        assert found[e] == pytest.approx(expected, abs=1e-9)
    assert (found.max() > 0) == (models == 100)


def test_certified_epsilon_is_a_lower_bound() -> None:
    """Of a fixed rule with known rates, on 4000 draws of 50 models: above the true epsilon in at most 5 %."""
    rng = np.random.default_rng(2)
    unlearned, retrained = rng.normal(size=(50, 4000)) + 1, rng.normal(size=(50, 4000))
    rules = Rules(np.full(4000, 0.5), np.full(4000, np.inf), np.zeros(4000, dtype=np.int64))
    truth = math.log((norm.sf(0.5, loc=1) - 1e-5) / norm.sf(0.5))
    bounds = certified_epsilon(rules, unlearned, retrained)
    assert (bounds > truth).sum() <= binom.ppf(1 - 1e-6, 4000, 0.05)
    assert 0 < np.median(bounds) < truth


def compare(unlearned: np.ndarray, retrained: np.ndarray) -> Values:
    return CrossFitted().compare(Sample.draw(unlearned), Sample.draw(retrained))


def by_loops(unlearned: np.ndarray, retrained: np.ndarray) -> float:
    found = []
    for split in range(SPLITS):
        ours, theirs = halves(unlearned, split), halves(retrained, split)
        for choose, check in ((0, 1), (1, 0)):
            rules = choose_rules(unlearned[ours[choose]], retrained[theirs[choose]])
            for e in range(unlearned.shape[1]):
                one, other = unlearned[ours[check], e], retrained[theirs[check], e]
                found.append(four_ratios(one, other, rules.low[e], rules.high[e])[rules.kind[e]])
    return float(np.mean(found))


@pytest.mark.parametrize("models", [8, 9, 66])
def test_metric_chooses_on_one_half_and_checks_on_the_other(models: int) -> None:
    population = Population.draw(6, 0)
    retrained = population.retrained(models)
    unlearned = population.case(shifted(1.0), retrained)
    found = CrossFitted().score(Evidence(unlearned, retrained, UNTIMED)).estimates["cross_fitted_epsilon"].value
    assert found == pytest.approx(by_loops(unlearned.confidence, retrained.confidence))


@pytest.mark.parametrize("models", [16, 64])
@pytest.mark.parametrize("shift", [100.0, -100.0])
def test_separated_sides_are_near_the_largest_ratio(models: int, shift: float) -> None:
    side = np.random.default_rng(0).normal(size=(models, 5))
    found = compare(side + shift, side)
    assert 0.8 * math.log(models + 1) < found["cross_fitted_epsilon"] <= math.log(models + 1)
    assert found["certified_epsilon"] > 0
    constant = compare(np.full((models, 5), shift), side)
    assert constant["cross_fitted_epsilon"] == pytest.approx(math.log(models + 1))


def independent(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(16, 20))


def correlated(rng: np.random.Generator) -> np.ndarray:
    """Some models are more confident than others on all examples, as real ones are."""
    return rng.normal(size=(16, 20)) + rng.normal(size=(16, 1))


@pytest.mark.parametrize("draw", [independent, correlated])
def test_equal_sides_get_zero_on_average(draw: Callable[[np.random.Generator], np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    values = [compare(draw(rng), draw(rng))["cross_fitted_epsilon"] for _ in range(64)]
    assert np.mean(values) == pytest.approx(0.0, abs=4 * np.std(values) / 8)


@pytest.mark.parametrize("draw", [independent, correlated])
def test_halves_of_retrained_models_get_zero_on_average(draw: Callable[[np.random.Generator], np.ndarray]) -> None:
    """What runs are compared with must be what a run of retrained models gets."""
    rng = np.random.default_rng(1)
    values = []
    for _ in range(64):
        one, other = Sample.draw(draw(rng)).halved()
        both = CrossFitted().compare(one, other), CrossFitted().compare(other, one)
        values.append(np.mean([each["cross_fitted_epsilon"] for each in both]))
    assert np.mean(values) == pytest.approx(0.0, abs=4 * np.std(values) / 8)


def test_sees_what_the_location_does_not_show() -> None:
    population = Population.draw(40, 3)
    retrained = population.retrained(64)
    same = compare(population.retrained(64).confidence, retrained.confidence)["cross_fitted_epsilon"]
    for change in (widened(0.5), deterministic):
        unlearned = population.case(change, retrained)
        found = CrossFitted().score(Evidence(unlearned, retrained, UNTIMED)).estimates["cross_fitted_epsilon"].value
        assert found > same + 0.3
