"""Epsilons for resampling against the challenge's own, and where they must be equal."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.approximation import approximate_epsilons, approximate_score
from bench.metrics.forgetting import epsilons, forgetting_score

CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "equal": lambda side: side,
    "shifted": lambda side: side + 1.0,
    "half as wide": lambda side: 0.5 * side,
}


def mean_difference(models: int, change: str, examples: int) -> float:
    rng = np.random.default_rng([models, len(change)])
    unlearned, retrained = rng.normal(size=(2, models, examples))
    unlearned = CHANGES[change](unlearned)
    return float(np.abs(approximate_epsilons(unlearned, retrained) - epsilons(unlearned, retrained)).mean())


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("models", [8, 32, 128])
def test_near_the_grid_on_average(models: int, change: str) -> None:
    assert mean_difference(models, change, examples=25) < 0.04  # .01 and four standard errors


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("models", [8, 16, 32, 64, 65, 96, 128])
def test_within_a_hundredth_of_the_grid_on_average(models: int, change: str) -> None:
    assert mean_difference(models, change, examples=1000) < 0.01


@pytest.mark.parametrize("models", [16, 128])
def test_score_is_near_the_challenges(models: int) -> None:
    rng = np.random.default_rng(models)
    unlearned, retrained = rng.normal(size=(2, models, 60))
    expected = forgetting_score(unlearned + 0.5, retrained)
    assert approximate_score(unlearned + 0.5, retrained, models) == pytest.approx(expected, rel=0.03)


def test_score_keeps_the_number_of_bins_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    unlearned, retrained = rng.normal(size=(2, 10, 300))
    assert approximate_score(unlearned, retrained, 2) == 0.0  # no bin pays at N = 2
    assert approximate_score(unlearned, retrained, 3) < approximate_score(unlearned, retrained, 512)


@pytest.mark.parametrize("models", [5, 8, 66])
@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.8))
def test_ties_are_decided_as_by_the_grid(models: int, seed: int, share: float) -> None:
    """Values are further apart than the grid's steps and closer than its window: both must find the same thresholds."""
    rng = np.random.default_rng(seed)
    unlearned, retrained = rng.choice([0.0, 0.3, 0.7, 1.1], size=(2, models, 8))
    unlearned = np.where(rng.random((models, 8)) < share, unlearned[0], unlearned)
    np.testing.assert_allclose(
        approximate_epsilons(unlearned, retrained), epsilons(unlearned, retrained), atol=1e-5, equal_nan=True
    )


@pytest.mark.parametrize("copies", [1, 16])
@pytest.mark.parametrize("swap", [False, True])
def test_equal_ranges_are_decided_as_by_the_grid(copies: int, swap: bool) -> None:
    """Of equally wide sides, the double threshold is laid around the one with the smaller median."""
    lower, higher = [0.0, 0.0, 0.3, 0.3, 0.7, 0.7, 0.7, 0.7], [0.0, 0.0, 0.3, 0.7, 0.7, 0.7, 0.7, 0.7]
    sides = [np.repeat(side, copies)[:, None] for side in ((higher, lower) if swap else (lower, higher))]
    assert approximate_epsilons(*sides)[0] == pytest.approx(epsilons(*sides)[0], abs=1e-5)


@pytest.mark.parametrize("models", [8, 128])
def test_constants_are_decided_as_by_the_grid(models: int) -> None:
    spread, flat = np.random.default_rng(0).normal(size=models), np.zeros(models)
    nearly = np.r_[flat[1:], 0.001]
    outlier = np.r_[np.full(models - 1, np.quantile(spread, 0.25)), -40.0]
    cases = [
        (flat, spread),
        (spread, flat),
        (flat, flat),
        (flat, flat + 1),
        (flat + 1, flat),
        (nearly, spread),
        (outlier, spread),
    ]
    sides = [np.stack(side, axis=1) for side in zip(*cases, strict=True)]
    np.testing.assert_allclose(epsilons(*sides), [50, 50, 0, 50, 50, 50, 0], atol=1e-5)
    np.testing.assert_allclose(approximate_epsilons(*sides), [50, 50, 0, 50, 50, 50, 0], atol=1e-5)


@pytest.mark.parametrize("models", [8, 128])
def test_far_apart_and_on_a_wide_scale(models: int) -> None:
    unlearned, retrained = 20 * np.random.default_rng(1).normal(size=(2, models, 40))
    assert approximate_epsilons(unlearned + 1000, retrained).tolist() == [50.0] * 40
    assert np.abs(approximate_epsilons(unlearned, retrained) - epsilons(unlearned, retrained)).mean() < 0.02


@pytest.mark.parametrize("models", [16, 70])
def test_order_of_models_and_examples_does_not_matter(models: int) -> None:
    rng = np.random.default_rng(2)
    unlearned, retrained = rng.normal(size=(2, models, 7))
    expected = approximate_epsilons(unlearned, retrained)
    order = rng.permutation(7)
    found = approximate_epsilons(rng.permutation(unlearned)[:, order], rng.permutation(retrained)[:, order])
    np.testing.assert_array_equal(found, expected[order])
