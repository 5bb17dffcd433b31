"""Who belongs to a child; tests/faults/test_escapes.py has those who try to get away."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

import psutil
import pytest

from bench.engine.worker.family import Family
from bench.engine.worker.group import ControlGroup
from bench.engine.worker.process import Worker
from bench.store.fields import Record

pytestmark = pytest.mark.process  # every test here starts one


class Children(Record, frozen=True, kw_only=True):
    """What `cut_loose` answers."""

    children: list[int]


@pytest.fixture(params=["group", "descent"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a control group, where there are some, and as where there are none."""
    if request.param == "descent":
        monkeypatch.setattr(ControlGroup, "around", lambda pid: None)


def test_one_that_is_cut_loose_is_found_charged_and_ended(start, ended) -> None:
    worker = start()
    worker.ask("add", a=1, b=2)
    before = worker.clock()
    (pid,) = worker.ask("cut_loose", seconds=0.3).read(Children).children
    family = worker._watch.family
    family.look()
    (stray,) = [process for process in family.others() if process.pid == pid]
    assert worker.clock() - before >= 0.28  # clocks count in ticks
    worker.close()
    ended([stray])


def test_nobody_knows_whose_it_is_while_two_are_watched(start, ended) -> None:
    """Whoever did not start it is not charged; it ends with the last of them, whoever that is."""
    one, other = start(), start()
    other.ask("add", a=1, b=2)
    before = other._watch.family.cpu_seconds()
    (pid,) = one.ask("cut_loose", seconds=0.3).read(Children).children
    other._watch.family.look()
    assert pid not in [process.pid for process in other._watch.family.others()]
    assert other._watch.family.cpu_seconds() - before < 0.25
    stray = psutil.Process(pid)
    one.close()
    before = other._watch.family.cpu_seconds()
    other.close()
    ended([stray])
    assert other._watch.family._most - before < 0.25


def test_whom_somebody_has_stopped_goes_on(start) -> None:
    worker = start()
    worker.ask("add", a=1, b=2)
    worker._watch.family.child.suspend()
    worker.ask("add", a=1, b=2)


def test_families_are_forgotten(start) -> None:
    worker = start()
    assert worker._watch.family in Family._living
    worker.close()
    assert worker._watch.family not in Family._living
    assert worker._watch.family.bereaved


def test_only_the_server_adopts_orphans() -> None:
    """Whoever imports all modules, for their documentation say, does not."""
    code = """
import ctypes, bench.engine.worker.reaper
adopts = ctypes.c_int()
ctypes.CDLL(None).prctl(37, ctypes.byref(adopts))
print(adopts.value)
"""
    for environment, expected in (({}, "0\n"), ({"BENCH_SERVER": "bench"}, "1\n")):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
        assert done.stdout == expected


def test_processes_that_others_start_with_a_server_are_left_alone(start) -> None:
    """A pool of the user's own, say."""
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        start().close()
        worker = start()
        worker.ask("add", a=1, b=2)
        assert pool.map(abs, [-1, 2]) == [1, 2]
        assert worker._watch.family.others() == []


def test_a_number_that_another_process_has_by_now_is_left_alone(start) -> None:
    """Numbers come again after a while."""
    worker = start()
    worker.ask("add", a=1, b=2)
    worker.close()
    family = worker._watch.family
    assert family.bereaved
    family.child._pid = os.getpid()  # as psutil has seen the child end, it does not compare any more
    family._closed = False
    family.end()
    Worker.end_all()
