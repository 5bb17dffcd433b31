"""RF-JSD against scipy's distance, class by class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from bench.metrics.metric import Evidence, Findings, Models
from bench.metrics.rf_jsd import RFJSD, divergence
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import shifted

WEIGHTS = st.lists(st.floats(0.01, 1), min_size=4, max_size=4)


@pytest.mark.independent
@given(WEIGHTS, WEIGHTS)
def test_the_divergence_is_the_square_of_scipys_distance(one: list[float], other: list[float]) -> None:
    ours, theirs = (np.array(each) / sum(each) for each in (one, other))
    assert divergence(ours, theirs) == pytest.approx(jensenshannon(ours, theirs, base=2) ** 2, abs=1e-9)


def chances(models: Models, split: str) -> np.ndarray:
    logits = models.outputs.logits[split].astype(float)
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


@pytest.mark.independent
@pytest.mark.parametrize("strangers", ["unseen", "test"])
def test_against_loops_over_classes(strangers: str) -> None:
    population = Population.draw(80, 0)
    retrained, original = population.retrained(6), population.original()
    unlearned = population.case(shifted(2.0), retrained)
    if strangers == "test":  # a task without unseen people
        logits = {**original.outputs.logits, "unseen": original.outputs.logits["unseen"][:, :0]}
        original = Models(replace(original.outputs, logits=logits), {**original.labels, "unseen": original.labels["unseen"][:0]})
    forget, others = unlearned.labels["forget"], original.labels[strangers]
    parts = []
    for label in sorted(set(forget.tolist()) & set(others.tolist())):
        ours = chances(unlearned, "forget")[:, forget == label].mean(axis=(0, 1))
        theirs = chances(original, strangers)[0, others == label].mean(axis=0)
        parts.append(jensenshannon(ours, theirs, base=2) ** 2)
    found = RFJSD().score(Evidence(unlearned, retrained, UNTIMED, original=original)).estimates["rf_jsd"]
    assert found.value == pytest.approx(np.mean(parts))
    assert found.sd
    assert found.sd > 0


def test_a_class_that_strangers_lack_is_left_out() -> None:
    population = Population.draw(80, 1)
    retrained, original = population.retrained(4), population.original()
    kept = np.where(original.labels["unseen"] == 3, 4, original.labels["unseen"])
    lonely = replace(original, labels={**original.labels, "unseen": kept})
    assert 0 < RFJSD().score(Evidence(retrained, retrained, UNTIMED, original=lonely)).estimates["rf_jsd"].value < 1
    nobody = replace(original, labels={**original.labels, "unseen": np.full_like(kept, 99)})
    assert RFJSD().score(Evidence(retrained, retrained, UNTIMED, original=nobody)) == Findings()


def test_without_the_original_there_is_none() -> None:
    retrained = Population.draw(20, 0).retrained(3)
    assert RFJSD().score(Evidence(retrained, retrained, UNTIMED)) == Findings()


def test_the_original_is_farther_than_retrained_models() -> None:
    """It knows the forgotten as it knows nobody else."""
    population = Population.draw(200, 2)
    baseline = RFJSD().baseline(population.retrained(8), population.original())
    assert baseline.original["rf_jsd"].value > baseline.retrained["rf_jsd"].value
