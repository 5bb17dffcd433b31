"""The starting kit's attack against a loop over its definition."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit

from bench.metrics.membership import balanced_rows, loss_attack


def test_equals_a_loop_over_splits() -> None:
    rng = np.random.default_rng(0)
    forget, test = rng.exponential(1.0, size=(2, 60)), rng.exponential(2.0, size=(2, 60))
    found = loss_attack(forget, test, splits=10, seed=3)
    for m in range(2):
        losses, member = np.concatenate([forget[m], test[m]])[:, None], np.array([1] * 60 + [0] * 60)
        scores = []
        for train, held in StratifiedShuffleSplit(n_splits=10, test_size=0.1, random_state=3).split(losses, member):
            model = LogisticRegression().fit(losses[train], member[train])
            scores.append(np.mean(model.predict(losses[held]) == member[held]))
        assert found[m] == pytest.approx(np.mean(scores))


def test_sees_members_and_nothing_where_there_is_nothing() -> None:
    rng = np.random.default_rng(1)
    assert loss_attack(rng.exponential(0.1, (1, 200)), rng.exponential(2.0, (1, 200)))[0] > 0.8
    same = loss_attack(rng.exponential(1.0, (16, 200)), rng.exponential(1.0, (16, 200))).mean()
    assert abs(same - 0.5) < 0.05


def test_balanced_rows() -> None:
    members, others = balanced_rows(5, 100, np.random.default_rng(0))
    assert members.tolist() == [0, 1, 2, 3, 4]
    assert len(set(others.tolist())) == 5
