"""Excess epsilon: by hand, in loops, and what it sees that means do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.metrics.cross_fitted import cross_fitted
from bench.metrics.excess_epsilon import ExcessEpsilon, excess_epsilon, upper_mean
from bench.metrics.memory_left import MemoryLeft
from bench.metrics.metric import Baseline, Evidence, Findings, Models
from bench.metrics.resampling import Sample
from bench.outputs import Floats
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import Fresh, shifted

VALUES = st.lists(st.tuples(st.floats(-5, 50), st.integers(1, 9)), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def population() -> Population:
    return Population.draw(200, 0)


@pytest.fixture(scope="module")
def retrained(population: Population) -> Models:
    return population.retrained(16)


def found(unlearned: Models, retrained: Models) -> dict[str, float]:
    estimates = ExcessEpsilon().score(Evidence(unlearned, retrained, UNTIMED)).estimates
    return {name: estimate.value for name, estimate in estimates.items()}


@pytest.mark.independent
@given(VALUES, st.sampled_from([0.05, 0.3, 1.0]))
def test_the_upper_mean_takes_from_the_top(drawn: list[tuple[float, int]], share: float) -> None:
    """Whole weights as copies of a value, a fraction of a copy at the end."""
    copies = sorted((value for value, weight in drawn for _ in range(weight)), reverse=True)
    wanted, taken, total = share * len(copies), 0.0, 0.0
    for value in copies:
        part = min(1.0, wanted - taken)
        if part <= 0:
            break
        taken, total = taken + part, total + part * value
    values, weights = zip(*drawn, strict=True)
    assert upper_mean(values, weights, share) == pytest.approx(total / taken, abs=1e-6)


def test_both_differences_by_hand() -> None:
    """Of twenty forgotten one stands out; of two strangers' classes the second is a quarter as frequent."""
    forgotten, strangers = np.array([*np.zeros(19), 4.0]), np.array([0.0, 2.0])
    mean, upper = excess_epsilon(forgotten, strangers, np.array([0.75, 0.25]))
    assert mean == pytest.approx(0.2 - 0.5)
    assert upper == pytest.approx(4.0 - 2.0)


def test_retrained_models_have_next_to_none(population: Population, retrained: Models) -> None:
    for _ in range(3):
        values = found(population.retrained(16), retrained)
        assert abs(values["excess_epsilon"]) < 0.25  # five of its standard deviations
        assert abs(values["excess_epsilon_upper"]) < 0.8
    baseline = ExcessEpsilon().baseline(retrained, population.original())
    assert abs(baseline.retrained["excess_epsilon"].value) < 0.3
    assert not baseline.original


def _a_tenth_kept(fresh: Fresh, reference: Floats) -> Floats:
    """One of ten is remembered by three standard deviations, the others are over-forgotten: the mean does not see it."""
    kept = np.arange(fresh.forget.shape[1]) % 10 == 0
    return fresh.forget + np.where(kept, 3.0, -1 / 3)


def test_it_sees_a_few_remembered_people_that_a_mean_does_not(population: Population, retrained: Models) -> None:
    unlearned = population.case(_a_tenth_kept, retrained)
    evidence = Evidence(unlearned, retrained, UNTIMED, original=population.original())
    left = MemoryLeft().score(evidence).estimates["memory_left"]
    assert abs(left.value) < 2 * (left.sd or 0)
    assert found(unlearned, retrained)["excess_epsilon_upper"] > 1


def test_drift_that_strangers_share_is_not_excess(population: Population, retrained: Models) -> None:
    fresh = population.retrained(16)
    logits = {split: each.copy() for split, each in fresh.outputs.logits.items()}
    for split, each in logits.items():
        each[:, np.arange(each.shape[1]), fresh.labels[split]] -= 1.0
    drifted = replace(fresh, outputs=replace(fresh.outputs, logits=logits))
    assert abs(found(drifted, retrained)["excess_epsilon"]) < 0.25
    assert found(population.case(shifted(1.0), retrained), retrained)["excess_epsilon"] > 0.4


def test_strangers_have_the_classes_of_the_forgotten(population: Population, retrained: Models) -> None:
    """Against a loop over classes."""
    unlearned = population.case(shifted(1.0), retrained)
    ours, theirs = (
        cross_fitted(*(Sample.draw(models.confidence_on(split)) for models in (unlearned, retrained)))[0]
        for split in ("forget", "unseen")
    )
    forget, unseen = retrained.labels["forget"], retrained.labels["unseen"]
    expected = sum(theirs[unseen == label].mean() * (forget == label).mean() for label in range(10))
    assert found(unlearned, retrained)["excess_epsilon"] == pytest.approx(ours.mean() - expected)


def test_without_strangers_of_their_classes_there_is_none(population: Population, retrained: Models) -> None:
    lonely = replace(retrained, labels={**retrained.labels, "unseen": np.full(200, 3)})
    assert ExcessEpsilon().score(Evidence(retrained, lonely, UNTIMED)) == Findings()
    assert ExcessEpsilon().baseline(lonely, population.original()) == Baseline()
