"""How busy others keep the machine: what this process and its children use does not count."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest

from bench.engine import neighbours
from bench.engine.neighbours import Neighbours

used_by_others = neighbours._used_by_others  # in whose place all other tests have nobody


class Accounts:
    """CPU times of the machine, and of the processes of this command, as a test sets them."""

    def __init__(self) -> None:
        self.clock = 100.0
        self.machine = {"user": 50.0, "system": 10.0, "idle": 900.0, "iowait": 5.0, "steal": 0.0, "guest": 20.0}
        self.ours = {"here": [5.0, 1.0, 0.0, 0.0, 0.0], "below": [2.0, 0.0, 1.0, 0.0, 0.0]}

    def of_machine(self) -> tuple[float, ...]:
        kind = type("Times", (tuple,), {name: property(lambda self, value=value: value) for name, value in self.machine.items()})
        return kind(self.machine.values())

    def process(self) -> SimpleNamespace:
        below = [SimpleNamespace(cpu_times=lambda: self.ours["below"]), SimpleNamespace(cpu_times=self._gone)]
        return SimpleNamespace(cpu_times=lambda: self.ours["here"], children=lambda recursive: below)

    def _gone(self) -> None:
        raise psutil.NoSuchProcess(1)


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> Accounts:
    made = Accounts()
    monkeypatch.setattr(neighbours, "_used_by_others", used_by_others)
    monkeypatch.setattr(neighbours.psutil, "cpu_times", made.of_machine)
    monkeypatch.setattr(neighbours.psutil, "Process", made.process)
    monkeypatch.setattr(neighbours, "time", SimpleNamespace(monotonic=lambda: made.clock))
    monkeypatch.setattr(neighbours.os, "cpu_count", lambda: 2)
    return made


def test_nobody_else(accounts: Accounts) -> None:
    seen = Neighbours()
    accounts.clock += 10
    accounts.machine["user"] += 8
    accounts.ours["here"][0] += 5
    accounts.ours["below"][2] += 3  # of somebody it has waited for
    accounts.machine["idle"] += 12
    accounts.machine["iowait"] += 7
    assert seen.share() == 0.0
    assert seen.warning() == ""


@pytest.mark.parametrize("kind", ["user", "system", "steal"])
def test_others_are_those_that_are_not_ours(accounts: Accounts, kind: str) -> None:
    seen = Neighbours()
    accounts.clock += 10
    accounts.machine[kind] += 15
    accounts.ours["here"][1] += 1
    assert seen.share() == pytest.approx(0.7)  # of two cores for ten seconds
    assert seen.warning() == "other processes take 70 % of the processor"


def test_guests_are_users_already(accounts: Accounts) -> None:
    seen = Neighbours()
    accounts.clock += 10
    accounts.machine["user"] += 4
    accounts.machine["guest"] += 4
    assert seen.share() == pytest.approx(0.2)


def test_it_is_a_share(accounts: Accounts) -> None:
    seen = Neighbours()
    assert seen.share() == 0.0  # no time has passed
    accounts.clock += 1
    accounts.ours["here"][0] += 1
    assert seen.share() == 0.0
    accounts.machine["user"] += 9
    assert seen.share() == 1.0
