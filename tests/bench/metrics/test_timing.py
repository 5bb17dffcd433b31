"""When trials are within their budget, over it, at its border, or too noisy to tell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from bench.metrics.timing import MOST_TIMED, Timing, median_interval


@pytest.mark.independent
@pytest.mark.parametrize("count", range(3, MOST_TIMED + 1))
def test_the_interval_holds_the_median_as_often_as_it_says(count: int) -> None:
    draws = np.random.default_rng(count).normal(1.0, 0.1, size=(2000, count))
    ends = np.array([median_interval(list(draw)) for draw in draws])
    covered = float(((ends[:, 0] <= 1.0) & (ends[:, 1] >= 1.0)).mean())
    assert 0.94 < covered < 0.985


def test_a_single_value_says_nothing() -> None:
    assert median_interval([3.0]) == (-math.inf, math.inf)


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
    timing = Timing([share, 0.0, 9.0], allowed=0.2, retraining=5.0)
    assert (timing.over_budget, timing.borderline) == (over, borderline)


def test_a_control_row_is_neither() -> None:
    timing = Timing((), allowed=0.2, retraining=5.0)
    assert math.isnan(timing.share)
    assert [timing.over_budget, timing.borderline, timing.on_busy_machine, timing.unclear] == [False] * 4


@pytest.mark.parametrize(
    ("shares", "undecided"),
    [([0.1] * 3, False), ([0.1, 0.19, 0.3], True), ([0.2] * 3, False), ([0.21, 0.22, 0.23], True), ([0.2], True), ([], True)],
)
def test_it_is_open_while_the_interval_covers_what_would_be_over_budget(shares: Sequence[float], undecided: bool) -> None:
    assert Timing(shares, allowed=0.2, retraining=5.0).undecided == undecided


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
    timing = Timing(shares, allowed=0.2, retraining=5.0, busy=busy)
    assert (timing.on_busy_machine, timing.unclear) == (on_busy_machine, unclear)
