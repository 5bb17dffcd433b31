"""Children are watched from outside: time, memory, what they print, and their end."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from bench.engine.log import LARGEST, write_log
from bench.engine.process import Worker, context
from bench.errors import WorkerError

GIGABYTE = 10**9


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))  # which children inherit
    from duties import child

    workers = []

    def new(**arguments) -> Worker:
        workers.append(Worker(context("cpu"), child, **{"memory_limit": 2 * GIGABYTE, **arguments}))
        return workers[-1]

    yield new
    for worker in workers:
        worker.close()


def test_answers(start) -> None:
    worker = start()
    assert worker.ask("add", a=1, b=2).values == {"sum": 3}
    with pytest.raises(WorkerError, match="KeyError"):
        worker.ask("no such thing")
    assert worker.ask("add", a=1, b=2).values == {"sum": 3}


def test_cpu_time_is_charged_and_sleep_is_not(start) -> None:
    worker = start()
    worker.ask("add", a=1, b=2)
    before = worker.clock()
    worker.ask("spin", seconds=0.3)
    spun = worker.clock()
    worker.ask("sleep", seconds=0.3)
    assert 0.28 <= spun - before <= 0.4
    assert worker.clock() - spun <= 0.05


@pytest.mark.parametrize(("duty", "wall"), [("spin", 0.5), ("sleep", 1.5)])
def test_a_child_that_takes_too_long_is_killed(start, duty: str, wall: float) -> None:
    worker = start()
    worker.ask("add", a=1, b=2)
    begin = time.monotonic()
    with pytest.raises(WorkerError, match=r"the limit is 0\.5 s") as caught:
        worker.ask(duty, seconds=100, limit=0.5)
    assert caught.value.kind == "time"
    assert time.monotonic() - begin >= wall
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


def test_death_is_told(start) -> None:
    worker = start()
    with pytest.raises(WorkerError, match=r"ended \(exit code 3\)") as caught:
        worker.ask("leave")
    assert caught.value.kind == "died"


def test_a_child_that_dies_and_leaves_one_with_its_pipe_is_dead(start) -> None:
    worker = start()
    worker.ask("add", a=1, b=2)
    begin = time.monotonic()
    with pytest.raises(WorkerError, match="exit code 3"):
        worker.ask("leave_a_child", limit=100.0)
    assert time.monotonic() - begin < 10


def test_descendants_end_with_the_child(start) -> None:
    worker = start()
    worker.ask("start_children")
    time.sleep(0.3)
    (own,) = [process for process in psutil.Process().children(recursive=True) if process.pid == worker._pid]
    family = own.children(recursive=True)
    assert len([process for process in family if process.status() != psutil.STATUS_ZOMBIE]) == 2
    worker.close()
    _, alive = psutil.wait_procs(family, timeout=3)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def test_output_goes_to_the_log_and_is_bounded(start, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    worker = start(log=log)
    worker.ask("shout", lines=6000)
    worker.ask("add", a=1, b=2)
    deadline = time.monotonic() + 5
    while log.stat().st_size < LARGEST and time.monotonic() < deadline:
        time.sleep(0.05)
    text = log.read_text()
    assert text.startswith("0 xxx")
    assert LARGEST <= len(text) < LARGEST + 1000
    assert text.endswith("(the rest is left out)\n")


def test_a_log_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    write_log(tmp_path / "no such folder" / "log.txt", b"words")
