"""Budgets as typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.budget import PHASES, Allowance, Budget, PhaseClock, as_fits, limit_seconds
from bench.errors import BenchError


def test_share_and_seconds() -> None:
    assert Budget.parse("20%").allowance(30.0) == pytest.approx(6.0)
    assert Budget.parse("2.5s").allowance(30.0) == 2.5
    assert str(Budget.parse(" 20.0% ")) == "20%"
    for text in ("33.3333333%", "1000000s", "0.5s", "0.000001s"):
        assert str(Budget.parse(text)) == text


def test_what_is_a_share_whatever_a_machine_takes() -> None:
    assert Budget.parse("20%").as_share == Budget.parse("20%").share(7.0) == 0.2
    assert Budget.parse("2s").as_share is None
    assert Budget.parse("2s").share(8.0) == 0.25


@pytest.mark.parametrize(("usual", "share", "fitting"), [(2, 0.2, 2), (2, 0.6, 6), (2, 1.0, 10), (1.0, 0.05, 0.25)])
def test_how_much_fits_another_share(usual: float, share: float, fitting: float) -> None:
    assert as_fits(usual, share) == fitting


@pytest.mark.parametrize("text", ["", "20", "-5%", "0%", "0s", "20 %%", "1h", "nan%"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match="not understood"):
        Budget.parse(text)


def test_sweep() -> None:
    assert [str(budget) for budget in Budget.parse_sweep("5%, 10%,2.5s,5%")] == ["5%", "10%", "2.5s"]
    with pytest.raises(BenchError, match="not understood"):
        Budget.parse_sweep("5%,,10%")


def test_phases_add_up_to_wall_time() -> None:
    now = [100.0]
    clock = PhaseClock(lambda: now[0])
    for seconds, phase in ((1.0, "setup"), (2.0, "method"), (4.0, "eval"), (8.0, "method")):
        now[0] += seconds
        clock.lap(phase)
    now[0] += 16.0  # after the last lap
    assert clock.phases == {**dict.fromkeys(PHASES, 0.0), "setup": 1.0, "method": 10.0, "eval": 4.0}
    assert clock.seconds == 15.0


def test_only_methods_that_declare_it_read_the_clock() -> None:
    for read in (lambda: Allowance(1.0).remaining(), lambda: Allowance(1.0).seconds):
        with pytest.raises(RuntimeError, match="uses_clock = True; what a budget allows is known to its `within`"):
            read()
    assert Allowance(1.0, lambda: 0.0).seconds == 1.0


def test_allowance_counts_down_on_its_clock() -> None:
    now = [100.0]
    allowance = Allowance(2.0, lambda: now[0])
    assert (allowance.remaining(), allowance.expired) == (2.0, False)
    now[0] += 2.5
    assert (allowance.remaining(), allowance.expired) == (-0.5, True)


@given(st.floats(0.5, 100), st.lists(st.floats(0.01, 5), min_size=1, max_size=60), st.floats(0, 3))
def test_batches_stop_in_time_if_steps_do_not_grow(seconds: float, steps: list[float], reserve: float) -> None:
    """After the longest step has been seen, the reserve is kept, and no step is refused that would have fitted well."""
    steps = sorted(steps, reverse=True)
    now, done = [0.0], 0
    for step in Allowance(seconds, lambda: now[0]).in_time(steps, reserve):
        now[0] += step
        done += 1
    if done > 1:
        assert now[0] + reserve <= seconds
    if 0 < done < len(steps):
        assert now[0] + steps[0] + reserve >= 0.98 * seconds - 0.021


def test_limits_grow_with_the_stack() -> None:
    assert limit_seconds(1.5) == 8.0
    assert limit_seconds(1.5, models=8) == 64.0
