"""Cases with a known answer are what they say, and so is what metrics are said to tell of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.errors import BenchError
from bench.metrics.installed import InstalledMetric
from bench.metrics.metric import Baseline, Estimate, Evidence, Findings, Metric, Models, Quantity
from bench.metrics.quantity import P_VALUE
from bench.outputs import OUTPUT_SPLITS
from bench.scoring.calibration import CASES, CaseResult, Population, calibrated, tells
from bench.scoring.constructions import shifted
from bench.scoring.scorecard import Measure


class Mean(Metric):
    """Mean confidence of the forget set, and a flag if one is extreme."""

    quantities = (
        Quantity("mean", "nats", "as retrained", -np.inf, np.inf, "mean confidence"),
        Quantity("chance", P_VALUE, "higher", 0, 1, "always 0.01"),
        Quantity("plain", "", "higher", 0, 1, "always 0.5"),
    )
    source = pitfalls = "none"

    def baseline(self, retrained: Models, original: Models) -> Baseline:
        return Baseline(retrained={"mean": Estimate(float(retrained.confidence.mean()), 0.01)})

    def score(self, evidence: Evidence) -> Findings:
        confidence = evidence.unlearned.confidence
        estimates = {"mean": Estimate(float(confidence.mean()), 0.01), "chance": Estimate(0.01), "plain": Estimate(0.5)}
        return Findings(estimates, flags={"extreme": "seen"} if confidence.min() < -30 else {})


def silent() -> None:
    """Nobody watches."""


def test_populations_are_drawn_from_their_seed() -> None:
    one, again, other = (Population.draw(20, seed).retrained(4).outputs.digest() for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_splits_have_the_sizes_asked_for() -> None:
    models = Population.draw(20, seed=0).retrained(4)
    assert len(models) == 4
    assert {split: models.outputs.logits[split].shape[1] for split in OUTPUT_SPLITS} == {
        split: 20 if split == "forget" else 200 for split in OUTPUT_SPLITS
    }


def test_members_stand_out_under_the_original() -> None:
    population = Population.draw(400, seed=0)
    assert population.original().confidence.mean() - population.retrained(64).confidence.mean() == pytest.approx(3.0, abs=0.2)


def test_only_the_forget_set_changes() -> None:
    one, other = Population.draw(20, seed=0), Population.draw(20, seed=0)
    reference, again = one.retrained(4), other.retrained(4)
    changed, same = one.case(shifted(2.0), reference), other.case(shifted(0.0), again)
    for split in OUTPUT_SPLITS:
        equal = np.array_equal(changed.outputs.logits[split], same.outputs.logits[split])
        assert equal is (split != "forget")


def test_answers_are_counted_over_the_repeats() -> None:
    advanced: list[None] = []
    found = calibrated([InstalledMetric("mean", Mean())], 16, 30, 3, 0, lambda: advanced.append(None))
    assert list(found) == list(CASES)
    assert len(advanced) == 3 * (1 + len(CASES))
    assert found["shift 2 sd"]["mean"].told == 3
    assert found["shift 2 sd"]["mean"].mean - found["retrained"]["mean"].mean == pytest.approx(2.0, abs=0.2)
    assert found["retrained"]["chance"] == CaseResult(0.01, 3)
    assert found["retrained"]["plain"] == CaseResult(0.5, None)
    assert found["gaming"]["[extreme]"] == CaseResult(None, 3)
    assert "[extreme]" not in found["retrained"]
    assert found == calibrated([InstalledMetric("mean", Mean())], 16, 30, 3, 0, silent)


class Fails(Mean):
    """Fails."""

    def score(self, evidence: Evidence) -> Findings:
        raise ZeroDivisionError("by zero")


class Undeclared(Mean):
    """Answers what it did not declare."""

    def score(self, evidence: Evidence) -> Findings:
        return Findings({"eight": Estimate(8.0)})


@pytest.mark.parametrize(
    ("metric", "told"), [(Fails, "ZeroDivisionError: by zero"), (Undeclared, "ValueError: eight is not among the quantities")]
)
def test_a_metric_that_fails_is_named(metric: Callable[[], Metric], told: str) -> None:
    with pytest.raises(BenchError, match=f"metric bad fails: {told}.*; leave it out with --metric"):
        calibrated([InstalledMetric("mean", Mean()), InstalledMetric("bad", metric())], 8, 20, 1, 0, silent)


@pytest.mark.parametrize(
    ("unit", "measure", "verdict"),
    [
        (P_VALUE, {"value": 0.049}, True),
        (P_VALUE, {"value": 0.051}, False),
        ("nats", {"value": 1.0, "gap": 0.5, "gap_interval": (0.1, 0.9)}, True),
        ("nats", {"value": 1.0, "gap": -0.5, "gap_interval": (-0.9, -0.1)}, True),
        ("nats", {"value": 1.0, "gap": 0.5, "gap_interval": (-0.1, 1.1)}, False),
        ("nats", {"value": 1.0, "interval": (0.9, 1.1)}, None),
    ],
)
def test_what_tells_models_apart(unit: str, measure: dict, verdict: bool | None) -> None:
    assert tells(Measure(unit=unit, better="as retrained", **measure)) is verdict
