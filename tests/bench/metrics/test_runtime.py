"""Runtime from times that were made up."""

import statistics

import pytest

from bench.metrics.metric import Evidence, Findings, Timing
from bench.metrics.runtime import Runtime
from bench.scoring.calibration import Population

MODELS = Population.draw(2, 0).retrained(2)


def score(timing: Timing) -> Findings:
    return Runtime().score(Evidence(MODELS, MODELS, timing))


@pytest.mark.independent
def test_values() -> None:
    solo = [3.0, 1.0, 2.5, 8.0, 2.0]
    found = score(Timing(solo, retraining=20.0, allowance=4.0, peak_memory=[5e6, 7e6, 6e6]))
    middle, quartiles = statistics.median(solo), statistics.quantiles(solo, n=4, method="inclusive")
    assert {name: estimate.value for name, estimate in found.estimates.items()} == pytest.approx(
        {
            "runtime": middle,
            "runtime_iqr": quartiles[2] - quartiles[0],
            "runtime_share": middle / 20,
            "speed_up": 20 / middle,
            "budget_share": middle / 4,
            "peak_memory": 6e6,
        }
    )
    assert found.flags == {}


@pytest.mark.parametrize(("seconds", "late"), [(3.99, False), (4.0, False), (4.01, True)])
def test_share_of_the_budget_is_that_of_the_median(seconds: float, late: bool) -> None:
    share = score(Timing([seconds, 0.1, 100.0], retraining=20.0, allowance=4.0)).estimates["budget_share"].value
    assert (share > 1) == late


def test_control_rows_are_not_timed() -> None:
    assert score(Timing((), retraining=20.0, allowance=4.0)) == Findings()


def test_instant_methods_have_no_speed_up() -> None:
    estimates = score(Timing([0.0], retraining=20.0, allowance=4.0)).estimates
    assert "speed_up" not in estimates
    assert "peak_memory" not in estimates
    assert estimates["runtime_share"].value == 0.0
