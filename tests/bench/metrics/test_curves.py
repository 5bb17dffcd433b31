"""The board's curves: against scikit-learn's, and against the rates that the attacks' own metrics report."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_curve as sklearn_curve

from bench.metrics.curves import FALSE_POSITIVE_RATES, LOSS_EDGES, Curves, histogram
from bench.metrics.membership import roc_curve, true_positive_rate
from bench.metrics.metric import Evidence, Timing
from bench.metrics.rmia import RMIA
from bench.metrics.ulira import ULiRA
from bench.scoring.calibration import Population
from bench.scoring.constructions import shifted

SCORES = arrays(np.float64, st.integers(1, 30), elements=st.integers(0, 5).map(float))


@pytest.mark.independent
@given(SCORES, SCORES, st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]))
def test_roc_is_the_best_rate_within_the_allowance(members: np.ndarray, others: np.ndarray, allowed: float) -> None:
    truth = np.repeat([1, 0], [len(members), len(others)])
    false, true, _ = sklearn_curve(truth, np.concatenate([members, others]), drop_intermediate=False)
    expected = true[false <= allowed + 1e-12].max()
    assert roc_curve(members, others, [allowed])[0] == pytest.approx(expected)
    if allowed < 1:
        assert roc_curve(members, others, [allowed])[0] == true_positive_rate(members, others, allowed)


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    population = Population.draw(20, seed=0)
    retrained = population.retrained(16)
    return Evidence(population.case(shifted(1.0), retrained), retrained, Timing([], [], 1.0, 1.0))


def test_curves_pass_through_the_rates_that_metrics_report(evidence: Evidence) -> None:
    found = Curves().score(evidence).details
    at = int(np.argmin(np.abs(FALSE_POSITIVE_RATES - 0.01)))
    assert FALSE_POSITIVE_RATES[at] == pytest.approx(0.01)
    assert found["ulira_roc.unlearned"][at] == pytest.approx(ULiRA().score(evidence).estimates["ulira_tpr_1"].value, abs=1e-6)
    assert found["rmia_roc.unlearned"][at] == pytest.approx(RMIA().score(evidence).estimates["rmia_tpr_1"].value, abs=1e-6)


def test_every_curve_has_three_sides_and_one_grid(evidence: Evidence) -> None:
    population = Population.draw(20, seed=0)
    known = Curves().baseline(evidence.retrained, population.original()).details
    details = {**known, **Curves().score(evidence).details}
    for side in ("unlearned", "retrained", "original"):
        for split in ("forget", "test"):
            assert len(details[f"{split}_loss.{side}"]) == len(details["loss_edges"]) - 1
            assert sum(details[f"{split}_loss.{side}"]) == pytest.approx(1, abs=1e-4)
        if side != "original":  # one model has no distribution
            assert len(details[f"ulira_roc.{side}"]) == len(details["false_positive_rates"])
        assert details[f"rmia_roc.{side}"] == sorted(details[f"rmia_roc.{side}"])
    assert np.median(np.repeat(LOSS_EDGES[:-1], np.round(1000 * np.array(details["forget_loss.original"])).astype(int))) < 0.5


def test_histogram_keeps_what_is_beyond_its_edges() -> None:
    assert histogram([0.0, np.float64(1e30)]).sum() == 1
