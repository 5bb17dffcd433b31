"""The SCRUB paper's attack: only the forgotten classes, clipped losses, five splits."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

from bench.metrics.class_matched import ClassMatched
from bench.metrics.membership import loss_attack
from bench.metrics.metric import Evidence, Models
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import shifted


def few_classes(models: Models, classes: set[int]) -> Models:
    """The models with forget examples of those classes only."""
    rows = [n for n, label in enumerate(models.labels["forget"]) if int(label) in classes]
    logits = {**models.outputs.logits, "forget": models.outputs.logits["forget"][:, rows]}
    outputs = type(models.outputs)(logits, models.outputs.retain_accuracy)
    return Models(outputs, {**models.labels, "forget": models.labels["forget"][rows]})


def cross_entropies(models: Models, m: int, split: str) -> np.ndarray:
    scores, labels = models.outputs.logits[split][m].astype(float), models.labels[split]
    return np.array([np.log(np.exp(row - row[label]).sum()) for row, label in zip(scores, labels, strict=True)])


def test_test_is_restricted_to_the_forgotten_classes() -> None:
    population = Population.draw(120, 0)
    unlearned = few_classes(population.case(shifted(1.0), population.retrained(4)), {2, 5, 7})
    found = ClassMatched().values(unlearned, unlearned)["class_matched_accuracy"]
    same = [n for n, label in enumerate(unlearned.labels["test"]) if label in (2, 5, 7)]
    expected = loss_attack(unlearned.loss("forget"), unlearned.loss("test")[:, same], splits=5)
    assert found.tolist() == expected.tolist()
    assert found.tolist() != loss_attack(unlearned.loss("forget"), unlearned.loss("test"), splits=5).tolist()


def test_losses_are_clipped() -> None:
    population = Population.draw(40, 1)
    models = population.retrained(3)

    def attacked(worst: float) -> list[float]:
        logits = models.outputs.logits["forget"].copy()
        logits[:, np.arange(5), models.labels["forget"][:5]] -= worst
        outputs = type(models.outputs)({**models.outputs.logits, "forget": logits}, models.outputs.retain_accuracy)
        changed = Models(outputs, models.labels)
        return [float(value) for value in ClassMatched().values(changed, changed)["class_matched_accuracy"]]

    assert attacked(300.0) == attacked(30000.0)


@pytest.mark.independent
def test_near_the_papers_own_steps() -> None:
    """Unsorted losses of the forgotten classes, clipped, and many splits: the same number up to the noise of five splits."""
    population = Population.draw(300, 0)
    unlearned = few_classes(population.case(shifted(2.0), population.retrained(2)), {1, 4, 6})
    found = ClassMatched().values(unlearned, unlearned)["class_matched_accuracy"]
    for m in range(2):
        forget, others = cross_entropies(unlearned, m, "forget"), cross_entropies(unlearned, m, "test")
        others = others[np.isin(unlearned.labels["test"], [1, 4, 6])]
        count = min(len(forget), len(others))
        losses = np.clip(np.concatenate([others[:count], forget[:count]]), -100, 100)[:, None]
        folds = StratifiedShuffleSplit(n_splits=100, random_state=0)
        theirs = cross_val_score(LogisticRegression(), losses, np.repeat([0, 1], count), cv=folds, scoring="accuracy").mean()
        assert found[m] == pytest.approx(theirs, abs=0.1)


def test_all_classes_differ_from_the_starting_kit_in_splits_only() -> None:
    population = Population.draw(200, 2)
    models = population.retrained(3)
    assert set(models.labels["forget"]) == set(models.labels["test"])
    found = ClassMatched().values(models, models)["class_matched_accuracy"]
    assert found.tolist() == loss_attack(models.loss("forget"), models.loss("test"), splits=5).tolist()


def test_sees_members_under_the_original_model() -> None:
    population = Population.draw(200, 3)
    retrained, original = population.retrained(8), population.original()
    baseline = ClassMatched().baseline(retrained, original)
    assert baseline.original["class_matched_accuracy"].value > baseline.retrained["class_matched_accuracy"].value + 0.1
    found = ClassMatched().score(Evidence(population.retrained(8), retrained, UNTIMED)).estimates["class_matched_accuracy"]
    assert found.value == pytest.approx(baseline.retrained["class_matched_accuracy"].value, abs=0.06)


def test_only_the_first_models_are_attacked(monkeypatch: pytest.MonkeyPatch) -> None:
    models = Population.draw(12, 4).retrained(5)
    everything = ClassMatched().values(models, models)["class_matched_accuracy"]
    monkeypatch.setattr("bench.metrics.class_matched.ATTACKED_MODELS", 3)
    assert ClassMatched().values(models, models)["class_matched_accuracy"].tolist() == everything[:3].tolist()
