"""Contrasts of the forgotten with strangers, on arrays that can be worked out by hand, and against loops."""

from __future__ import annotations

import numpy as np
import pytest

from bench.metrics.contrast import Contrast, Linear, Side, Subjects, Yardstick

SPREAD = np.array([-1.0, 0.0, 1.0])[:, None]  # three models, standard deviation 1


def subjects(labels: list[int], units: list[int]) -> Subjects:
    return Subjects(np.array(labels), np.array(units))


def yardstick(forgotten: Subjects, strangers: Subjects) -> Yardstick:
    sides = (SPREAD + np.zeros(len(each.labels)) for each in (forgotten, strangers))
    return Yardstick(Side(*sides), forgotten, strangers)


def test_strangers_have_the_classes_of_the_forgotten() -> None:
    """Two of class 0 and one of class 1; class 2 has no stranger, and nobody forgets class 3."""
    against = yardstick(subjects([0, 0, 1, 2], [0, 0, 1, 2]), subjects([0, 0, 0, 0, 1, 3], [0, 1, 2, 3, 4, 5]))
    assert against.matched.tolist() == [True, True, True, False]
    np.testing.assert_allclose(against.weights, [1 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 3, 0])


def test_the_difference_is_of_standardised_means() -> None:
    """Of spread 2, the forgotten are raised by 6 and strangers by 2: three and one standard deviations."""
    people = subjects([0, 0], [0, 1])
    wide = Side(2 * SPREAD + np.zeros(2), 2 * SPREAD + np.zeros(2))
    against = Yardstick(wide, people, people)
    contrast = against.contrast(Side(wide.forget + 6.0, wide.unseen + 2.0))
    np.testing.assert_allclose(contrast.models, [2.0, 2.0, 2.0])
    np.testing.assert_allclose(against.contrast(wide).models, 0.0, atol=1e-15)


def test_what_people_add_sums_to_nothing() -> None:
    generator = np.random.default_rng(0)
    against = yardstick(subjects([0, 1, 1, 0], [5, 5, 7, 9]), subjects([0, 1, 0, 1, 1], [1, 1, 2, 2, 3]))
    side = Side(generator.normal(size=(4, 4)), generator.normal(size=(4, 5)))
    contrast = against.contrast(side)
    assert contrast.forgotten.shape == (4, 3)
    assert contrast.strangers.shape == (4, 3)
    np.testing.assert_allclose(contrast.forgotten.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(contrast.strangers.sum(axis=1), 0, atol=1e-12)


@pytest.mark.independent
def test_against_loops() -> None:
    generator = np.random.default_rng(1)
    forgotten, strangers = subjects([0, 1, 1, 0, 2], [0, 0, 1, 2, 3]), subjects([0, 0, 1, 1, 1, 4], [0, 1, 1, 2, 3, 4])
    retrained = Side(generator.normal(1, 2, size=(5, 5)), generator.normal(0, 3, size=(5, 6)))
    side = Side(generator.normal(2, 1, size=(4, 5)), generator.normal(1, 1, size=(4, 6)))
    against = Yardstick(retrained, forgotten, strangers)
    found = against.contrast(side)
    for m in range(4):
        beyond = {}
        for e, label in enumerate(forgotten.labels):
            alike = [u for u, other in enumerate(strangers.labels) if other == label]
            if alike:
                theirs = [_distance(side.unseen[m, u], retrained.unseen[:, u]) for u in alike]
                beyond[e] = _distance(side.forget[m, e], retrained.forget[:, e]) - sum(theirs) / len(theirs)
        mean = sum(beyond.values()) / len(beyond)
        assert found.models[m] == pytest.approx(mean)
        for column, unit in enumerate([0, 1, 2]):
            part = sum(value - mean for e, value in beyond.items() if forgotten.units[e] == unit) / len(beyond)
            assert found.forgotten[m, column] == pytest.approx(part)


def _distance(value: float, retrained: np.ndarray) -> float:
    return (value - retrained.mean()) / np.sqrt(((retrained - retrained.mean()) ** 2).sum() / (len(retrained) - 1))


def test_corrections_are_those_of_the_units() -> None:
    """Three forgotten people; of class 0 there are two strangers, of class 1 one, who cannot vary."""
    against = yardstick(subjects([0, 0, 0, 1], [0, 0, 1, 2]), subjects([0, 0, 1], [0, 1, 2]))
    forgotten, strangers = against.corrections
    assert forgotten == pytest.approx(3 / 2)
    assert strangers.tolist() == [2.0, 2.0, 1.0]


def test_one_model_is_given_and_several_are_sampled() -> None:
    side = Contrast(np.array([1.0, 3.0]), np.array([[1.0, -1.0], [1.0, -1.0]]), np.zeros((2, 1)))
    given = Contrast(np.array([5.0]), np.array([[4.0, -4.0]]), np.zeros((1, 1)))
    linear = Linear.combined([(side, 1.0), (given, 0.5)])
    assert linear.spreads == ((1.0, 1),)  # variance 2 over 2 models
    assert linear.forgotten.tolist() == [3.0, -3.0]
    assert linear.forgotten_noise.tolist() == [0.0, 0.0]
    variance, freedom = linear.variance((2.0, np.ones(1)))
    assert variance == pytest.approx(1.0 + 2 * 18)
    assert freedom == pytest.approx(37**2 / (1**2 / 1 + 36**2 / 1))


def test_nothing_that_varies_has_no_variance() -> None:
    same = Contrast(np.ones(2), np.zeros((2, 3)), np.zeros((2, 3)))
    assert Linear.combined([(same, 1.0)]).variance((1.0, np.ones(3))) == (0.0, np.inf)
