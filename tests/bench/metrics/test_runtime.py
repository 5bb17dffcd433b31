"""Runtime from shares that were made up."""

import statistics
from collections.abc import Sequence

import pytest

from bench.metrics.metric import Evidence, Findings, Timing
from bench.metrics.runtime import Runtime
from bench.scoring.calibration import Population

MODELS = Population.draw(2, 0).retrained(2)


def timing(shares: Sequence[float], **about: object) -> Timing:
    """Trials that took such shares of a retraining of twenty seconds."""
    beside = [(19.0, 21.0)] * len(shares)
    return Timing([20 * share for share in shares], beside, allowed=0.2, retraining=20.0, **about)


def score(timing: Timing) -> Findings:
    return Runtime().score(Evidence(MODELS, MODELS, timing))


@pytest.mark.independent
def test_values() -> None:
    shares = [0.15, 0.05, 0.125, 0.4, 0.1]
    found = score(timing(shares, peak_memory=[5e6, 7e6, 6e6]))
    middle, quartiles = statistics.median(shares), statistics.quantiles(shares, n=4, method="inclusive")
    assert {name: estimate.value for name, estimate in found.estimates.items()} == pytest.approx(
        {
            "runtime": middle * 20,
            "runtime_iqr": (quartiles[2] - quartiles[0]) * 20,
            "runtime_share": middle,
            "speed_up": 1 / middle,
            "budget_share": middle / 0.2,
            "peak_memory": 6e6,
        }
    )
    # Student's t of four degrees of freedom over that of the normal distribution, and a median's standard error
    deviation = 2.776445 / 1.959964 * 1.253314 * statistics.stdev(shares) / 5**0.5
    assert {name: found.estimates[name].sd for name in ("runtime", "runtime_share", "budget_share")} == pytest.approx(
        {"runtime": deviation * 20, "runtime_share": deviation, "budget_share": deviation / 0.2}, rel=1e-5
    )
    assert found.flags == {}


def test_control_rows_are_not_timed() -> None:
    assert score(timing(())) == Findings(notes=("needs timed trials, and there are none",))


def test_a_single_trial_has_no_interval() -> None:
    assert score(timing([0.1])).estimates["runtime"].sd is None


def test_instant_methods_have_no_speed_up() -> None:
    estimates = score(timing([0.0])).estimates
    assert "speed_up" not in estimates
    assert "peak_memory" not in estimates
    assert estimates["runtime_share"].value == 0.0
