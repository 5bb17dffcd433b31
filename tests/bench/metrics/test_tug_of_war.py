"""ToW against its product written out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from bench.metrics.metric import Evidence, Models
from bench.metrics.tug_of_war import TugOfWar, tug_of_war
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import shifted


def accuracies(models: Models) -> list[tuple[float, float, float]]:
    """Of forget, retain and test, per model."""
    found = [
        [accuracy_score(models.labels[split], scores.argmax(axis=-1)) for scores in models.outputs.logits[split]]
        for split in ("forget", "test")
    ]
    return list(zip(found[0], models.outputs.retain_accuracy.tolist(), found[1], strict=True))


@pytest.mark.independent
def test_against_its_product() -> None:
    population = Population.draw(60, 0)
    retrained = population.retrained(6)
    unlearned = population.case(shifted(2.0), retrained)
    target = np.mean(accuracies(retrained), axis=0)
    each = [(1 - abs(f - target[0])) * (1 - abs(r - target[1])) * (1 - abs(t - target[2])) for f, r, t in accuracies(unlearned)]
    found = TugOfWar().score(Evidence(unlearned, retrained, UNTIMED)).estimates["tow"]
    assert found.value == pytest.approx(np.mean(each))
    assert found.sd == pytest.approx(np.std(each, ddof=1) / np.sqrt(6))


def test_retrained_models_are_compared_with_the_others() -> None:
    retrained = Population.draw(60, 1).retrained(5)
    rows = np.array(accuracies(retrained))
    each = [np.prod(1 - np.abs(rows[m] - np.delete(rows, m, axis=0).mean(axis=0))) for m in range(5)]
    baseline = TugOfWar().baseline(retrained, retrained.select([0]))
    assert baseline.retrained["tow"].value == pytest.approx(np.mean(each))
    assert 0.9 < baseline.retrained["tow"].value < 1


def test_it_is_one_where_nothing_differs_and_nothing_where_all_is_lost() -> None:
    assert tug_of_war([[0.3, 0.9, 0.6]], [0.3, 0.9, 0.6]).tolist() == [1.0]
    assert tug_of_war([[1.0, 0.9, 0.6]], [0.0, 0.9, 0.6]).tolist() == [0.0]
