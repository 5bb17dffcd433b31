"""Accuracies and errors against scikit-learn; the final score."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, mean_absolute_error, recall_score

from bench.metrics import utility
from bench.metrics.metric import Evidence, Models
from bench.metrics.utility import Utility, final_score, group_accuracies, within_one_group
from bench.scoring.calibration import UNTIMED, Population

PREDICTIONS = np.random.default_rng(0).integers(6, size=(3, 50))
LABELS = np.random.default_rng(1).integers(5, size=50)


@pytest.mark.independent
def test_errors_are_scikit_learns() -> None:
    close = [accuracy_score(np.zeros(50), np.abs(row - LABELS) > 1) for row in PREDICTIONS]
    assert within_one_group(PREDICTIONS, LABELS).tolist() == pytest.approx(close)
    errors = [mean_absolute_error(LABELS, row) for row in PREDICTIONS]
    assert utility.mean_absolute_error(PREDICTIONS, LABELS).tolist() == pytest.approx(errors)


def test_group_accuracies_are_scikit_learns_recalls() -> None:
    found = group_accuracies(PREDICTIONS, LABELS)
    assert sorted(found) == sorted(set(LABELS.tolist()))
    for m in range(3):
        recalls = recall_score(LABELS, PREDICTIONS[m], labels=sorted(found), average=None)
        assert [found[group][m] for group in sorted(found)] == pytest.approx(recalls.tolist())


@given(st.floats(0, 1), st.floats(0, 2), st.floats(0, 2))
def test_final_score_is_a_product(forgetting: float, retain: float, test: float) -> None:
    assert final_score(forgetting, retain, test) == pytest.approx(forgetting * retain * test)


def test_metric_is_the_mean_over_models() -> None:
    population = Population.draw(40, 0)
    models, retrained = population.retrained(5), population.retrained(5)
    found = Utility().score(Evidence(models, retrained, UNTIMED)).estimates
    for split in ("test", "validation", "forget", "forget_people"):
        shares = [accuracy_score(models.labels[split], scores.argmax(axis=-1)) for scores in models.outputs.logits[split]]
        assert found[f"{split}_accuracy"].value == pytest.approx(np.mean(shares))
        assert found[f"{split}_accuracy"].sd == pytest.approx(np.std(shares, ddof=1) / np.sqrt(5))
    assert found["retain_accuracy"].value == pytest.approx(sum(models.outputs.retain_accuracy) / 5)
    predictions, labels = models.outputs.logits["test"].argmax(axis=-1), models.labels["test"]
    errors = [mean_absolute_error(labels, row) for row in predictions]
    assert found["mean_absolute_error"].value == pytest.approx(np.mean(errors))
    assert found["within_one_group"].value == pytest.approx(np.mean(np.abs(predictions - labels) <= 1))
    for group in set(labels.tolist()):
        assert found[f"group_accuracy.{group}"].value == pytest.approx(np.mean(predictions[:, labels == group] == group))


def test_baseline_is_of_retrained_and_original_models() -> None:
    population = Population.draw(40, 1)
    retrained, original = population.retrained(5), population.original()
    baseline = Utility().baseline(retrained, original)
    shares = [accuracy_score(retrained.labels["forget"], scores.argmax(axis=-1)) for scores in retrained.outputs.logits["forget"]]
    assert baseline.retrained["forget_accuracy"].value == pytest.approx(np.mean(shares))
    alone = accuracy_score(original.labels["forget"], original.outputs.logits["forget"][0].argmax(axis=-1))
    assert baseline.original["forget_accuracy"].value == pytest.approx(alone)
    assert baseline.original["forget_accuracy"].sd == pytest.approx(np.std(shares, ddof=1))


def test_empty_splits_have_no_accuracy() -> None:
    models = Population.draw(10, 2).retrained(3)
    logits = {**models.outputs.logits, "forget_people": np.empty((3, 0, 10), dtype=np.float32)}
    labels = {**models.labels, "forget_people": np.empty(0, dtype=np.int64)}
    without = Models(replace(models.outputs, logits=logits), labels)
    assert "forget_people_accuracy" not in Utility().values(without, without)
    assert "forget_people_accuracy" in Utility().values(models, models)
