"""What a metric may declare."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.metrics.metric import LONGEST_TITLE, RESERVED_NAMES, Findings, Metric, Quantity, check_metric

FINE = Quantity("points", "points", "higher", 0, 10, "more is better")


def a_metric(**changes: object) -> Metric:
    class Points(Metric):
        """Points."""

        quantities = (replace(FINE, **changes),)
        source = pitfalls = "none"

        def score(self, evidence: object) -> Findings:
            return Findings()

    return Points()


@pytest.mark.parametrize(
    "changes",
    [{}, {"family": "runtime", "table": "evidence", "title": "p", "decimals": 0, "folded": True}, {"title": "t" * LONGEST_TITLE}],
)
def test_what_can_be_shown_is_taken(changes: dict) -> None:
    check_metric(a_metric(**changes))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "seed"}, "cannot be called 'seed'"),
        ({"name": "Points"}, "cannot be called 'Points'"),
        ({"name": "group.0"}, "cannot be called"),
        ({"name": ""}, "cannot be called"),
        ({"name": "a" * 61}, "cannot be called"),
        ({"name": 1}, "must be text"),
        ({"meaning": None}, "must be text"),
        ({"title": "t" * (LONGEST_TITLE + 1)}, "title of points has more than 20 characters"),
        ({"better": "sideways"}, "better of points must be one of 'higher', 'lower', 'as retrained'"),
        ({"family": "atack"}, "family of points must be one of"),
        ({"table": "board"}, "table of points must be one of '', 'results', 'evidence'"),
        ({"decimals": -1}, "decimals of points"),
        ({"decimals": 2.0}, "decimals of points"),
        ({"decimals": True}, "decimals of points"),
        ({"decimals": 10}, "decimals of points"),
    ],
)
def test_what_cannot_be_shown_is_refused(changes: dict, told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        check_metric(a_metric(**changes))


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_columns_of_tables_are_taken(name: str) -> None:
    with pytest.raises(ValueError, match="no column that tables have already"):
        check_metric(a_metric(name=name))
