"""The challenge's ceiling: what sets of retrained models score, how far apart, and what halves of too few say."""

from __future__ import annotations

import numpy as np
import pytest

from bench.metrics import ceiling
from bench.metrics.forgetting import forgetting_score


def drawn(models: int, seed: int, examples: int = 80) -> np.ndarray:
    """Every example has its own mean and deviation."""
    about = np.random.default_rng(0)
    mean, spread = about.normal(size=examples), about.uniform(0.5, 2, size=examples)
    return np.random.default_rng(seed).normal(mean, spread, size=(models, examples))


def test_sets_score_what_the_challenge_says() -> None:
    retrained, *further = (drawn(16, seed) for seed in (1, 2, 3))
    assert ceiling.of_sets(further, retrained) == [forgetting_score(each, retrained) for each in further]


@pytest.mark.independent
@pytest.mark.parametrize("models", [8, 16])
def test_halves_say_what_as_many_models_would(models: int) -> None:
    """Against fresh sets of N: without the correction halves of 8 say .05 more."""
    truth = np.mean([forgetting_score(drawn(models, 100 + seed), drawn(models, 200 + seed)) for seed in range(6)])
    found = np.mean([ceiling.of_halves(drawn(models, 300 + seed)) for seed in range(6)])
    assert found == pytest.approx(truth, abs=0.02)


@pytest.mark.independent
def test_deviation_is_no_less_than_how_far_sets_scatter() -> None:
    retrained = drawn(16, 1)
    scatter = np.std([forgetting_score(drawn(16, 400 + seed), retrained) for seed in range(12)], ddof=1)
    found = np.mean([ceiling.deviation(drawn(16, 500 + seed), retrained) for seed in range(5)])
    assert 0.7 * scatter < found < 3 * scatter
