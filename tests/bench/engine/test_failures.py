"""After some failures in a row a method is given up."""

from __future__ import annotations

from bench.engine.failures import MOST_FAILURES, FailureLimit


def test_failures_in_a_row_are_counted() -> None:
    failures = FailureLimit()
    for failed in [True] * (MOST_FAILURES - 1) + [False] + [True] * (MOST_FAILURES - 1):
        failures.count(failed=failed)
        assert not failures.reached
    assert failures.in_a_row == MOST_FAILURES - 1
    failures.count(failed=True)
    assert failures.reached
    failures.count(failed=False)
    assert not failures.reached
