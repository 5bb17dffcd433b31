"""Tails: who is memorised, areas of single examples, and means over parts, in loops."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bench.metrics.cross_fitted import cross_fitted
from bench.metrics.metric import Evidence, Models
from bench.metrics.resampling import SPLITS, Sample, halves
from bench.metrics.tails import Tails, example_areas, most_memorised
from bench.metrics.ulira import likelihood_ratios
from bench.scoring.calibration import UNTIMED, Population
from bench.scoring.constructions import shifted


@pytest.fixture(scope="module")
def population() -> Population:
    return Population.draw(40, 0)


@pytest.fixture(scope="module")
def retrained(population: Population) -> Models:
    return population.retrained(16)


def test_a_third_is_memorised() -> None:
    original = np.linspace(0.2, 0.9, 9)[None]
    chosen = most_memorised(original, np.full((4, 9), 0.1))
    assert chosen.tolist() == [False] * 6 + [True] * 3
    assert most_memorised([[0.5]], [[0.1]]).tolist() == [True]


@pytest.mark.independent
def test_areas_are_scikit_learns_per_example(population: Population, retrained: Models) -> None:
    unlearned = population.case(shifted(1.0), retrained).confidence
    found = example_areas(Sample.draw(unlearned), Sample.draw(retrained.confidence))
    for example in (0, 7):
        areas = []
        for split in range(SPLITS):
            ours, theirs = (halves(side, split) for side in (unlearned, retrained.confidence))
            ratios: tuple[list[float], list[float]] = ([], [])
            for fit, rest in ((0, 1), (1, 0)):
                fits = unlearned[ours[fit]], retrained.confidence[theirs[fit]]
                for known, values in zip(ratios, (unlearned[ours[rest]], retrained.confidence[theirs[rest]]), strict=True):
                    known.extend(likelihood_ratios(values, *fits)[:, example])
            areas.append(roc_auc_score([1] * len(ratios[0]) + [0] * len(ratios[1]), [*ratios[0], *ratios[1]]))
        assert found[example] == pytest.approx(np.mean(areas))


@pytest.mark.independent
def test_parts_are_means_over_pairs_of_halves(population: Population, retrained: Models) -> None:
    unlearned, original = population.case(shifted(1.0), retrained), population.original()
    found = Tails().score(Evidence(unlearned, retrained, UNTIMED, original=original)).estimates
    chosen = most_memorised(*(np.exp(-each.loss("forget")) for each in (original, retrained)))
    ours, theirs = (Sample.draw(side.confidence).halved() for side in (unlearned, retrained))
    worst, memorised = [], []
    for one in ours:
        for other in theirs:
            epsilon = cross_fitted(one, other)[0]
            worst.append(np.sort(epsilon)[-2:].mean())  # a twentieth of forty
            memorised.append(epsilon[chosen].mean())
    assert found["epsilon_worst"].value == pytest.approx(np.mean(worst))
    assert found["epsilon_memorised"].value == pytest.approx(np.mean(memorised))


def test_a_few_who_are_remembered_show_in_the_tail_alone(population: Population, retrained: Models) -> None:
    fresh = population.retrained(16)
    logits = {split: each.copy() for split, each in fresh.outputs.logits.items()}
    logits["forget"][:, np.arange(2), fresh.labels["forget"][:2]] += 30.0
    few = Models(type(fresh.outputs)(logits, fresh.outputs.retain_accuracy), fresh.labels, fresh.people)
    tails, original = Tails(), population.original()
    base = tails.baseline(retrained, original).retrained
    seen = tails.score(Evidence(few, retrained, UNTIMED, original=original)).estimates
    plain = tails.score(Evidence(fresh, retrained, UNTIMED, original=original)).estimates
    assert seen["epsilon_worst"].value > base["epsilon_worst"].value + 0.5
    assert abs(plain["epsilon_worst"].value - base["epsilon_worst"].value) < 0.5
    assert seen["ulira_area_worst"].value > 0.95


def test_without_an_original_nobody_was_memorised(retrained: Models) -> None:
    assert not Tails().score(Evidence(retrained, retrained, UNTIMED)).estimates
