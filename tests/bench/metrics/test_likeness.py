"""Likeness beyond chance: against loops, on sides that share a distribution, and on those that were made to."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import ks_2samp

from bench.metrics.likeness import EXCHANGES, closeness, copies, log_gaps, particulars


@pytest.mark.independent
def test_closeness_against_exchanges_of_scipys_distance() -> None:
    """Other exchanges, so equal up to the noise of both."""
    rng = np.random.default_rng(0)
    sides = rng.normal(size=(2, 8, 6))
    pooled = np.concatenate(sides)

    def distance(order: np.ndarray) -> float:
        return float(np.mean([ks_2samp(pooled[order[:8], e], pooled[order[8:], e]).statistic for e in range(6)]))

    others = np.array([distance(rng.permutation(16)) for _ in range(400)])
    expected = (others.mean() - distance(np.arange(16))) / others.std()
    assert closeness(*sides) == pytest.approx(expected, abs=0.35)


def test_closeness_of_equal_distributions_is_nothing_special() -> None:
    rng = np.random.default_rng(1)
    values = [closeness(*rng.normal(size=(2, 16, 30))) for _ in range(40)]
    assert abs(np.mean(values)) < 4 * 1.2 / math.sqrt(40)
    assert max(values) < 3.5


def test_copies_are_closer_than_chance_and_others_farther() -> None:
    rng = np.random.default_rng(2)
    side = rng.normal(size=(16, 60))
    assert closeness(side[::-1], side) > 3.5
    assert closeness(side + 2, side) < -3.5
    assert closeness(np.zeros((8, 3)), np.zeros((8, 3))) == 0.0
    assert EXCHANGES == 999


def test_copies_with_noise_and_moved_together_are_found() -> None:
    rng = np.random.default_rng(3)
    retrained, fresh = rng.normal(size=(2, 16, 200))
    assert not copies(fresh, retrained).any()
    assert copies(retrained[::-1], retrained).all()
    assert copies(2 * retrained + 5 + 0.2 * fresh, retrained).all()
    half = np.concatenate([retrained[:8], fresh[8:]])
    assert copies(half, retrained).tolist() == [True] * 8 + [False] * 8


def test_what_is_particular_to_a_model_against_loops() -> None:
    side = np.random.default_rng(4).normal(2, 3, size=(5, 7))
    scaled = [[(side[m, e] - side[:, e].mean()) / side[:, e].std() for e in range(7)] for m in range(5)]
    for m, row in enumerate(scaled):
        centred = np.array(row) - sum(row) / 7
        np.testing.assert_allclose(particulars(side)[m], centred / math.sqrt((centred**2).sum()))
    assert particulars(np.ones((3, 4))).tolist() == np.zeros((3, 4)).tolist()


def test_gaps_do_not_depend_on_mean_and_spread() -> None:
    side = np.random.default_rng(5).normal(size=(32, 20))
    np.testing.assert_allclose(log_gaps(3 * side - 7), log_gaps(side))


def test_gaps_against_a_loop() -> None:
    side = np.random.default_rng(6).normal(size=(40, 3))
    for e in range(3):
        inner = sorted(side[:, e])[2:-2]  # a sixteenth of 40 on either side
        gaps = [after - before for before, after in pairwise(inner)]
        mean = sum(gaps) / len(gaps)
        assert log_gaps(side)[e] == pytest.approx(sum(math.log(max(gap / mean, 1e-4)) for gap in gaps) / len(gaps))


@pytest.mark.parametrize("models", [8, 16, 64])
def test_gaps_of_smooth_distributions_are_about_a_half(models: int) -> None:
    rng = np.random.default_rng(7)
    for draw in (rng.normal(size=(models, 400)), rng.uniform(size=(models, 400)), rng.standard_t(4, size=(models, 400))):
        assert -0.9 < log_gaps(draw).mean() < -0.35


def test_gaps_of_levels_are_far_less() -> None:
    rng = np.random.default_rng(8)
    levels = rng.choice([-1.0, 1.0], size=(16, 50))
    assert log_gaps(levels).mean() < -5
    assert log_gaps(levels + 0.1 * rng.normal(size=(16, 50))).mean() < -1
