"""When trials are within their budget, over it, at its border, or too noisy to tell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from bench.metrics.timing import MOST_TIMED, Timing, margin_of_median


@pytest.mark.independent
@pytest.mark.parametrize("count", range(3, MOST_TIMED + 1))
def test_the_interval_holds_the_median_as_often_as_it_says(count: int) -> None:
    draws = np.random.default_rng(count).normal(1.0, 0.1, size=(2000, count))
    margins = np.array([margin_of_median(list(draw)) for draw in draws])
    covered = float((np.abs(np.median(draws, axis=1) - 1.0) <= margins).mean())
    assert 0.94 < covered < 0.985


def test_a_single_value_says_nothing() -> None:
    assert margin_of_median([3.0]) == margin_of_median([]) == math.inf


def of_shares(shares: Sequence[float], busy: Sequence[float] = ()) -> Timing:
    """Trials that took such shares of a retraining, of which a fifth is allowed."""
    return Timing([5 * share for share in shares], [(4.5, 5.5)] * len(shares), allowed=0.2, retraining=5.0, busy=busy)


def test_single_slow_epochs_do_not_decide() -> None:
    """Two of four epochs took twice as long, of no trial both of its neighbours."""
    timing = Timing([1.0, 1.0, 1.0], [(5.0, 5.0), (5.0, 10.0), (10.0, 5.0)], allowed=0.2, retraining=5.0)
    assert timing.share == 0.2
    assert timing.shares == pytest.approx([0.2, 1 / 7.5, 1 / 7.5])


def test_what_slows_both_down_cancels() -> None:
    quiet = Timing([1.0, 1.0, 1.0], [(5.0, 5.0)] * 3, allowed=0.2, retraining=5.0)
    busy = Timing([1.5, 1.4, 1.6], [(7.5, 7.0), (7.0, 8.0), (8.0, 7.5)], allowed=0.2, retraining=5.0)
    assert busy.share == pytest.approx(quiet.share)


@pytest.mark.parametrize(
    ("share", "over", "borderline"),
    [
        (0.1799, False, False),
        (0.1801, False, True),
        (0.2, False, True),
        (0.2199, False, True),
        (0.2201, True, False),
        (1.0, True, False),
    ],
)
def test_a_tenth_around_the_budget_is_its_border(share: float, over: bool, borderline: bool) -> None:
    timing = of_shares([share, 0.0, 9.0])
    assert (timing.over_budget, timing.borderline) == (over, borderline)


def test_a_control_row_is_neither() -> None:
    timing = of_shares(())
    assert math.isnan(timing.share)
    assert [timing.over_budget, timing.borderline, timing.on_busy_machine, timing.unclear] == [False] * 4


@pytest.mark.parametrize(
    ("shares", "undecided"),
    [([0.1] * 3, False), ([0.1, 0.19, 0.3], True), ([0.2] * 3, False), ([0.21, 0.22, 0.23], True), ([0.2], True), ([], True)],
)
def test_it_is_open_while_the_interval_covers_what_would_be_over_budget(shares: Sequence[float], undecided: bool) -> None:
    assert of_shares(shares).undecided == undecided


NOISY, CLEAR = [0.1, 0.19, 0.3], [0.1, 0.1, 0.1]


@pytest.mark.parametrize(
    ("shares", "busy", "on_busy_machine", "unclear"),
    [
        (NOISY, [0.9, 0.1, 0.1], False, False),
        (NOISY, [0.9, 0.6, 0.1], True, True),
        (CLEAR, [0.9, 0.6, 0.1], True, False),
        (NOISY, [], False, False),
    ],
)
def test_a_busy_machine_counts_only_where_it_may_have_decided(
    shares: Sequence[float], busy: Sequence[float], on_busy_machine: bool, unclear: bool
) -> None:
    timing = of_shares(shares, busy)
    assert (timing.on_busy_machine, timing.unclear) == (on_busy_machine, unclear)


@pytest.mark.parametrize(
    ("scored", "uneven"),
    [
        ((), False),
        ((1.0,) * 8, False),
        ((1.0,) * 6 + (2.9,) * 2, False),  # 1.48 on average
        ((1.0,) * 6 + (3.3,) * 2, True),
        ((1.0,) * 5 + (12.0,) * 3, True),  # three of eight retrain in full
        ((0.01,) * 7 + (0.3,), False),  # by less than a hundredth of one retraining
    ],
)
def test_some_trials_that_take_far_longer_than_most_are_uneven(scored: tuple[float, ...], uneven: bool) -> None:
    assert Timing([1.0] * 3, [(5.0, 5.0)] * 3, allowed=0.2, retraining=5.0, scored=scored).uneven is uneven
