"""Confidences that were chosen are what their names say."""

from __future__ import annotations

import numpy as np
import pytest

from bench.scoring.calibration import CASES, Population
from bench.scoring.constructions import strangers_of

GAPS = {"retrained": 0.0, "shift 0.5 sd": 0.5, "shift 1 sd": 1.0, "shift 2 sd": 2.0}  # mean, in deviations
WIDTHS = {"retrained": 1.0, "half width": 0.5, "double width": 2.0, "shift 1 sd": 1.0, "shift by class": 1.0}
LEVELS = {"two levels, one above": (0.4, 0.65), "two levels, one below": (0.35, 0.6), "two levels": (0.25, 0.75)}


def case(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Confidences of 64 models of a case, and of the retrained ones."""
    population = Population.draw(400, seed=0)
    reference = population.retrained(64)
    return population.case(CASES[name], reference).confidence, reference.confidence


@pytest.mark.parametrize(("name", "gap"), GAPS.items(), ids=GAPS)
def test_cases_differ_from_retrained_models_as_they_say(name: str, gap: float) -> None:
    found, reference = case(name)
    assert (found - reference).mean() == pytest.approx(gap, abs=0.05)


@pytest.mark.parametrize(("name", "width"), WIDTHS.items(), ids=WIDTHS)
def test_cases_are_as_wide_as_they_say(name: str, width: float) -> None:
    found, reference = case(name)
    assert found.std(axis=0).mean() == pytest.approx(width, abs=0.05)
    sides = [side.mean(axis=0) for side in (found, reference)]
    assert np.corrcoef(*sides)[0, 1] > 0.85  # every example where it was, or nearly


def test_every_second_class_is_shifted_the_other_way() -> None:
    found, reference = case("shift by class")
    labels = Population.draw(400, seed=0).labels["forget"]
    for odd in (False, True):
        beyond = (found - reference)[:, (labels % 2 == 1) == odd].mean()
        assert beyond == pytest.approx(1.0 if odd else -1.0, abs=0.1)


def test_all_models_of_a_deterministic_method_are_one() -> None:
    assert np.ptp(case("deterministic")[0], axis=0).max() < 1e-4


def test_the_gaming_models_are_constant_but_for_one() -> None:
    found, reference = case("gaming")
    assert found[0] == pytest.approx(-40.0, abs=0.01)
    np.testing.assert_allclose(found[1:], np.quantile(reference, 0.25, axis=0)[None].repeat(63, axis=0), atol=1e-3)


@pytest.mark.parametrize(("name", "quantiles"), LEVELS.items(), ids=LEVELS)
def test_models_sit_on_two_levels(name: str, quantiles: tuple[float, float]) -> None:
    """Half on each, or all but one; that one differs from example to example."""
    found, reference = case(name)
    levels = np.quantile(reference, quantiles, axis=0)
    nearest = np.abs(found[None] - levels[:, None])
    inside = nearest.min(axis=0) < 1e-3
    assert (nearest.argmin(axis=0) == 0)[inside].mean() == pytest.approx(0.5, abs=0.02)
    outside = found[~inside].reshape(-1)
    assert len(outside) == (0 if name == "two levels" else 400)
    if len(outside):
        models, examples = np.nonzero(~inside)
        ends = reference.max(axis=0) + 6 if "above" in name else reference.min(axis=0) - 6
        np.testing.assert_allclose(found[models, examples], ends[examples], atol=1e-3)
        assert len(np.unique(models)) > 32


@pytest.mark.parametrize(("name", "noise"), [("copied, noise .01", 0.01), ("copied, noise .1", 0.1)])
def test_copies_are_the_reference_in_another_order(name: str, noise: float) -> None:
    found, reference = case(name)
    assert (found - np.roll(reference, 1, axis=0)).std() == pytest.approx(noise, rel=0.05)


def test_copies_halfway_to_their_mean() -> None:
    found, reference = case("halfway to the mean")
    expected = (np.roll(reference, 1, axis=0) + reference.mean(axis=0)) / 2
    assert np.abs(found - expected).max() < 0.05


def test_strangers_are_of_the_same_class() -> None:
    """And the models' own answers to them."""
    population, again = Population.draw(400, seed=0), Population.draw(400, seed=0)
    reference = population.retrained(64)
    again.retrained(64)
    honest, found = again.case(CASES["retrained"], reference), population.case(CASES["strangers"], reference)
    labels = population.labels
    chosen = strangers_of(labels["forget"], labels["unseen"])
    assert (labels["unseen"][chosen] == labels["forget"]).all()
    np.testing.assert_allclose(found.confidence, honest.confidence_on("unseen")[:, chosen], atol=1e-4)


def test_a_class_without_strangers_has_any() -> None:
    assert strangers_of(np.array([7, 7, 0]), np.array([0, 1])).tolist() == [0, 1, 0]


def test_every_case_is_looked_at() -> None:
    apart = {"deterministic", "gaming", "copied, noise .01", "copied, noise .1", "halfway to the mean", "strangers"}
    assert set(CASES) == {*GAPS, *WIDTHS, *LEVELS, *apart}
