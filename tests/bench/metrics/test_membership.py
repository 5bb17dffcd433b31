"""The attack on losses against a loop over its definition; rates and areas against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

from bench.metrics.membership import (
    ATTACKED_MODELS,
    _regression,
    _shuffled,
    areas_under_curve,
    halves_of_test,
    loss_attack,
    true_positive_rate,
)
from bench.metrics.metric import Models
from bench.outputs import Outputs
from bench.scoring.calibration import Population
from bench.seeds import purpose_seed

SCORES = st.integers(-3, 3).map(float) | st.floats(-10, 10)


def attack_by_loop(forget: np.ndarray, others: np.ndarray, splits: int) -> float:
    """One model's accuracy: splits of its losses, a tenth of either group held out; scikit-learn goes on to the minimum."""
    losses = np.r_[forget, others][:, None]
    member = np.array([1] * len(forget) + [0] * len(others))
    scores = []
    folds = StratifiedShuffleSplit(n_splits=splits, test_size=0.1, random_state=purpose_seed(0, "attack"))
    for train, held in folds.split(losses, member):
        model = LogisticRegression(tol=1e-12, max_iter=10_000).fit(losses[train], member[train])
        scores.append(np.mean(model.predict(losses[held]) == member[held]))
    return float(np.mean(scores))


@pytest.mark.parametrize("splits", [5, 10])
def test_equals_a_loop_over_splits(splits: int) -> None:
    rng = np.random.default_rng(0)
    forget, others = rng.exponential(1.0, size=(3, 60)), rng.exponential(2.0, size=(3, 60))
    found = loss_attack(forget, others, splits=splits)
    assert found.tolist() == pytest.approx(
        [attack_by_loop(*map(_shuffled, losses), splits) for losses in zip(forget, others, strict=True)]
    )


@settings(max_examples=60)
@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(2, 30)), elements=st.floats(-100, 100)), st.data())
def test_regressions_end_at_the_minimum(losses: np.ndarray, data: st.DataObject) -> None:
    """There the derivatives are zero, however far apart members and others are."""
    member = data.draw(arrays(np.int64, losses.shape[1], elements=st.integers(0, 1)))
    member[:2] = 0, 1
    weights, intercepts = _regression(losses, member)
    error = 1 / (1 + np.exp(-(weights[:, None] * losses + intercepts[:, None]))) - member
    assert np.abs((error * losses).sum(axis=1) + weights).max() < 1e-6 * max(1.0, np.abs(losses).sum())
    assert np.abs(error.sum(axis=1)).max() < 1e-6


def test_the_kits_solver_says_nearly_the_same() -> None:
    """It stops sooner: a few of 64 * 240 held-out examples are told differently."""
    rng = np.random.default_rng(5)
    forget, others = rng.gamma(2, 0.5, size=(64, 120)), rng.gamma(2, 0.8, size=(64, 120))
    kit = LogisticRegression()
    folds = StratifiedShuffleSplit(n_splits=10, test_size=0.1, random_state=purpose_seed(0, "attack"))
    member = np.repeat([1, 0], 120)
    theirs = []
    for pair in zip(forget, others, strict=True):
        losses = np.r_[*map(_shuffled, pair)][:, None]
        theirs.append(np.mean(cross_val_score(kit, losses, member, cv=folds)))
    assert loss_attack(forget, others) == pytest.approx(np.array(theirs), abs=2 / 240)
    assert loss_attack(forget, others).mean() == pytest.approx(np.mean(theirs), abs=2e-4)


def test_of_512_models_64_are_attacked() -> None:
    assert ATTACKED_MODELS == 64


def test_larger_group_is_sampled() -> None:
    rng = np.random.default_rng(1)
    forget, others = np.sort(rng.exponential(1.0, size=(2, 40))), np.sort(rng.exponential(2.0, size=(2, 300)))
    for sides in ((forget, others), (others, forget)):
        samples = [[_shuffled(losses)[:40] for losses in pair] for pair in zip(*sides, strict=True)]
        assert loss_attack(*sides).tolist() == pytest.approx([attack_by_loop(*pair, 10) for pair in samples])


def test_shuffling_depends_on_the_values_alone() -> None:
    rng = np.random.default_rng(4)
    losses = rng.exponential(size=50)
    assert _shuffled(losses).tolist() == _shuffled(rng.permutation(losses)).tolist()
    assert sorted(_shuffled(losses).tolist()) == sorted(losses.tolist())
    places = [np.argsort(_shuffled(rng.exponential(size=8)))[-1] for _ in range(800)]
    assert np.abs(np.bincount(places, minlength=8) - 100).max() < 5 * 10


def test_attack_is_nearly_the_best_threshold() -> None:
    rng = np.random.default_rng(2)
    close, far = rng.exponential(1.0, (1, 400)), rng.exponential(0.1, (1, 400))
    cut = max(np.mean(np.r_[far[0] < t, close[0] >= t]) for t in np.linspace(0, 2, 200))
    assert loss_attack(far, close)[0] == pytest.approx(cut, abs=0.08)


def test_attack_sees_nothing_where_there_is_nothing() -> None:
    """One half on average over models: splits of the same ranks for all of them would favour one guess."""
    rng = np.random.default_rng(0)
    found = loss_attack(rng.exponential(1.0, (60, 30)), rng.exponential(1.0, (60, 200)))
    assert found.mean() == pytest.approx(0.5, abs=4 * found.std() / np.sqrt(60))


def test_order_of_examples_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    forget, others = rng.exponential(1.0, size=(2, 30)), rng.exponential(2.0, size=(2, 50))
    expected = loss_attack(forget, others)
    assert loss_attack(rng.permuted(forget, axis=1), others[:, rng.permutation(50)]).tolist() == expected.tolist()


@settings(max_examples=80)
@given(
    arrays(np.float64, 9, elements=SCORES),
    arrays(np.float64, st.integers(1, 30), elements=SCORES),
    st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.5, 0.9]),
)
def test_true_positive_rate_is_the_best_of_the_curve(members: np.ndarray, others: np.ndarray, allowed: float) -> None:
    curve = roc_curve([1] * 9 + [0] * len(others), np.r_[members, others], drop_intermediate=False)
    best = max(tpr for fpr, tpr in zip(*curve[:2], strict=True) if fpr <= allowed + 1e-12)
    assert true_positive_rate(members, others, allowed) == pytest.approx(best)


@pytest.mark.parametrize("rate", [0.01, 0.001])
@pytest.mark.parametrize("count", [99, 100, 999, 1000, 2900, 3000, 7000, 11000])
def test_true_positive_rate_allows_whole_shares(count: int, rate: float) -> None:
    """So many of the others may be above the threshold, and not one more: .01 * 2900 is 29."""
    allowed = count * (10 if rate == 0.01 else 1) // 1000
    others = np.arange(count, dtype=float)
    assert true_positive_rate([count - allowed - 0.5], others, rate) == 1.0
    assert true_positive_rate([count - allowed - 1.5], others, rate) == 0.0


@settings(max_examples=40)
@given(arrays(np.float64, (2, 7), elements=SCORES), arrays(np.float64, (2, 4), elements=SCORES))
def test_areas_are_counts_of_pairs(members: np.ndarray, others: np.ndarray) -> None:
    for found, ours, theirs in zip(areas_under_curve(members, others), members, others, strict=True):
        assert found == pytest.approx(np.mean([(a > b) + 0.5 * (a == b) for a in ours for b in theirs]))
        assert found == pytest.approx(roc_auc_score([1] * 7 + [0] * 4, np.r_[ours, theirs]))


def test_halves_of_test_part_it_whatever_the_order() -> None:
    retrained = Population.draw(10, 0).retrained(8)
    one, other = halves_of_test(retrained)
    assert sorted([*one, *other]) == list(range(200))
    assert len(one) == 100
    rng = np.random.default_rng(5)
    order = rng.permutation(200)
    moved = Outputs({**retrained.outputs.logits, "test": retrained.outputs.logits["test"][:, order]}, np.ones(8))
    again, _ = halves_of_test(Models(moved, {**retrained.labels, "test": retrained.labels["test"][order]}))
    assert set(order[again]) == set(one)
    shuffled, _ = halves_of_test(retrained.select(rng.permutation(8).tolist()))
    assert shuffled.tolist() == one.tolist()
