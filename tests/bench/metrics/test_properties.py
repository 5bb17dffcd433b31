"""What holds for every metric: order does not matter, worse is never better, and the stated levels and intervals are honest."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom

from bench.metrics.approximation import approximate_score
from bench.metrics.cross_fitted import CrossFitted, choose_rules, held_out_epsilon
from bench.metrics.distinguishability import exchanged_distances, p_value
from bench.metrics.exchange import exchanged_differences
from bench.metrics.forgetting import forgetting_score
from bench.metrics.gaussian_dp import GaussianDP
from bench.metrics.installed import installed_metrics
from bench.metrics.klom import KLOM
from bench.metrics.metric import Evidence, Metric, Models
from bench.metrics.resampling import Sample, interval, resamples
from bench.metrics.two_sample import TwoSample
from bench.metrics.ulira import ULiRA, likelihood_ratios
from bench.outputs import Outputs
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import Change, gaming, shifted

METRICS = {item.name: item.metric for item in installed_metrics()[0] if item.name != "runtime"}


def with_forget_order(models: Models, order: np.ndarray) -> Models:
    logits = {**models.outputs.logits, "forget": models.outputs.logits["forget"][:, order]}
    return Models(Outputs(logits, models.outputs.retain_accuracy), {**models.labels, "forget": models.labels["forget"][order]})


def answers(metric: Metric, unlearned: Models, retrained: Models, original: Models) -> dict[str, float]:
    """Every value that a metric gives the run, the retrained models and the original one; and every flag."""
    found, baseline = metric.score(Evidence(unlearned, retrained, UNTIMED)), metric.baseline(retrained, original)
    sides = {"run": found.estimates, "retrained": baseline.retrained, "original": baseline.original}
    values = {f"{side} {name}": estimate.value for side, estimates in sides.items() for name, estimate in estimates.items()}
    return {**values, **{f"flag {flag}": 1.0 for flag in found.flags}}


CASES = [
    (name, change) for name, metric in METRICS.items() for change in (shifted(0.5), gaming)[: 1 + isinstance(metric, TwoSample)]
]


@pytest.mark.parametrize(("name", "change"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_order_does_not_matter(name: str, change: Change) -> None:
    """Neither that of unlearned models, nor that of retrained ones, nor that of forget examples."""
    rng = np.random.default_rng(0)
    population = Population.draw(11, 3)
    count = 9 if isinstance(METRICS[name], TwoSample) else 5
    retrained, original = population.retrained(count), population.original()
    unlearned = population.case(change, retrained)
    expected = answers(METRICS[name], unlearned, retrained, original)
    shuffled = [side.select(rng.permutation(len(side)).tolist()) for side in (unlearned, retrained, original)]
    examples = rng.permutation(11)
    moved = [with_forget_order(side, examples) for side in shuffled]
    assert answers(METRICS[name], *moved) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("models", [8, 9])
@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if isinstance(metric, TwoSample)])
def test_values_and_deviations_are_finite_with_few_models(name: str, models: int) -> None:
    """Halves of halves, less a group of the jackknife, still have models."""
    for seed in range(3):
        population = Population.draw(3, seed)
        retrained, original = population.retrained(models), population.original()
        baseline = METRICS[name].baseline(retrained, original)
        found = METRICS[name].score(Evidence(population.case(shifted(0.5), retrained), retrained, UNTIMED)).estimates
        for estimate in (*baseline.retrained.values(), *baseline.original.values(), *found.values()):
            assert math.isfinite(estimate.value)
            assert math.isfinite(estimate.sd or 0.0)


def two_sample(metric: TwoSample, name: str) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda unlearned, retrained: metric.compare(Sample.draw(unlearned), Sample.draw(retrained))[name]


WORSE_IS_HIGHER: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "forgetting score, negated": lambda unlearned, retrained: -forgetting_score(unlearned, retrained),
    "approximate score, negated": lambda unlearned, retrained: -approximate_score(unlearned, retrained, len(unlearned)),
    "cross-fitted epsilon": two_sample(CrossFitted(), "cross_fitted_epsilon"),
    "mu": two_sample(GaussianDP(), "gaussian_dp_mu"),
    "U-LiRA AUC": two_sample(ULiRA(), "ulira_auc"),
    "U-LiRA accuracy": two_sample(ULiRA(), "ulira_accuracy"),
    "KLOM": two_sample(KLOM(), "klom_median"),
    "distance": lambda unlearned, retrained: float(exchanged_distances(unlearned, retrained, 0)[0]),
    "p-value, negated": lambda unlearned, retrained: -p_value(exchanged_distances(unlearned, retrained)),
}


@pytest.mark.parametrize("name", WORSE_IS_HIGHER)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_stronger_shift_is_never_better(name: str, sign: int) -> None:
    """On average over seeds, in either direction. The p-value reaches 1/200 and stays there."""
    seeds = range(3 if name == "forgetting score, negated" else 12)
    sides = [np.random.default_rng(seed).normal(size=(2, 16, 8)) for seed in seeds]
    measure = WORSE_IS_HIGHER[name]
    means = [np.mean([measure(side[0] + sign * shift, side[1]) for side in sides]) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert means == sorted(means)
    assert means[-1] > means[0]


SIDES = arrays(np.float64, (8, 2), elements=st.integers(-3, 3).map(float) | st.floats(-30, 30))


@settings(max_examples=40)
@given(SIDES, SIDES)
def test_swapping_sides(unlearned: np.ndarray, retrained: np.ndarray) -> None:
    """Distances and the distance by location do not care which side is which; likelihood ratios change their sign."""
    there, back = Sample.draw(unlearned), Sample.draw(retrained)
    assert exchanged_distances(unlearned, retrained, 0) == pytest.approx(exchanged_distances(retrained, unlearned, 0))
    one, other = GaussianDP().compare(there, back), GaussianDP().compare(back, there)
    assert one["gaussian_dp_mu"] == pytest.approx(other["gaussian_dp_mu"])
    assert one["log_deviation_ratio"] == pytest.approx(-other["log_deviation_ratio"], abs=1e-9)
    rules = choose_rules(unlearned, retrained)
    swapped = type(rules)(rules.low, rules.high, rules.kind ^ 1)  # kinds come in pairs: log a/b and log b/a
    np.testing.assert_allclose(held_out_epsilon(rules, unlearned, retrained), held_out_epsilon(swapped, retrained, unlearned))


@settings(max_examples=40)
@given(SIDES, SIDES, SIDES)
def test_held_out_quantities_are_finite(unlearned: np.ndarray, retrained: np.ndarray, values: np.ndarray) -> None:
    assert np.isfinite(likelihood_ratios(values, unlearned, retrained)).all()
    epsilon = held_out_epsilon(choose_rules(unlearned, retrained), values, retrained)
    assert (np.abs(epsilon) <= math.log(2 * 8 + 1) + 1e-9).all()  # eight models: half a model against all and half


def retrained_pair(rng: np.random.Generator, models: int, common: float) -> np.ndarray:
    """Confidences of two sets of retrained models, [2, N, 10]; with `common`, examples of one model are correlated."""
    return rng.normal(size=(2, models, 10)) + common * rng.normal(size=(2, models, 1))


def test_equal_sides_are_seldom_told_apart() -> None:
    rng = np.random.default_rng(1)
    small = sum(p_value(exchanged_distances(*retrained_pair(rng, 8, common=seed % 2))) <= 0.05 for seed in range(120))
    assert small <= binom.ppf(1 - 1e-4, 120, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("common", [0.0, 1.0, 20.0])
@pytest.mark.parametrize("models", [8, 16, 32, 64])
def test_level_of_the_permutation_test(models: int, common: float, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng([models, int(common)])
    values = np.array([p_value(exchanged_distances(*retrained_pair(rng, models, common))) for _ in range(1000)])
    with capsys.disabled():
        print(f"\npermutation test, N={models}, common={common}: {[float((values <= a).mean()) for a in (0.01, 0.05, 0.1)]}")
    for level in (0.01, 0.05, 0.1):
        assert binom.ppf(1e-4, 1000, level) <= (values <= level).sum() <= binom.ppf(1 - 1e-4, 1000, level)


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 0.7])
def test_level_of_the_exchange_of_trials(shared: float, capsys: pytest.CaptureFixture[str]) -> None:
    """Two runs of one method against one reference; `shared`: trials of one index have seeds in common."""
    values = []
    for seed in range(1000):
        population = Population.draw(6, seed)
        retrained = population.retrained(8)
        one = population.case(shifted(0.5), retrained)
        pull = (shared, math.sqrt(1 - shared**2))
        mean = one.confidence.mean(axis=0)
        again = population.case(
            lambda fresh, reference, own=one, pull=pull, mean=mean: (
                mean + pull[0] * (own.confidence - mean) + pull[1] * (fresh.forget + 0.5 - mean)
            ),
            retrained,
        )
        values.append(p_value(exchanged_differences(one, again, retrained)))
    told = [int((np.array(values) <= level).sum()) for level in (0.01, 0.05, 0.1)]
    with capsys.disabled():
        print(f"\nexchange of trials, N=8, shared={shared}: {[count / 1000 for count in told]}")
    for count, level in zip(told, (0.01, 0.05, 0.1), strict=True):
        assert count <= binom.ppf(1 - 1e-4, 1000, level)


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 1.0])
@pytest.mark.parametrize(("models", "simulations"), [(16, 400), (64, 200), (128, 200), (512, 60)])
def test_coverage_of_the_scores_interval(models: int, simulations: int, shift: float, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the expected score under fresh models of both kinds."""
    rng = np.random.default_rng([models, int(shift)])
    plan = resamples(models)
    scores, deviations = [], []
    for _ in range(simulations):
        retrained, unlearned = rng.normal(size=(2, models, 30))
        unlearned = unlearned + shift
        scores.append(forgetting_score(unlearned, retrained))
        again = [approximate_score(unlearned[ours], retrained[theirs], models) for ours, theirs in plan]
        deviations.append(np.std(again, ddof=1))
    truth = np.mean(scores)
    bounds = np.array([interval(score, sd) for score, sd in zip(scores, deviations, strict=True)])
    coverage = ((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])).mean()
    ratio = math.sqrt(np.mean(np.square(deviations))) / np.std(scores, ddof=1)
    with capsys.disabled():
        print(f"\nscore's interval, N={models}, shift={shift}: coverage {coverage:.3f}, deviation / true {ratio:.2f}")
    assert coverage >= 0.80
    assert 0.75 <= ratio <= 1.33


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 1.0])
@pytest.mark.parametrize("models", [16, 64])
@pytest.mark.parametrize("metric", [CrossFitted(), GaussianDP(), KLOM(), ULiRA()], ids=lambda metric: type(metric).__name__)
def test_deviations_of_two_sample_metrics(
    metric: TwoSample, models: int, shift: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """Jackknifed deviations may be too large, never much too small."""
    rng = np.random.default_rng([models, int(shift)])
    population = Population.draw(20, 0)
    found = []
    for _ in range(100):
        draws = rng.normal(size=(2, models, 20))
        sides = [population.case(lambda fresh, reference, own=own: own, population.retrained(models)) for own in draws + 0.0]
        moved = population.case(lambda fresh, reference, own=draws[0]: own + shift, sides[1])
        found.append(metric.score(Evidence(moved, sides[1], UNTIMED)).estimates)
    for name in found[0]:
        values, deviations = (np.array([getattr(each[name], part) for each in found]) for part in ("value", "sd"))
        if np.mean(values == values.min()) > 0.05:
            continue  # certified epsilons at N = 16: most are 0
        ratio = math.sqrt(np.mean(deviations**2)) / values.std(ddof=1)
        coverage = (np.abs(values - values.mean()) <= 1.96 * deviations).mean()
        with capsys.disabled():
            print(f"\n{name}, N={models}, shift={shift}: coverage {coverage:.2f}, deviation / true {ratio:.2f}")
        assert ratio >= 0.8
        assert coverage >= 0.85
