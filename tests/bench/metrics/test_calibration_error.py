"""Calibration on test: in loops, against scikit-learn, and on confidences that mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss

from bench.metrics.calibration_error import CalibrationError, calibration_error
from bench.metrics.metric import Evidence
from bench.scoring.calibration import UNTIMED, Population


@pytest.mark.independent
def test_against_a_loop_over_bins() -> None:
    rng = np.random.default_rng(0)
    confidences, right = rng.uniform(size=(3, 100)), rng.uniform(size=(3, 100)) < 0.6
    for m in range(3):
        pairs = sorted(zip(confidences[m], right[m], strict=True))
        sizes = [7] * 10 + [6] * 5  # of 100 photos in 15 bins
        error, start = 0.0, 0
        for size in sizes:
            held = pairs[start : start + size]
            start += size
            error += size / 100 * abs(sum(c for c, _ in held) / size - sum(bool(hit) for _, hit in held) / size)
        assert calibration_error(confidences, right)[m] == pytest.approx(error)


def test_confidences_that_mean_what_they_say_have_little_error() -> None:
    rng = np.random.default_rng(1)
    confidences = rng.uniform(0.2, 1.0, size=(1, 60_000))
    right = rng.uniform(size=confidences.shape) < confidences
    assert calibration_error(confidences, right)[0] < 0.01
    assert calibration_error(np.ones((1, 100)), np.arange(100)[None] < 70)[0] == pytest.approx(0.3)


@pytest.mark.independent
def test_metric_is_the_mean_over_models() -> None:
    population = Population.draw(60, 0)
    models, retrained = population.retrained(4), population.retrained(4)
    found = CalibrationError().score(Evidence(models, retrained, UNTIMED)).estimates
    logits, labels = models.outputs.logits["test"].astype(float), models.labels["test"]
    chances = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    losses = [log_loss(labels, rows, labels=range(10)) for rows in chances]
    assert found["test_log_loss"].value == pytest.approx(np.mean(losses))
    right = chances.argmax(axis=-1) == labels
    assert found["calibration_error"].value == pytest.approx(calibration_error(chances.max(axis=-1), right).mean())
