"""Song and Mittal's signals, thresholds and shares against loops over their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, log_expit
from scipy.stats import entropy

from bench.metrics.membership import halves_of_test
from bench.metrics.metric import Evidence, Models
from bench.metrics.song_mittal import (
    Signal,
    SongMittal,
    confidence,
    negative_entropy,
    negative_modified_entropy,
    thresholds,
    thresholds_by_class,
)
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import shifted

LOGITS = np.random.default_rng(0).normal(size=(3, 20, 5)) * 4
LABELS = np.random.default_rng(1).integers(5, size=20)


def softmax(scores: np.ndarray) -> list[float]:
    powers = [math.exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


def modified_entropy(p: list[float], label: int) -> float:
    """Equation 6: -(1 - p_y) log p_y - sum over the others of p_c log(1 - p_c)."""
    others = sum(p[c] * math.log(1 - p[c]) for c in range(len(p)) if c != label)
    return -(1 - p[label]) * math.log(p[label]) - others


def test_signals_are_the_papers() -> None:
    for m, n in np.ndindex(3, 20):
        p, label = softmax(LOGITS[m, n]), int(LABELS[n])
        assert confidence(LOGITS, LABELS)[m, n] == pytest.approx(math.log(p[label]))
        assert negative_entropy(LOGITS, LABELS)[m, n] == pytest.approx(-entropy(p))
        assert negative_modified_entropy(LOGITS, LABELS)[m, n] == pytest.approx(-modified_entropy(p, label), abs=1e-9)


@pytest.mark.parametrize("signal", [confidence, negative_modified_entropy])
def test_signals_grow_with_the_confidence(signal: Signal) -> None:
    """The property that the paper asks of the modified entropy; also among examples that are all but certain."""
    gaps = np.linspace(-30, 30, 120)
    logits = np.stack([gaps, np.zeros(120), np.full(120, -1.0)], axis=-1)
    assert (np.diff(signal(logits, np.zeros(120, dtype=int))) > 0).all()
    assert (np.diff(signal(logits, np.ones(120, dtype=int))) < 0).all()


@pytest.mark.parametrize("gap", [-30.0, -8.0, 0.0, 8.0, 16.0, 30.0])
def test_modified_entropy_of_two_classes(gap: float) -> None:
    """In closed form it is -2 (1 - p_y) log p_y, exact for all but certain examples, too."""
    expected = 2 * expit(-gap) * log_expit(gap)
    assert negative_modified_entropy([[gap, 0.0]], [0])[0] == pytest.approx(expected, rel=1e-6, abs=0)


@settings(max_examples=60)
@given(arrays(np.float64, (1, 3, 4), elements=st.floats(-1000, 1000)))
def test_signals_are_finite_and_not_positive(logits: np.ndarray) -> None:
    for signal in (confidence, negative_entropy, negative_modified_entropy):
        values = signal(logits, np.array([0, 1, 2]))
        assert np.isfinite(values).all()
        assert (values <= 1e-9).all()
    assert (negative_entropy(logits, np.array([0, 1, 2])) >= -math.log(4) - 1e-9).all()


def gain(threshold: float, members: np.ndarray, others: np.ndarray) -> float:
    """Balanced accuracy of the rule: a member if the signal is at least the threshold."""
    return (sum(value >= threshold for value in members) / len(members) + sum(v < threshold for v in others) / len(others)) / 2


SIGNALS = st.integers(-3, 3).map(float) | st.floats(-10, 10)


@settings(max_examples=60)
@given(
    arrays(np.float64, st.tuples(st.just(2), st.integers(1, 12)), elements=SIGNALS),
    arrays(np.float64, st.tuples(st.just(2), st.integers(1, 9)), elements=SIGNALS),
)
def test_thresholds_are_the_best_signals(members: np.ndarray, others: np.ndarray) -> None:
    for found, ours, theirs in zip(thresholds(members, others), members, others, strict=True):
        gains = {value: gain(value, ours, theirs) for value in sorted([*ours, *theirs])}
        best = max(gains.values())
        assert found == min(value for value, each in gains.items() if each > best - 1e-9)


def test_thresholds_by_class_are_pooled_for_small_classes() -> None:
    rng = np.random.default_rng(2)
    labels, other_labels = np.repeat([0, 1, 2], [40, 19, 40]), np.repeat([0, 1, 2], [20, 60, 19])
    members, others = rng.normal(size=(2, 99)) + labels, rng.normal(size=(2, 99)) + other_labels - 1
    found = thresholds_by_class(members, labels, others, other_labels, 4)
    pooled = thresholds(members, others)
    assert found[:, 0].tolist() == thresholds(members[:, :40], others[:, :20]).tolist()  # 40 and 20 examples
    assert found[:, 1].tolist() == found[:, 2].tolist() == found[:, 3].tolist() == pooled.tolist()


def share_called(models: Models, m: int, name: str) -> tuple[float, float]:
    """Shares of forget and of held-out test called member under one model, in plain loops."""
    fit, check = halves_of_test(POPULATION_RETRAINED)

    def signal(split: str, row: int) -> float:
        p, label = softmax(models.outputs.logits[split][m, row].astype(float)), int(models.labels[split][row])
        return {"confidence": p[label], "entropy": -entropy(p), "modified_entropy": -modified_entropy(p, label)}[name]

    labels = models.labels
    members = [(int(labels["retain_sample"][row]), signal("retain_sample", row)) for row in range(len(labels["retain_sample"]))]
    others = [(int(labels["test"][row]), signal("test", row)) for row in fit]

    def limit(group: int) -> float:
        sides = [[value for label, value in side if label == group] for side in (members, others)]
        if min(len(side) for side in sides) < 20:
            sides = [[value for _, value in side] for side in (members, others)]
        values = sorted(sides[0] + sides[1])
        gains = [gain(value, np.array(sides[0]), np.array(sides[1])) for value in values]
        return values[int(np.argmax(np.round(gains, 9)))]

    limits = [limit(group) for group in range(10)]
    called = [
        [signal(split, row) >= limits[int(labels[split][row])] - 1e-9 for row in rows]
        for split, rows in (("forget", range(len(labels["forget"]))), ("test", check))
    ]
    return float(np.mean(called[0])), float(np.mean(called[1]))


POPULATION = Population.draw(12, 0)
POPULATION_RETRAINED = POPULATION.retrained(3)


@pytest.mark.independent
@pytest.mark.parametrize("name", ["confidence", "entropy", "modified_entropy"])
def test_shares_are_loops(name: str) -> None:
    unlearned = POPULATION.case(shifted(1.0), POPULATION_RETRAINED)
    found = SongMittal().values(unlearned, POPULATION_RETRAINED)
    for m in range(2):
        expected = share_called(unlearned, m, name)
        assert found[f"{name}_members"][m] == pytest.approx(expected[0])
        assert found[f"{name}_false_members"][m] == pytest.approx(expected[1])


def test_correctness_is_accuracy() -> None:
    unlearned = POPULATION.case(shifted(1.0), POPULATION_RETRAINED)
    found = SongMittal().values(unlearned, POPULATION_RETRAINED)
    _, check = halves_of_test(POPULATION_RETRAINED)
    for m in range(3):
        right = [int(np.argmax(unlearned.outputs.logits["forget"][m, n])) == unlearned.labels["forget"][n] for n in range(12)]
        assert found["correctness_members"][m] == pytest.approx(np.mean(right))
        held = [int(np.argmax(unlearned.outputs.logits["test"][m, n])) == unlearned.labels["test"][n] for n in check]
        assert found["correctness_false_members"][m] == pytest.approx(np.mean(held))


def test_sees_members_under_the_original_model_and_not_under_retrained_ones() -> None:
    population = Population.draw(200, 1)
    retrained, original = population.retrained(16), population.original()
    baseline = SongMittal().baseline(retrained, original)
    score = SongMittal().score(Evidence(population.retrained(16), retrained, UNTIMED)).estimates
    for name in ("confidence_members", "modified_entropy_members", "correctness_members"):
        assert baseline.original[name].value > baseline.retrained[name].value + 0.2
        assert score[name].value == pytest.approx(baseline.retrained[name].value, abs=0.05)
    assert baseline.retrained["confidence_false_members"].value < 0.5
