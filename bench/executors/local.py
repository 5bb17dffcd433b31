"""Jobs on this machine: one single-threaded worker per core, or one per GPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from functools import partial
from typing import Any

from bench.engine.compute import compute
from bench.engine.contents import Contents
from bench.engine.executor import ExecutorFactory, Printed, Reached, unheard
from bench.engine.jobs import Job, T
from bench.engine.machine import Machine
from bench.errors import WorkerError
from bench.hookspecs import hookimpl
from bench.progress import Note


class LocalExecutor:
    """Threads that wait for child processes; each is busy with one job at a time."""

    def __init__(self, contents: Contents, workers: int, note: Note) -> None:
        self._machine, self._workers = Machine(contents, note), workers
        self._waiting: deque[Any] = deque()
        self._results: Generator[Any, None, None] | None = None

    def submit(
        self, jobs: Sequence[Job[T]], *, at_once: int | None = None, reached: Reached[T], printed: Printed[T] = unheard
    ) -> Generator[tuple[Job[T], T | WorkerError], None, None]:
        """Results, or why there is none, as they come; whoever takes one may cancel before the next job begins."""
        if self._results:
            self._results.close()  # nobody waits for those any more
        self._machine.stopped.clear()
        waiting = self._waiting = deque(jobs)
        results = self._results = self._computed(waiting, at_once or self._workers, partial(self._attempt, reached, printed))
        return results

    def _computed(
        self, waiting: deque[Job[T]], most: int, attempt: Callable[[Job[T]], T | WorkerError]
    ) -> Generator[tuple[Job[T], T | WorkerError], None, None]:
        running: dict[Future[T | WorkerError], Job[T]] = {}
        with ThreadPoolExecutor(most) as pool:
            try:
                while waiting or running:
                    while waiting and len(running) < most:
                        job = waiting.popleft()
                        running[pool.submit(attempt, job)] = job
                    future = next(as_completed(running))
                    yield running.pop(future), future.result()
            except BaseException:
                self._machine.stop()  # ends the waiting of the pool's threads
                raise

    def _attempt(self, reached: Reached[T], printed: Printed[T], job: Job[T]) -> T | WorkerError:
        try:
            return compute(job, self._machine, partial(reached, job), partial(printed, job))
        except WorkerError as problem:
            return problem

    def cancel(self) -> None:
        """Jobs that have not begun are not computed."""
        self._waiting.clear()

    def close(self) -> None:
        """End all workers, also those that are still busy because nobody has taken all results."""
        if self._results:
            self._results.close()
        self._machine.close()


@hookimpl
def register_executors(register: Callable[[ExecutorFactory], None]) -> None:
    """Register the executor that needs nothing but this machine."""
    register(LocalExecutor)
