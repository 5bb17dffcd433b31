"""Children are watched from outside: time, memory, and what they leave behind."""

from __future__ import annotations

from collections.abc import Sequence

import psutil
import pytest

from bench.errors import WorkerError
from bench.store.fields import Record

pytestmark = pytest.mark.process  # every test here starts one

GIGABYTE = 10**9


class Children(Record, frozen=True, kw_only=True):
    """What `start_children` answers."""

    children: list[int]


@pytest.mark.parametrize("operation", ["spin", "sleep"])
def test_a_child_that_takes_too_long_is_killed(start, operation: str) -> None:
    worker = start()
    worker.ask("add", a=1, b=2)
    with pytest.raises(WorkerError, match=r"the limit is 0\.5 s") as caught:
        worker.ask(operation, seconds=100, limit=0.5)
    assert caught.value.kind == "time"
    assert not worker.alive


def test_a_limit_ends_with_its_question(start) -> None:
    worker = start()
    worker.ask("spin", seconds=0.1, limit=1.0)
    worker.ask("spin", seconds=1.2)


def test_a_child_that_takes_too_much_memory_is_killed(start) -> None:
    worker = start(memory_limit=GIGABYTE)
    worker.ask("hoard", size=GIGABYTE // 10)
    assert 0.1 * GIGABYTE < worker.peak_memory() < GIGABYTE
    with pytest.raises(WorkerError, match=r"limit is 1\.0 GB") as caught:
        worker.ask("hoard", size=GIGABYTE)
    assert caught.value.kind == "memory"


def test_descendants_end_with_the_child(start, until, ended) -> None:
    """Also those whose parents have ended: they fall to the child."""
    worker = start()
    parents = worker.ask("start_children").read(Children).children
    own = psutil.Process(worker._pid)
    until(lambda: len(_orphans(own, parents)) == 2)
    orphans = _orphans(own, parents)
    worker.close()
    ended(orphans)


def _orphans(child: psutil.Process, parents: Sequence[int]) -> list[psutil.Process]:
    """What fell to a child when its parents ended."""
    return [process for process in child.children() if process.pid not in parents]
