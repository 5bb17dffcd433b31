"""Jobs on this machine: results as they come, and nothing that outlives whoever wanted them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.engine.contents import Shelf
from bench.engine.executor import find_executor
from bench.engine.jobs import Job, Setting, TrainOnShares, TrainRetrained
from bench.engine.machine import Machine
from bench.engine.worker.process import Worker
from bench.errors import BenchError, WorkerError
from bench.executors import local
from bench.executors.local import LocalExecutor
from bench.models.networks import recipe_for
from bench.outputs import OUTPUT_SPLITS
from bench.tasks.task import SPLITS, TaskData

Start = Callable[[int], LocalExecutor]


def ignore(job: Job[Any], share: float) -> None:
    """Nobody wants to know how far a job is."""


def setting(epochs: int, data: str = "") -> Setting:
    recipe = replace(recipe_for("resnet8-v1"), epochs=epochs, batch_size=16)
    return Setting("resnet8-v1", 4, recipe, "cpu", "cpu", data)


def retrained(*indices: int) -> TrainRetrained:
    return TrainRetrained(setting(1), indices)


@pytest.fixture
def start() -> Iterator[Start]:
    """Makes an executor with so many workers, which is closed with the test."""
    made: list[LocalExecutor] = []

    def new(workers: int) -> LocalExecutor:
        made.append(LocalExecutor(Shelf(), workers, lambda text: None))
        return made[-1]

    yield new
    for executor in made:
        executor.close()


@pytest.fixture
def computes(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Has jobs computed by a function of the job and the machine."""

    def use(compute: Callable[[Job[Any], Machine], Any]) -> None:
        monkeypatch.setattr(local, "compute", lambda job, machine, reached, printed: (reached(0.5), compute(job, machine))[1])

    return use


def test_it_is_what_local_means() -> None:
    assert find_executor("local") is LocalExecutor


def test_results_come_as_soon_as_they_are_there(start: Start, computes) -> None:
    """The first job waits for the second one's result to have arrived."""
    arrived = threading.Event()

    def compute(job: TrainRetrained, machine: Machine) -> str:
        assert job.indices != (1,) or arrived.wait()
        return f"model {job.indices[0]}"

    computes(compute)
    jobs, seen = [retrained(1), retrained(2)], []
    told: list[tuple[Job[Any], float]] = []
    for job, result in start(2).submit(jobs, reached=lambda job, share: told.append((job, share))):
        seen.append((job, result))
        arrived.set()
    assert seen == [(jobs[1], "model 2"), (jobs[0], "model 1")]
    assert sorted(told, key=lambda each: each[0].indices) == [(jobs[0], 0.5), (jobs[1], 0.5)]


def test_why_there_is_no_result_comes_in_its_place(start: Start, computes) -> None:
    def compute(job: TrainRetrained, machine: Machine) -> str:
        if job.indices == (2,):
            raise WorkerError("no luck")
        return "well"

    computes(compute)
    results = [(job.indices[0], str(result)) for job, result in start(1).submit([*map(retrained, range(4))], reached=ignore)]
    assert results == [(0, "well"), (1, "well"), (2, "no luck"), (3, "well")]


@pytest.mark.parametrize(("workers", "at_once", "most"), [(3, None, 3), (3, 1, 1), (3, 2, 2), (1, None, 1)])
def test_so_many_jobs_are_computed_at_a_time(start: Start, computes, workers: int, at_once: int | None, most: int) -> None:
    """The first ones wait for each other, so that fewer would never end; one more would be seen."""
    together, guard = threading.Barrier(most), threading.Lock()
    running, largest = 0, 0

    def compute(job: TrainRetrained, machine: Machine) -> None:
        nonlocal running, largest
        with guard:
            running += 1
            largest = max(largest, running)
        if job.indices[0] < most:
            together.wait()
        with guard:
            running -= 1

    computes(compute)
    done = list(start(workers).submit([retrained(index) for index in range(9)], at_once=at_once, reached=ignore))
    assert len(done) == 9
    assert largest == most


def test_jobs_that_have_not_begun_when_all_is_cancelled_are_left_out(start: Start, computes) -> None:
    """Whoever takes a result decides before the next job begins: how many are computed does not depend on who is faster."""
    begun = []
    computes(lambda job, machine: begun.append(job.indices[0]))
    executor, seen = start(1), []
    for job, _ in executor.submit([retrained(index) for index in range(9)], reached=ignore):
        seen.append(job.indices[0])
        if job.indices[0] == 3:
            executor.cancel()
    assert seen == begun == [0, 1, 2, 3]
    assert len(list(executor.submit([retrained(0), retrained(1)], reached=ignore))) == 2  # of another time


def test_jobs_that_have_begun_when_all_is_cancelled_are_ended(start: Start, computes) -> None:
    cancelled, begun = threading.Event(), threading.Barrier(2)

    def compute(job: TrainRetrained, machine: Machine) -> None:
        if job.indices[0] < 2:
            begun.wait()
        assert job.indices != (1,) or cancelled.wait()

    computes(compute)
    executor, seen = start(2), []
    for job, _ in executor.submit([retrained(index) for index in range(9)], reached=ignore):
        seen.append(job.indices[0])
        executor.cancel()
        cancelled.set()
    assert seen == [0, 1]


def test_what_is_no_workers_failure_ends_all(start: Start, computes) -> None:
    """The second job would wait for ever if nobody told it to stop."""
    begun = threading.Event()

    def compute(job: TrainRetrained, machine: Machine) -> None:
        if job.indices == (0,):
            assert begun.wait()
            raise BenchError("the task's data are not what their name says")
        begun.set()
        assert machine.stopped.wait()

    computes(compute)
    with pytest.raises(BenchError, match="not what their name says"):
        list(start(2).submit([retrained(0), retrained(1)], reached=ignore))


def test_results_that_nobody_asks_for_are_not_computed(start: Start, computes) -> None:
    begun: list[Job[Any]] = []
    computes(lambda job, machine: begun.append(job))
    executor = start(1)
    executor.submit([retrained(0)], reached=ignore)
    executor.close()
    assert begun == []


class Children:
    """An executor with real workers that train on a few pictures, and who they are."""

    def __init__(self) -> None:
        rows = {name: np.arange(24) + 24 * index for index, name in enumerate(SPLITS)}
        count = 24 * len(SPLITS)
        pixels = np.random.default_rng(0).integers(256, size=(count, 3, 32, 32), dtype=np.uint8)
        data = TaskData(pixels, np.arange(count) % 4, np.zeros(count, np.int64), rows)
        shelf = Shelf()
        digest = shelf.put_data(data.digest(), lambda: data)
        self.executor = LocalExecutor(shelf, 2, lambda text: None)
        self.short, self.endless = setting(9, digest), setting(10**6, digest)
        self._before = set(Worker._living)

    def living(self) -> list[int]:
        """Processes of this test that have not ended."""
        return [worker._pid for worker in set(Worker._living) - self._before if worker.alive]

    def when_stopped(self, then: Callable[[], None]) -> None:
        """Have something done once everything has been told to end."""
        stop = self.executor._machine.stop

        def stop_and_tell() -> None:
            stop()
            then()

        self.executor._machine.stop = stop_and_tell

    def have_ended(self) -> bool:
        """Whether no process is left: the kernel takes its time to end one that was killed."""
        return not self.living()


@pytest.fixture
def children(until) -> Iterator[Children]:
    made = Children()
    yield made
    made.executor.close()
    until(made.have_ended)


@pytest.mark.process
def test_trusted_workers_train_and_are_kept_until_the_end(children: Children) -> None:
    first = [TrainRetrained(children.short, (index,)) for index in range(3)]
    results = dict(children.executor.submit(first, reached=ignore))
    assert [len(results[job]) for job in first] == [1, 1, 1]
    assert set(results[first[0]].logits) == set(OUTPUT_SPLITS)
    kept = set(children.living())
    assert 1 <= len(kept) <= 2
    ((_, again),) = children.executor.submit([first[0]], reached=ignore)
    assert again.digest() == results[first[0]].digest()
    assert set(children.living()) == kept


@pytest.mark.process
def test_a_job_whose_worker_was_killed_is_tried_once_more(children: Children) -> None:
    killed = []

    def kill(job: Job[Any], share: float) -> None:
        if not killed:
            killed.extend(children.living())
            os.kill(killed[0], signal.SIGKILL)

    job = TrainRetrained(children.short, (0,))
    ((_, result),) = children.executor.submit([job], reached=kill)
    ((_, undisturbed),) = children.executor.submit([job], reached=ignore)
    assert result.digest() == undisturbed.digest()
    (successor,) = children.living()
    assert killed != [successor]


@pytest.mark.process
def test_a_job_whose_worker_is_killed_every_time_is_given_up(children: Children) -> None:
    killed = []

    def kill(job: Job[Any], share: float) -> None:
        for process in children.living():
            killed.append(process)
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    ((_, result),) = children.executor.submit([TrainRetrained(children.endless, (0,))], reached=kill)
    assert isinstance(result, WorkerError)
    assert "died (signal 9)" in str(result)
    assert len(set(killed)) == 2


def _interrupt_until(heard: threading.Event, thread: int) -> None:
    """As somebody at a keyboard does: Python loses an interruption that comes while it looks for garbage."""
    while not heard.is_set():
        signal.pthread_kill(thread, signal.SIGINT)
        heard.wait(30)


def _interrupt(results: Iterator[Any]) -> None:
    next(results)
    raise KeyboardInterrupt


@pytest.mark.process
def test_whoever_stops_listening_ends_every_worker(until, children: Children) -> None:
    jobs = [TrainRetrained(children.short, (0,)), TrainRetrained(children.endless, (1,)), TrainRetrained(children.endless, (2,))]
    results = children.executor.submit(jobs, reached=ignore)
    assert next(results)[0] is jobs[0]
    assert children.living()
    results.close()
    until(children.have_ended)


@pytest.mark.process
def test_an_interrupted_command_ends_every_worker_when_its_block_ends(until, children: Children) -> None:
    """Even if somebody still holds the results that nobody will take."""
    jobs = [TrainRetrained(children.short, (0,)), TrainRetrained(children.endless, (1,))]
    results = children.executor.submit(jobs, reached=ignore)
    with pytest.raises(KeyboardInterrupt):
        _interrupt(results)
    children.executor.close()
    until(children.have_ended)
    assert list(results) == []


@pytest.mark.process
def test_an_interruption_while_nothing_has_come_yet_ends_every_worker(until, children: Children) -> None:
    """It comes as a signal, as Ctrl-C does, while the main thread waits for the first result."""
    jobs = [TrainRetrained(children.endless, (index,)) for index in range(3)]
    main = threading.main_thread().ident
    assert main is not None

    def interrupt(job: Job[Any], share: float) -> None:
        if not interrupted.is_set():
            interrupted.set()
            interruption.start()

    interrupted, done = threading.Event(), threading.Event()
    interruption = threading.Thread(target=_interrupt_until, args=(done, main))
    children.when_stopped(done.set)
    with pytest.raises(KeyboardInterrupt):
        list(children.executor.submit(jobs, reached=interrupt))
    interruption.join()
    until(children.have_ended)


def test_an_interruption_while_workers_are_starting_ends_them_too(
    until, children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take a while: somebody who has mistyped a command interrupts it in its first second."""
    starting, goes_on = threading.Event(), threading.Event()
    data = children.executor._machine.contents.data

    def load(digest: str) -> TaskData:
        starting.set()
        assert goes_on.wait()
        return data(digest)

    monkeypatch.setattr(children.executor._machine, "_data", load)
    children.when_stopped(goes_on.set)
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        assert starting.wait()
        _interrupt_until(goes_on, main)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        list(children.executor.submit([TrainOnShares(children.endless, (0,), 0.7)], reached=ignore))
    thread.join()
    until(children.have_ended)


def test_what_is_submitted_after_an_early_end_is_computed_all_the_same(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        local, "compute", lambda job, machine, reached, printed: "stopped" if machine.stopped.is_set() else job.indices
    )
    executor = start(2)
    first = executor.submit([retrained(index) for index in range(4)], reached=ignore)
    next(first)
    first.close()
    assert {result for _, result in executor.submit([retrained(7), retrained(8)], reached=ignore)} == {(7,), (8,)}
