"""Jobs outlive the workers that are killed from outside."""

from __future__ import annotations

import pytest

from bench.errors import WorkerError
from bench.executors.local import LocalExecutor


class Mortal:
    """A worker that somebody may kill."""

    def __init__(self) -> None:
        self.alive = True

    def close(self) -> None:
        self.alive = False

    def die(self) -> None:
        self.alive = False
        raise WorkerError("the worker process died (signal 9)", kind="died")


@pytest.fixture
def started() -> list[Mortal]:
    return []


@pytest.fixture
def executor(started: list[Mortal]) -> LocalExecutor[Mortal]:
    def start() -> Mortal:
        started.append(Mortal())
        return started[-1]

    def end_all() -> None:
        for worker in started:
            worker.close()

    return LocalExecutor(start, workers=2, end_all=end_all)


def test_a_job_whose_worker_was_killed_is_tried_once_more(executor, started) -> None:
    tried = []

    def do(worker: Mortal, job: int) -> int:
        tried.append(job)
        if tried.count(3) == 1 and job == 3:
            worker.die()
        return job * 10

    assert dict(executor.map(range(5), do)) == {job: job * 10 for job in range(5)}
    assert tried.count(3) == 2
    assert len(started) == 3


def test_a_job_that_kills_every_worker_is_given_up(executor, started) -> None:
    done = dict(executor.map([1, 2], lambda worker, job: worker.die() if job == 1 else job))
    assert isinstance(done[1], WorkerError)
    assert done[2] == 2
    assert len(started) == 4


def test_an_error_is_not_tried_again(executor, started) -> None:
    def do(worker: Mortal, job: int) -> None:
        raise WorkerError("no luck")

    assert [str(result) for _, result in executor.map([1], do)] == ["no luck"]
    assert len(started) == 2


def test_whoever_stops_listening_ends_every_worker(executor, started) -> None:
    results = executor.map(range(5), lambda worker, job: job)
    next(results)
    results.close()
    assert executor.stopped.is_set()
    assert not any(worker.alive for worker in started)
