"""The starting kit's attack on models: its own code's steps, and that it sees members."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

from bench.metrics.metric import Evidence, Models
from bench.metrics.starting_kit import StartingKit
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import shifted


def cross_entropies(models: Models, m: int, split: str) -> np.ndarray:
    scores, labels = models.outputs.logits[split][m].astype(float), models.labels[split]
    return np.array([np.log(np.exp(row - row[label]).sum()) for row, label in zip(scores, labels, strict=True)])


@pytest.mark.independent
def test_near_the_kits_own_steps() -> None:
    """Unsorted losses and other splits, as in the kit: the same number up to the noise of ten splits."""
    population = Population.draw(200, 0)
    unlearned = population.case(shifted(2.0), population.retrained(2))
    found = StartingKit().values(unlearned, unlearned)["starting_kit_accuracy"]
    for m in range(2):
        losses = np.concatenate([cross_entropies(unlearned, m, split) for split in ("test", "forget")])[:, None]
        member = np.repeat([0, 1], 200)
        folds = StratifiedShuffleSplit(n_splits=40, random_state=0)
        theirs = cross_val_score(LogisticRegression(), losses, member, cv=folds, scoring="accuracy").mean()
        assert found[m] == pytest.approx(theirs, abs=0.06)


def test_sees_members_under_the_original_model() -> None:
    population = Population.draw(200, 1)
    retrained, original = population.retrained(8), population.original()
    baseline = StartingKit().baseline(retrained, original)
    assert baseline.original["starting_kit_accuracy"].value > baseline.retrained["starting_kit_accuracy"].value + 0.1
    score = StartingKit().score(Evidence(population.retrained(8), retrained, UNTIMED)).estimates["starting_kit_accuracy"]
    assert score.value == pytest.approx(baseline.retrained["starting_kit_accuracy"].value, abs=0.06)


def test_estimate_is_the_mean_with_its_standard_error() -> None:
    models = Population.draw(20, 2).retrained(8)
    values = StartingKit().values(models, models)["starting_kit_accuracy"]
    estimate = StartingKit().score(Evidence(models, models, UNTIMED)).estimates["starting_kit_accuracy"]
    assert estimate.value == pytest.approx(sum(values) / 8)
    assert estimate.sd == pytest.approx(np.sqrt(sum((value - estimate.value) ** 2 for value in values) / 7 / 8))


def test_only_the_first_models_are_attacked(monkeypatch: pytest.MonkeyPatch) -> None:
    models = Population.draw(12, 4).retrained(5)
    everything = StartingKit().values(models, models)["starting_kit_accuracy"]
    monkeypatch.setattr("bench.metrics.starting_kit.ATTACKED_MODELS", 3)
    assert StartingKit().values(models, models)["starting_kit_accuracy"].tolist() == everything[:3].tolist()
