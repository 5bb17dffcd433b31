"""The challenge's score: the published code's own answers, a slow re-computation, and properties."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.metrics.forgetting import _float32_linspace, epsilons, forgetting_score, points

FILES = sorted((Path(__file__).parents[2] / "fixtures" / "official_metric").glob("*.npz"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_equals_the_published_code(path: Path) -> None:
    with np.load(path) as answers:
        sides = answers["unlearned_confs"], answers["retrained_confs"]
        np.testing.assert_allclose(epsilons(*sides), answers["epsilons"], rtol=0, atol=1e-5)
        assert forgetting_score(*sides) == pytest.approx(float(answers["forget_score"]), abs=1e-9)


def test_there_are_published_answers() -> None:
    assert len(FILES) == 7


def slow_epsilon(unlearned: np.ndarray, retrained: np.ndarray) -> float:
    """One example, by comparing every confidence with every threshold, written from the protocol alone."""
    positive, negative = (retrained, unlearned) if np.median(retrained) > np.median(unlearned) else (unlearned, retrained)
    ranges = [side.max() - side.min() for side in (positive, negative)]
    if max(ranges) > 0 and min(ranges) / max(ranges) < 0.01:
        return 50.0
    best = -np.inf

    def judge(false_positive: np.float32, false_negative: np.float32) -> float:
        if false_positive == 0 and false_negative == 0:
            return np.inf
        if false_positive == 0 or false_negative == 0:
            return -np.inf
        terms = []
        for a, b in ((false_positive, false_negative), (false_negative, false_positive)):
            inside = np.float32(1 - 1e-5) - a
            if inside > 0:
                terms.append(np.log(inside) - np.log(b))
        return max([*terms, np.float32(0)]) if terms else -np.inf

    narrow, wide = (positive, negative) if ranges[0] < ranges[1] else (negative, positive)
    width = narrow.max() - narrow.min()
    low, high = narrow.min() + width - 2.0, narrow.max() + 2.0
    for right in np.linspace(low, high, int(np.ceil((high - low) * 100))):
        for left in np.linspace(right - width - 2.0, right - width + 2.0, 400):
            fp = np.float32(np.mean((left <= wide) & (wide <= right)))
            fn = np.float32(1) - np.float32(np.mean((left <= narrow) & (narrow <= right)))
            best = max(best, judge(fp, fn))
    low, high = min(positive.min(), negative.min()), max(positive.max(), negative.max())
    for threshold in torch.linspace(torch.tensor(low), torch.tensor(high), int(np.ceil((high - low) * 100))).double().numpy():
        best = max(best, judge(np.float32(np.mean(negative >= threshold)), np.float32(np.mean(positive < threshold))))
    return float(min(best, 50.0))


@pytest.mark.parametrize(("models", "shift", "spread"), [(4, 0.3, 1.0), (8, 1.0, 0.5)])
def test_equals_a_slow_loop(models: int, shift: float, spread: float) -> None:
    rng = np.random.default_rng(models)
    unlearned, retrained = shift + spread * rng.normal(size=(models, 1)), rng.normal(size=(models, 1))
    assert epsilons(unlearned, retrained)[0] == pytest.approx(slow_epsilon(unlearned[:, 0], retrained[:, 0]), abs=1e-5)


def test_thresholds_are_torchs_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        low = rng.normal() * 10
        high = low + abs(rng.normal()) * 20
        count = int(np.ceil((high - low) * 100))
        theirs = torch.linspace(torch.tensor(low, dtype=torch.float64), torch.tensor(high, dtype=torch.float64), count)
        np.testing.assert_array_equal(_float32_linspace(low, high, count), theirs.double().numpy())
    assert _float32_linspace(1.0, 2.0, 0).tolist() == []
    assert _float32_linspace(1.0, 2.0, 1).tolist() == [1.0]


@settings(max_examples=25)
@given(
    arrays(np.float64, (6, 3), elements=st.floats(-20, 20)), arrays(np.float64, (6, 3), elements=st.floats(-20, 20)), st.randoms()
)
def test_order_of_models_and_examples_does_not_matter(unlearned, retrained, random) -> None:
    expected = epsilons(unlearned, retrained)
    models, others, examples = ([*range(n)] for n in (6, 6, 3))
    for order in (models, others, examples):
        random.shuffle(order)
    found = epsilons(unlearned[models][:, examples], retrained[others][:, examples])
    np.testing.assert_array_equal(found, expected[examples])
    decided = found[~np.isnan(found)]
    assert ((decided >= 0) & (decided <= 50)).all()


def test_a_stronger_shift_scores_no_better() -> None:
    rng = np.random.default_rng(0)
    retrained, unlearned = rng.normal(size=(32, 60)), rng.normal(size=(32, 60))
    scores = [forgetting_score(unlearned + shift, retrained) for shift in (0.0, 1.0, 2.0, 4.0)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.1
    assert scores[-1] < 0.01


def test_gaming_example_scores_one() -> None:
    """A known hole of the published score, kept: it is for flags to find, not for this function to hide."""
    rng = np.random.default_rng(0)
    retrained = rng.normal(size=(64, 10))
    unlearned = np.tile(np.quantile(retrained, 0.25, axis=0), (64, 1))
    unlearned[0] = -40.0
    assert forgetting_score(unlearned, retrained) == 1.0


def test_constant_sides() -> None:
    rng = np.random.default_rng(0)
    spread, constant = rng.normal(size=(16, 1)), np.zeros((16, 1))
    assert epsilons(constant, spread)[0] == 50.0
    assert epsilons(constant, constant)[0] == 0.0
    assert epsilons(constant, constant + 1.0)[0] == 50.0
    assert epsilons(constant, constant + 1e-4)[0] == 50.0


def test_undecided_examples_are_nan_and_earn_nothing() -> None:
    """Two models a side, closer together than thresholds: every threshold that is tried is discarded."""
    value = epsilons([[8.57e-4], [3.4e-5]], [[7.3e-4], [1.76e-4]])
    assert np.isnan(value[0])
    assert points([np.nan, 0.0], models=64) == 0.5


def test_points_per_bin() -> None:
    assert points([0.0, 0.49, 0.5, 1.0], models=512) == pytest.approx((1 + 1 + 0.5 + 0.25) / 4)
    assert points([7.0], models=512) == 0.5**14 * (2 * np.ceil(np.log(511)) > 14)
    assert points([0.0], models=2) == 0.0


def test_wide_ranges_cost_no_memory() -> None:
    rng = np.random.default_rng(0)
    assert 0 <= forgetting_score(rng.normal(size=(16, 2)) * 1e12, rng.normal(size=(16, 2)) * 1e12) <= 1
    assert forgetting_score(rng.normal(size=(16, 2)) + 1e15, rng.normal(size=(16, 2))) == 0.0


@pytest.mark.parametrize(
    ("unlearned", "retrained", "message"),
    [
        (np.zeros((4, 2)), np.zeros((5, 2)), "one shape"),
        (np.zeros(4), np.zeros(4), "one shape"),
        (np.zeros((1, 2)), np.zeros((1, 2)), "at least 2 models"),
        (np.zeros((4, 0)), np.zeros((4, 0)), "at least 2 models"),
        (np.array([[0.0, 0.0], [0.0, np.nan]]), np.zeros((2, 2)), "example 1 under unlearned model 1 is nan"),
        (np.zeros((2, 2)), np.array([[0.0, -np.inf], [0.0, 0.0]]), "example 1 under retrained model 0 is -inf"),
    ],
)
def test_bad_input_is_refused(unlearned, retrained, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        epsilons(unlearned, retrained)
