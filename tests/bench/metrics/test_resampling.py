"""Bootstraps, jackknife and halves against loops over their definitions."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, norm

from bench.metrics.resampling import halves, interval, jackknife, resamples, without_groups


@pytest.mark.parametrize(("models", "draws"), [(2, 200), (8, 200), (16, 200), (64, 200), (65, 100), (512, 100)])
def test_bootstraps_draw_both_sides_apart(models: int, draws: int) -> None:
    plan = resamples(models)
    assert len(plan) == draws
    for ours, theirs in plan:
        assert ours.shape == theirs.shape == (models,)
        assert set(ours) | set(theirs) <= set(range(models))
    counts = Counter(int(row) for rows in plan for side in rows for row in side)
    expected = 2 * draws
    assert all(abs(counts[model] - expected) < 6 * math.sqrt(expected) for model in range(models))
    assert sum(ours.tolist() != theirs.tolist() for ours, theirs in plan) > 0.4 * draws


def test_runs_with_as_many_models_share_every_draw() -> None:
    for models in (16, 128):
        one, other = resamples(models), resamples(models)
        assert all((a == b).all() for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


@given(st.integers(2, 600))
def test_every_model_is_left_out_exactly_once(models: int) -> None:
    kept = without_groups(models)
    assert len(kept) == min(20, models)
    left_out = [sorted(set(range(models)) - set(rows.tolist())) for rows in kept]
    assert sorted(model for group in left_out for model in group) == list(range(models))
    sizes = {len(group) for group in left_out}
    assert max(sizes) - min(sizes) <= 1


def test_bootstrap_is_near_scipys() -> None:
    sample = np.random.default_rng(1).exponential(size=(60, 1))
    ours = np.std([np.median(sample[rows]) for rows, _ in resamples(60)], ddof=1)
    theirs = bootstrap((sample[:, 0],), np.median, n_resamples=4000, rng=np.random.default_rng(0)).standard_error
    assert ours == pytest.approx(theirs, rel=0.25)  # 200 draws: standard error 5 %


@pytest.mark.parametrize("models", [5, 20, 47, 200])
def test_jackknife_is_a_loop_over_groups(models: int) -> None:
    side = np.random.default_rng(models).normal(size=(models, 3))
    value, sd = jackknife(lambda part: {"spread": float(np.log(part.var()))}, side)["spread"]
    assert value == pytest.approx(math.log(side.var()))
    groups = min(20, models)
    size, extra = divmod(models, groups)
    edges = np.cumsum([0] + [size + (group < extra) for group in range(groups)])
    replicates = []
    for start, end in pairwise(edges):
        rest = [side[model] for model in range(models) if not start <= model < end]
        replicates.append(math.log(np.var(rest)))
    mean = sum(replicates) / groups
    assert sd == pytest.approx(math.sqrt((groups - 1) / groups * sum((each - mean) ** 2 for each in replicates)))


def test_jackknife_adds_the_variances_of_independent_sides() -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 20000, 1))
    _, sd = jackknife(lambda a, b: {"gap": float(a.mean() - b.mean())}, one, 2 * other)["gap"]
    assert sd == pytest.approx(math.sqrt((1 + 4) / 20000), rel=0.5)  # 20 groups: standard error 16 %
    small = np.random.default_rng(1).normal(size=(2, 15, 1))
    _, exact = jackknife(lambda a, b: {"gap": float(a.mean() - b.mean())}, *small)["gap"]
    squares = [side.var(ddof=1) / 15 for side in small]
    covariance = np.cov(small[0, :, 0], small[1, :, 0])[0, 1] / 15  # sides are paired by index
    assert exact == pytest.approx(math.sqrt(sum(squares) - 2 * covariance))


def test_jackknife_leaves_out_what_small_samples_lack() -> None:
    def statistic(side: np.ndarray) -> dict[str, float]:
        return {"mean": side.mean()} | ({"rare": 1.0} if len(side) == 8 else {})

    assert jackknife(statistic, np.zeros((8, 1))).keys() == {"mean"}


def test_interval_is_that_of_a_normal_distribution() -> None:
    assert interval(2.0, 3.0) == pytest.approx(norm.interval(0.95, 2.0, 3.0), abs=1e-5)


@settings(max_examples=30)
@given(st.integers(2, 40), st.integers(1, 5), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_halves_part_the_models_whatever_their_order(models: int, examples: int, split: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = rng.normal(size=(models, examples))
    one, other = halves(confidence, split)
    assert sorted([*one, *other]) == list(range(models))
    assert len(one) == models // 2
    order = rng.permutation(models)
    again, _ = halves(confidence[order][:, rng.permutation(examples)], split)
    assert set(order[again]) == set(one)


def test_splits_differ() -> None:
    confidence = np.random.default_rng(0).normal(size=(16, 4))
    assert len({frozenset(halves(confidence, split)[0].tolist()) for split in range(4)}) == 4


@pytest.mark.parametrize("split", range(4))
def test_halves_are_random_whatever_the_confidences(split: int) -> None:
    """The most confident model is in the first half in half of the cases; so is every other rank."""
    rng = np.random.default_rng(split)
    first = np.zeros(16)
    for _ in range(400):
        confidence = rng.normal(size=(16, 3))
        ranked = np.argsort(confidence.sum(axis=1))
        first += np.isin(ranked, halves(confidence, split)[0])
    assert (np.abs(first - 200) < 5 * math.sqrt(400 / 4)).all()


def test_halves_of_two_sides_are_drawn_apart() -> None:
    """Otherwise halves that share high ranks are as far apart by chance as the other halves, which is taken for a difference."""
    rng = np.random.default_rng(0)
    shared = []
    for _ in range(300):
        sides = [rng.normal(size=(16, 3)) for _ in range(2)]
        ranks = [np.argsort(np.argsort(side.sum(axis=1)))[halves(side)[0]] for side in sides]
        shared.append(len(set(ranks[0]) & set(ranks[1])))
    assert np.mean(shared) == pytest.approx(4.0, abs=5 * np.sqrt(8 * 8 * 8 * 8 / (16**2 * 15)) / np.sqrt(300))
