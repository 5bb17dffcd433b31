"""The permutation test against scipy's Kolmogorov-Smirnov distance and an enumeration of all exchanges."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ks_2samp

from bench.metrics.distinguishability import Distinguishability, exchanged_distances, p_value
from bench.metrics.metric import Evidence
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import shifted


def mean_distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.mean([ks_2samp(one[:, e], other[:, e], method="asymp").statistic for e in range(one.shape[1])]))


@pytest.mark.independent
@settings(max_examples=40)
@given(
    arrays(np.float64, (5, 3), elements=st.integers(-3, 3).map(float) | st.floats(-5, 5)),
    arrays(np.float64, (5, 3), elements=st.integers(-3, 3).map(float)),
)
def test_distance_is_scipys_with_ties_and_without(unlearned: np.ndarray, retrained: np.ndarray) -> None:
    found = exchanged_distances(unlearned, retrained, permutations=3)
    assert found[0] == pytest.approx(mean_distance(unlearned, retrained))
    assert found[0] == pytest.approx(exchanged_distances(retrained, unlearned, permutations=3)[0])  # no side is special
    assert ((found >= 0) & (found <= 1 + 1e-12)).all()


def test_exchanges_are_divisions_of_whole_models() -> None:
    sides = np.random.default_rng(0).normal(size=(2, 4, 6))
    pooled = np.concatenate([sides[0] + 0.7, sides[1]])
    every = []
    for chosen in combinations(range(8), 4):
        rest = [model for model in range(8) if model not in chosen]
        every.append(mean_distance(pooled[list(chosen)], pooled[rest]))
    found = exchanged_distances(sides[0] + 0.7, sides[1], permutations=2000)[1:]
    gaps = np.abs(found[:, None] - np.array(every)).min(axis=1)
    assert gaps.max() < 1e-12
    assert found.mean() == pytest.approx(np.mean(every), abs=5 * np.std(every) / np.sqrt(2000))
    exact = np.mean(np.array(every) >= every[0] - 1e-12)
    assert p_value(np.r_[every[0], found]) == pytest.approx(exact, abs=5 * np.sqrt(exact * (1 - exact) / 2000) + 1e-3)


@given(st.lists(st.floats(0, 1).map(lambda value: round(value, 2)), min_size=1, max_size=40))
def test_p_value_counts_what_is_as_large(distances: list[float]) -> None:
    as_large = sum(1 for value in distances if value >= distances[0])
    assert p_value(distances) == pytest.approx(as_large / len(distances))


def test_p_value_is_never_zero() -> None:
    sides = np.random.default_rng(0).normal(size=(2, 8, 20))
    assert p_value(exchanged_distances(sides[0] + 9, sides[1])) == pytest.approx(1 / 200)


def test_metric() -> None:
    population = Population.draw(12, 0)
    retrained = population.retrained(8)
    unlearned = population.case(shifted(1.0), retrained)
    found = Distinguishability().score(Evidence(unlearned, retrained, UNTIMED)).estimates
    assert found["ks_distance"].value == pytest.approx(mean_distance(unlearned.confidence, retrained.confidence))
    assert 1 / 200 <= found["p_value"].value < 0.05
    assert found["ks_distance_exchanged"].value < found["ks_distance"].value


def test_sees_a_difference_of_spread_alone() -> None:
    sides = np.random.default_rng(3).normal(size=(2, 32, 40))
    assert p_value(exchanged_distances(sides[0] * 0.5, sides[1])) < 0.05


def test_exchanges_are_drawn_apart_for_other_confidences() -> None:
    """Of one example, distances depend on ranks alone: the same exchanges of ranks would repeat one error in every test."""
    one, other = np.random.default_rng(5).normal(size=(2, 2, 16, 1))
    assert exchanged_distances(*one)[1:].tolist() != exchanged_distances(*other)[1:].tolist()
    assert exchanged_distances(*one)[1:].tolist() == exchanged_distances(*one)[1:].tolist()


def test_correlated_examples_do_not_fake_a_difference() -> None:
    """All examples of a model move together: whole models are exchanged, so forty examples count as one."""
    rng = np.random.default_rng(4)
    small = 0
    for _ in range(60):
        sides = rng.normal(size=(2, 8, 1)) + 0.01 * rng.normal(size=(2, 8, 40))
        small += p_value(exchanged_distances(*sides)) <= 0.05
    assert small <= 10  # binomial(60, .05): more than 10 in one of 10 000
