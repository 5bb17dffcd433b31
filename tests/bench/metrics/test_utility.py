"""Accuracy and the final score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from bench.metrics.utility import accuracy, final_score


def test_accuracy_is_scikit_learns() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 50, 4))
    labels = np.random.default_rng(1).integers(4, size=50)
    expected = [accuracy_score(labels, scores.argmax(1)) for scores in logits]
    np.testing.assert_allclose(accuracy(logits, labels), expected)


@given(st.floats(0, 1), st.floats(0, 2), st.floats(0, 2))
def test_final_score_is_a_product(forgetting: float, retain: float, test: float) -> None:
    assert final_score(forgetting, retain, test) == pytest.approx(forgetting * retain * test)
