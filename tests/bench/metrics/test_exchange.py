"""The exchange of two runs' trials against an enumeration of all exchanges."""

from itertools import product

import numpy as np
import pytest

from bench.metrics.distinguishability import p_value
from bench.metrics.exchange import exchanged_differences
from bench.metrics.forgetting import forgetting_score
from bench.metrics.metric import Models
from bench.outputs import concatenate
from bench.scoring.calibration import Population
from bench.scoring.constructions import shifted


def final_score(models: Models, retrained: Models) -> float:
    """By the challenge's own grid."""
    retain = np.mean(models.outputs.retain_accuracy) / np.mean(retrained.outputs.retain_accuracy)
    test = np.mean([accuracy(models, m) for m in range(len(models))]) / np.mean(
        [accuracy(retrained, m) for m in range(len(retrained))]
    )
    return forgetting_score(models.confidence, retrained.confidence) * float(retain) * float(test)


def accuracy(models: Models, m: int) -> float:
    return float(np.mean(models.outputs.logits["test"][m].argmax(axis=-1) == models.labels["test"]))


def runs(models: int, examples: int, shift: float, seed: int = 0) -> tuple[Models, Models, Models]:
    population = Population.draw(examples, seed)
    retrained = population.retrained(models)
    return population.case(shifted(shift), retrained), population.case(shifted(0.0), retrained), retrained


def test_differences_are_those_of_exchanged_trials() -> None:
    one, other, retrained = runs(4, 3, shift=1.0)
    both = Models(concatenate([one.outputs, other.outputs]), one.labels)
    every = []
    for swap in product([False, True], repeat=4):
        rows = [[m + 4 * (swapped != second) for m, swapped in enumerate(swap)] for second in (False, True)]
        every.append(abs(final_score(both.select(rows[0]), retrained) - final_score(both.select(rows[1]), retrained)))
    found = exchanged_differences(one, other, retrained, exchanges=200)
    assert found[0] == pytest.approx(every[0], abs=0.02)
    assert np.abs(found[:, None] - np.array(every)).min(axis=1).max() < 0.02
    assert found[1:].mean() == pytest.approx(np.mean(every), abs=0.01 + 4 * np.std(every) / np.sqrt(200))
    seen = {int(np.abs(value - np.array(every)).argmin()) for value in found}
    assert len(seen) > 5  # of 8 that differ


def test_no_run_is_special() -> None:
    one, other, retrained = runs(8, 4, shift=0.5)
    np.testing.assert_allclose(
        exchanged_differences(one, other, retrained, 20), exchanged_differences(other, one, retrained, 20), atol=1e-12
    )


def test_a_run_does_not_differ_from_itself() -> None:
    one, _, retrained = runs(8, 4, shift=0.5)
    found = exchanged_differences(one, one, retrained, 20)
    assert found.tolist() == [0.0] * 21
    assert p_value(found) == 1.0


def test_sees_a_difference() -> None:
    one, other, retrained = runs(16, 20, shift=2.0)
    assert p_value(exchanged_differences(one, other, retrained)) <= 0.05


def test_sees_a_difference_of_utility_alone() -> None:
    one, other, retrained = runs(16, 8, shift=0.0)
    worse = Models(type(one.outputs)(one.outputs.logits, one.outputs.retain_accuracy * 0.2), one.labels)
    assert p_value(exchanged_differences(worse, other, retrained, 99)) <= 0.05


def test_each_exchange_is_reported() -> None:
    one, other, retrained = runs(8, 2, shift=0.0)
    calls: list[None] = []
    found = exchanged_differences(one, other, retrained, 7, lambda: calls.append(None))
    assert len(found) == len(calls) == 8
