"""AUC against scikit-learn and scipy, mu against Gaussians with a known distance, spreads against numpy."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import mannwhitneyu, norm
from sklearn.metrics import roc_auc_score

from bench.metrics.gaussian_dp import GaussianDP, areas_per_example, log_deviation_ratios, mu
from bench.metrics.metric import Evidence
from bench.metrics.resampling import halves
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import shifted, widened

VALUES = st.integers(-2, 2).map(float) | st.floats(-100, 100)


@pytest.mark.independent
@settings(max_examples=50)
@given(arrays(np.float64, (6, 2), elements=VALUES), arrays(np.float64, (4, 2), elements=VALUES))
def test_areas_are_scikit_learns_and_scipys(unlearned: np.ndarray, retrained: np.ndarray) -> None:
    found = areas_per_example(unlearned, retrained)
    for e in range(2):
        ours, theirs = unlearned[:, e], retrained[:, e]
        assert found[e] == pytest.approx(roc_auc_score([1] * 6 + [0] * 4, np.r_[ours, theirs]))
        assert found[e] == pytest.approx(mannwhitneyu(ours, theirs, method="asymptotic").statistic / 24)
        pairs = [(a > b) + 0.5 * (a == b) for a in ours for b in theirs]
        assert found[e] == pytest.approx(sum(pairs) / 24)


@given(st.floats(0, 4))
def test_mu_of_the_area_between_two_gaussians(distance: float) -> None:
    area = norm.cdf(distance / math.sqrt(2))  # P(N(distance, 1) > N(0, 1))
    assert mu([area], pairs=10**9)[0] == pytest.approx(distance, abs=1e-6)
    assert mu([1 - area], pairs=10**9)[0] == pytest.approx(distance, abs=1e-6)


@pytest.mark.parametrize("distance", [0.5, 1.0, 2.0])
def test_mu_of_samples(distance: float) -> None:
    sides = np.random.default_rng(0).normal(size=(2, 3000, 1))
    found = mu(areas_per_example(sides[0] + distance, sides[1]), 3000**2)[0]
    assert found == pytest.approx(distance, abs=0.15)


def test_complete_separation_is_half_a_pair() -> None:
    assert mu([1.0, 0.0], pairs=64).tolist() == pytest.approx([math.sqrt(2) * norm.ppf(1 - 1 / 128)] * 2)


def test_log_ratios_are_numpys() -> None:
    rng = np.random.default_rng(0)
    unlearned, retrained = rng.normal(size=(9, 5)) * [1, 2, 3, 4, 5], rng.normal(size=(12, 5))
    for e, found in enumerate(log_deviation_ratios(unlearned, retrained)):
        spreads = [math.sqrt(sum((x - np.mean(s)) ** 2 for x in s) / (len(s) - 1)) for s in (unlearned[:, e], retrained[:, e])]
        assert found == pytest.approx(math.log(spreads[0] / spreads[1]))


def test_log_ratios_of_constant_sides() -> None:
    spread, constant = np.random.default_rng(0).normal(size=(8, 1)), np.zeros((8, 1))
    assert log_deviation_ratios(constant, spread).tolist() == [-7.0]
    assert log_deviation_ratios(spread, constant).tolist() == [7.0]
    assert log_deviation_ratios(constant, constant).tolist() == [0.0]


def by_halves(unlearned: np.ndarray, retrained: np.ndarray) -> tuple[float, float]:
    mus, ratios = [], []
    for ours, theirs in product(halves(unlearned), halves(retrained)):
        for e in range(unlearned.shape[1]):
            one, other = unlearned[ours, e], retrained[theirs, e]
            area = roc_auc_score([1] * len(one) + [0] * len(other), np.r_[one, other])
            best = min(max(area, 1 - area), 1 - 0.5 / (len(one) * len(other)))
            mus.append(math.sqrt(2) * norm.ppf(best))
            ratios.append(math.log(one.std(ddof=1) / other.std(ddof=1)))
    return float(np.mean(mus)), float(np.mean(ratios))


def test_runs_are_compared_by_halves() -> None:
    population = Population.draw(10, 0)
    retrained = population.retrained(12)
    unlearned = population.case(shifted(1.0), retrained)
    found = GaussianDP().score(Evidence(unlearned, retrained, UNTIMED)).estimates
    expected = by_halves(unlearned.confidence, retrained.confidence)
    assert found["gaussian_dp_mu"].value == pytest.approx(expected[0])
    assert found["log_deviation_ratio"].value == pytest.approx(expected[1])


def test_retrained_models_get_what_a_retrained_run_gets() -> None:
    baselines, runs = [], []
    for seed in range(15):
        population = Population.draw(30, seed)
        retrained = population.retrained(16)
        baselines.append(GaussianDP().baseline(retrained, population.original()).retrained["gaussian_dp_mu"].value)
        fresh = population.retrained(16)
        runs.append(GaussianDP().score(Evidence(fresh, retrained, UNTIMED)).estimates["gaussian_dp_mu"].value)
    error = math.hypot(np.std(baselines), np.std(runs)) / math.sqrt(15)
    assert np.mean(runs) == pytest.approx(np.mean(baselines), abs=4 * error)
    assert error < 0.03


def test_mu_is_blind_to_spread_which_the_log_ratio_sees() -> None:
    population = Population.draw(60, 1)
    retrained = population.retrained(64)
    found = GaussianDP().score(Evidence(population.case(widened(0.5), retrained), retrained, UNTIMED)).estimates
    baseline = GaussianDP().baseline(retrained, population.original()).retrained
    assert found["gaussian_dp_mu"].value == pytest.approx(baseline["gaussian_dp_mu"].value, abs=0.08)
    assert found["log_deviation_ratio"].value == pytest.approx(math.log(0.5), abs=0.06)
    assert baseline["log_deviation_ratio"].value == 0.0
