"""Budgets as typed."""

import pytest

from bench.budget import Budget, add_phases
from bench.errors import BenchError


def test_share_and_seconds() -> None:
    assert Budget.parse("20%").allowance(30.0).seconds == pytest.approx(6.0)
    assert Budget.parse("2.5s").allowance(30.0).seconds == 2.5
    assert str(Budget.parse(" 20.0% ")) == "20%"
    for text in ("33.3333333%", "1000000s", "0.5s"):
        assert str(Budget.parse(text)) == text


@pytest.mark.parametrize("text", ["", "20", "-5%", "0%", "0s", "20 %%", "1h", "nan%"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match="not understood"):
        Budget.parse(text)


def test_phases_add_up() -> None:
    assert add_phases([{"setup": 1.0}, {"setup": 0.5, "method": 2.0}]) == {
        "setup": 1.5,
        "warmup": 0,
        "method": 2.0,
        "eval": 0,
        "io": 0,
    }
