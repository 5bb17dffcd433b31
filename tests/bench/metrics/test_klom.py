"""KLOM against numpy's histogram and scipy's entropy, per example."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import entropy

from bench.metrics.klom import KLOM, divergences
from bench.metrics.metric import Evidence
from bench.metrics.resampling import halves
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import shifted


def divergence(unlearned: np.ndarray, retrained: np.ndarray) -> float:
    """KL(unlearned || retrained), 20 bins over the common range, in plain sums."""
    sides = [np.clip(side, -100, 100) for side in (unlearned, retrained)]
    low, high = min(side.min() for side in sides), max(side.max() for side in sides)
    counts = [np.histogram(side, bins=20, range=(low, high))[0] for side in sides]
    p, q = (count / len(side) for count, side in zip(counts, sides, strict=True))
    return sum(a * math.log(a / max(b, 1e-5)) for a, b in zip(p, q, strict=True) if a > 0)


@pytest.mark.independent
@pytest.mark.parametrize(("models", "others"), [(8, 8), (33, 20), (500, 500)])
@pytest.mark.parametrize("scale", [1.0, 200.0])
def test_equals_a_histogram_per_example(models: int, others: int, scale: float) -> None:
    rng = np.random.default_rng(models)
    unlearned, retrained = scale * rng.normal(size=(models, 12)) + 1, scale * rng.normal(size=(others, 12))
    found = divergences(unlearned, retrained)
    for e in range(12):
        assert found[e] == pytest.approx(divergence(unlearned[:, e], retrained[:, e]))


def test_near_scipys_entropy_as_in_the_public_code() -> None:
    """Which scales the clipped shares of retrained models to 1: a difference of 2e-4 at most."""
    rng = np.random.default_rng(0)
    unlearned, retrained = rng.normal(size=(64, 30)) + 0.5, rng.normal(size=(64, 30))
    found = divergences(unlearned, retrained)
    for e in range(30):
        edges = np.linspace(
            min(unlearned[:, e].min(), retrained[:, e].min()), max(unlearned[:, e].max(), retrained[:, e].max()), 21
        )
        p, q = (np.histogram(side[:, e], edges)[0] / 64 for side in (unlearned, retrained))
        assert found[e] == pytest.approx(entropy(p, np.maximum(q, 1e-5)), abs=2.1e-4)


@settings(max_examples=60)
@given(
    arrays(np.float64, (6, 2), elements=st.floats(-300, 300)),
    arrays(np.float64, (4, 2), elements=st.floats(-300, 300)),
)
def test_bounds_and_equality(unlearned: np.ndarray, retrained: np.ndarray) -> None:
    found = divergences(unlearned, retrained)
    assert (found >= 0).all()
    assert (found <= math.log(1e5) + 1e-9).all()
    assert divergences(unlearned, unlearned).tolist() == [0.0, 0.0]
    assert divergences(np.repeat(unlearned, 2, axis=0), np.repeat(unlearned, 3, axis=0)) == pytest.approx([0.0, 0.0])


@settings(max_examples=30)
@given(
    arrays(np.float64, (5, 1), elements=st.integers(0, 20).map(float)),
    arrays(np.float64, (5, 1), elements=st.integers(0, 20).map(float)),
)
def test_edges_of_bins(unlearned: np.ndarray, retrained: np.ndarray) -> None:
    """With 0 and 20 on both sides, bins are of width 1: whole numbers open theirs, 20 closes the last."""
    ends = np.array([[0.0], [20.0]])
    sides = np.concatenate([unlearned, ends]), np.concatenate([retrained, ends])
    bins = [np.minimum(side, 19).astype(int).ravel() for side in sides]
    p, q = (np.bincount(each, minlength=20) / 7 for each in bins)
    assert divergences(*sides)[0] == pytest.approx(
        sum(a * math.log(a / max(b, 1e-5)) for a, b in zip(p, q, strict=True) if a > 0)
    )


def test_constants() -> None:
    zeros, ones, far = np.zeros((4, 1)), np.ones((4, 1)), np.full((4, 1), 500.0)
    assert divergences(zeros, zeros).tolist() == [0.0]
    assert divergences(zeros, ones).tolist() == pytest.approx([math.log(1e5)])
    assert divergences(far, far + 100).tolist() == [0.0]  # both clipped to 100


def test_direction() -> None:
    """Mass where retrained models have none is what costs, not the other way round."""
    wide, narrow = np.linspace(0, 20, 41)[:, None], np.full((41, 1), 10.0)
    assert divergences(wide, narrow)[0] > 5 > divergences(narrow, wide)[0]


def test_runs_are_compared_by_halves() -> None:
    population = Population.draw(9, 0)
    retrained = population.retrained(16)
    unlearned = population.case(shifted(1.0), retrained)
    found = KLOM().score(Evidence(unlearned, retrained, UNTIMED)).estimates
    parts = []
    for ours, theirs in product(halves(unlearned.confidence), halves(retrained.confidence)):
        one, other = unlearned.confidence[ours], retrained.confidence[theirs]
        values = sorted(divergence(one[:, e], other[:, e]) for e in range(9))
        parts.append([values[4], values[7] + 0.6 * (values[8] - values[7])])  # the 95th percentile of nine is at rank 7.6
    assert [found["klom_median"].value, found["klom_95"].value] == pytest.approx(np.mean(parts, axis=0))


def test_retrained_models_get_what_a_retrained_run_gets() -> None:
    baselines, runs = [], []
    for seed in range(12):
        population = Population.draw(30, seed)
        retrained = population.retrained(16)
        baselines.append(KLOM().baseline(retrained, population.original()).retrained["klom_median"].value)
        runs.append(KLOM().score(Evidence(population.retrained(16), retrained, UNTIMED)).estimates["klom_median"].value)
    error = math.hypot(np.std(baselines), np.std(runs)) / math.sqrt(12)
    assert np.mean(runs) == pytest.approx(np.mean(baselines), abs=4 * error)


def test_sees_members_under_the_original_model() -> None:
    population = Population.draw(30, 1)
    baseline = KLOM().baseline(population.retrained(64), population.original())
    assert baseline.original["klom_median"].value > baseline.retrained["klom_median"].value + 1
