"""What a metric may declare."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bench.metrics.metric import Findings, Metric, Quantity, check_metric
from bench.metrics.quantity import LONGEST_NAME, LONGEST_TITLE, LONGEST_UNIT, RESERVED_NAMES

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
        ({"name": "a" * (LONGEST_NAME + 1)}, "60 at most"),
        ({"name": 1}, "name of a quantity must be text"),
        ({"meaning": None}, "meaning of a quantity must be text"),
        ({"title": "t" * (LONGEST_TITLE + 1)}, "title of points has more than 20 characters"),
        ({"title": "   "}, "title of points cannot be seen"),
        ({"title": "a\u202eb"}, "title of points cannot be seen"),
        ({"name": "a" * (LONGEST_TITLE + 1), "table": "evidence"}, "has more than 20 characters; give a shorter one"),
        ({"unit": "u" * (LONGEST_UNIT + 1)}, "unit of points has more than 40 characters"),
        ({"folded": "yes"}, "folded of points must be True or False"),
        ({"attack": 1}, "attack of points must be True or False"),
        ({"lowest": "a"}, "lowest and highest of points must be numbers"),
        ({"highest": True}, "lowest and highest of points must be numbers"),
        ({"lowest": math.nan}, "holds nothing"),
        ({"lowest": 11}, "the range of points, 11 to 10, holds nothing"),
        ({"table": "results"}, "its metric must be quick"),
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
    with pytest.raises(ValueError, match="tables have a column of that name"):
        check_metric(a_metric(name=name))
