"""MUFAC's attack and NoMUS against loops over their definitions."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

from bench.metrics.membership import loss_attack
from bench.metrics.metric import Baseline, Evidence, Findings, Models
from bench.metrics.unseen_identities import UnseenIdentities, nomus
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import shifted


@given(st.floats(0, 1), st.floats(0, 1))
def test_nomus(accuracy: float, attack: float) -> None:
    """Half the accuracy, half one minus twice the forgetting score |MIA - 1/2|."""
    forgetting_score = attack - 0.5 if attack > 0.5 else 0.5 - attack
    assert nomus(accuracy, attack) == pytest.approx(0.5 * accuracy + 0.5 * (1 - 2 * forgetting_score))
    assert 0 <= nomus(accuracy, attack) <= 1
    assert nomus(accuracy, attack) == pytest.approx(nomus(accuracy, 1 - attack))


def losses(models: Models, split: str) -> np.ndarray:
    """Log of the sum over classes of exp(z_c - z_y)."""
    logits, labels = models.outputs.logits[split].astype(float), models.labels[split]
    return np.array([[np.log(np.exp(row - row[y]).sum()) for row, y in zip(rows, labels, strict=True)] for rows in logits])


@pytest.mark.independent
def test_near_the_starting_kits_steps_with_unseen_people() -> None:
    """Unsorted losses and many splits: the same number up to the noise of ten splits."""
    population = Population.draw(200, 0)
    unlearned = population.case(shifted(2.0), population.retrained(2))
    found = UnseenIdentities().values(unlearned, unlearned)["unseen_accuracy"]
    for m in range(2):
        pair = np.concatenate([losses(unlearned, split)[m] for split in ("unseen", "forget")])[:, None]
        folds = StratifiedShuffleSplit(n_splits=40, random_state=0)
        theirs = cross_val_score(LogisticRegression(), pair, np.repeat([0, 1], 200), cv=folds, scoring="accuracy").mean()
        assert found[m] == pytest.approx(theirs, abs=0.06)


def test_forget_against_unseen_people() -> None:
    population = Population.draw(30, 0)
    unlearned = population.case(shifted(2.0), population.retrained(3))
    found = UnseenIdentities().values(unlearned, unlearned)
    expected = loss_attack(losses(unlearned, "forget"), losses(unlearned, "unseen"))
    assert found["unseen_accuracy"].tolist() == pytest.approx(expected.tolist(), abs=1e-9)
    for m in range(3):
        accuracy = accuracy_score(unlearned.labels["test"], unlearned.outputs.logits["test"][m].argmax(axis=-1))
        assert found["nomus"][m] == pytest.approx(accuracy / 2 + (1 - 2 * abs(expected[m] - 0.5)) / 2)


def test_only_the_first_models_are_attacked(monkeypatch: pytest.MonkeyPatch) -> None:
    models = Population.draw(12, 1).retrained(5)
    everything = UnseenIdentities().values(models, models)
    monkeypatch.setattr("bench.metrics.unseen_identities.ATTACKED_MODELS", 3)
    found = UnseenIdentities().values(models, models)
    for name in ("unseen_accuracy", "nomus"):
        assert found[name].tolist() == everything[name][:3].tolist()


def test_tasks_without_unseen_people_have_no_value() -> None:
    population = Population.draw(12, 2)
    models = population.retrained(4)
    logits = {**models.outputs.logits, "unseen": np.empty((4, 0, 10), dtype=np.float32)}
    without = Models(replace(models.outputs, logits=logits), {**models.labels, "unseen": np.empty(0, dtype=np.int64)})
    told = Findings(notes=("there are no unseen people to tell the forgotten from",))
    assert UnseenIdentities().score(Evidence(without, without, UNTIMED)) == told
    assert UnseenIdentities().baseline(without, without.select([0])) == Baseline()
