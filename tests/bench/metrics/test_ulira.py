"""U-LiRA against scipy's normal density per example, scikit-learn's rates, and what Gaussians of known distance get."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, roc_curve

from bench.metrics.metric import Evidence
from bench.metrics.resampling import SPLITS, Sample, Values, halves
from bench.metrics.ulira import ULiRA, held_out_ratios, likelihood_ratios
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import shifted


def log_ratio(value: float, ours: np.ndarray, theirs: np.ndarray, floor: float) -> float:
    logs = [
        norm(np.mean(side), max(math.sqrt(np.mean((side - np.mean(side)) ** 2)), floor)).logpdf(value) for side in (ours, theirs)
    ]
    return float(logs[0] - logs[1])


def floor_of(retrained: np.ndarray) -> float:
    variances = [np.mean((side - np.mean(side)) ** 2) for side in retrained.T]
    return 0.1 * math.sqrt(np.mean(variances))


def test_ratios_are_scipys_per_example() -> None:
    rng = np.random.default_rng(0)
    values, unlearned, retrained = rng.normal(size=(3, 4)), rng.normal(size=(6, 4)) + 1, rng.normal(size=(5, 4)) * 2
    unlearned[:, 2] = 0.5  # no spread at all: the floor
    found = likelihood_ratios(values, unlearned, retrained)
    for n, e in np.ndindex(3, 4):
        assert found[n, e] == pytest.approx(log_ratio(values[n, e], unlearned[:, e], retrained[:, e], floor_of(retrained)))


def test_pooled_variance_is_the_mean_over_examples() -> None:
    rng = np.random.default_rng(1)
    values, unlearned, retrained = rng.normal(size=(2, 3)), rng.normal(size=(6, 3)) + 1, rng.normal(size=(5, 3)) * 2
    found = likelihood_ratios(values, unlearned, retrained, pooled=True)
    spreads = [math.sqrt(np.mean([np.mean((each - np.mean(each)) ** 2) for each in side.T])) for side in (unlearned, retrained)]
    for n, e in np.ndindex(2, 3):
        logs = [
            norm(np.mean(side[:, e]), spread).logpdf(values[n, e])
            for side, spread in zip((unlearned, retrained), spreads, strict=True)
        ]
        assert found[n, e] == pytest.approx(logs[0] - logs[1])


def test_of_few_models_one_variance_for_all_tells_more() -> None:
    """Examples of one spread, six models a side: where nothing differs but means."""
    areas = {"ulira_auc": [], "ulira_pooled_auc": []}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found = compare(rng.normal(size=(6, 40)) + 0.7, rng.normal(size=(6, 40)))
        for name, values in areas.items():
            values.append(found[name])
    assert np.mean(areas["ulira_pooled_auc"]) > np.mean(areas["ulira_auc"]) + 0.02


def test_constants_are_finite() -> None:
    assert np.isfinite(likelihood_ratios(np.ones((2, 3)), np.zeros((4, 3)), np.zeros((4, 3)))).all()


def ratios_by_loop(unlearned: np.ndarray, retrained: np.ndarray, split: int) -> tuple[np.ndarray, np.ndarray]:
    """Every model judged by Gaussians of the half that it is not in."""
    ours, theirs = halves(unlearned, split), halves(retrained, split)
    found = np.full(unlearned.shape, np.nan), np.full(retrained.shape, np.nan)
    for fit, rest in ((0, 1), (1, 0)):
        one, other = unlearned[ours[fit]], retrained[theirs[fit]]
        for e in range(unlearned.shape[1]):
            for m in ours[rest]:
                found[0][m, e] = log_ratio(unlearned[m, e], one[:, e], other[:, e], floor_of(other))
            for m in theirs[rest]:
                found[1][m, e] = log_ratio(retrained[m, e], one[:, e], other[:, e], floor_of(other))
    return found


def compare(unlearned: np.ndarray, retrained: np.ndarray) -> Values:
    return ULiRA().compare(Sample.draw(unlearned), Sample.draw(retrained))


def test_models_are_judged_by_fits_without_them() -> None:
    rng = np.random.default_rng(1)
    unlearned, retrained = rng.normal(size=(9, 3)) + 1, rng.normal(size=(9, 3))
    found = held_out_ratios(Sample.draw(unlearned), Sample.draw(retrained), 2)
    for ours, expected in zip(found, ratios_by_loop(unlearned, retrained, 2), strict=True):
        np.testing.assert_allclose(np.sort(ours), np.sort(expected.ravel()))


@pytest.mark.independent
@pytest.mark.parametrize("models", [8, 11])
def test_rates_are_scikit_learns(models: int) -> None:
    population = Population.draw(4, 0)
    retrained = population.retrained(models)
    unlearned = population.case(shifted(1.0), retrained)
    parts = []
    for split in range(SPLITS):
        ours, theirs = (each.ravel() for each in ratios_by_loop(unlearned.confidence, retrained.confidence, split))
        truth, scores = np.repeat([1, 0], [len(ours), len(theirs)]), np.r_[ours, theirs]
        curve = roc_curve(truth, scores, drop_intermediate=False)
        rate = max(tpr for fpr, tpr in zip(*curve[:2], strict=True) if fpr <= 0.01)
        parts.append([balanced_accuracy_score(truth, scores > 0), roc_auc_score(truth, scores), rate])
    found = ULiRA().score(Evidence(unlearned, retrained, UNTIMED)).estimates
    assert [found[f"ulira_{name}"].value for name in ("accuracy", "auc", "tpr_1")] == pytest.approx(np.mean(parts, axis=0))


@pytest.mark.parametrize(("models", "examples", "known"), [(20, 49, False), (20, 50, True)])
def test_a_tenth_of_a_percent_needs_a_thousand_negatives(models: int, examples: int, known: bool) -> None:
    sides = np.random.default_rng(0).normal(size=(2, models, examples))
    assert ("ulira_tpr_01" in compare(*sides)) == known


@pytest.mark.parametrize("distance", [1.0, 2.0])
def test_many_models_reach_the_optimum_of_gaussians(distance: float) -> None:
    """AUC Phi(d / sqrt 2), accuracy Phi(d / 2), TPR Phi(d - z) at FPR 1 %."""
    sides = np.random.default_rng(2).normal(size=(2, 512, 20))
    found = compare(sides[0] + distance, sides[1])
    assert found["ulira_auc"] == pytest.approx(norm.cdf(distance / math.sqrt(2)), abs=0.01)
    assert found["ulira_accuracy"] == pytest.approx(norm.cdf(distance / 2), abs=0.01)
    assert found["ulira_tpr_1"] == pytest.approx(norm.cdf(distance - norm.ppf(0.99)), abs=0.04)


def test_sees_spread() -> None:
    sides = np.random.default_rng(3).normal(size=(2, 128, 20))
    assert compare(sides[0] * 0.4, sides[1])["ulira_auc"] > 0.65


def independent(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(16, 8))


def correlated(rng: np.random.Generator) -> np.ndarray:
    """Some models are more confident than others on all examples, as real ones are."""
    return rng.normal(size=(16, 8)) + rng.normal(size=(16, 1))


@pytest.mark.parametrize("draw", [independent, correlated])
@pytest.mark.parametrize("within", [False, True])
def test_equal_sides_get_one_half(draw: Callable[[np.random.Generator], np.ndarray], within: bool) -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(49):
        sides = Sample.draw(draw(rng)).halved() if within else (Sample.draw(draw(rng)), Sample.draw(draw(rng)))
        found.append(ULiRA().compare(*sides))
    for name in ("ulira_auc", "ulira_accuracy"):
        values = [each[name] for each in found]
        assert np.mean(values) == pytest.approx(0.5, abs=4 * np.std(values) / 7)


def test_sees_members_under_the_original_model() -> None:
    population = Population.draw(20, 5)
    baseline = ULiRA().baseline(population.retrained(16), population.original())
    assert baseline.original["ulira_auc"].value > 0.9
    assert baseline.retrained["ulira_auc"].value == pytest.approx(0.5, abs=0.15)
