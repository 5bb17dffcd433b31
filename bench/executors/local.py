"""Jobs on this machine: one single-threaded worker per core, or one per GPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any

from bench.engine.compute import compute
from bench.engine.contents import Contents
from bench.engine.executor import ExecutorFactory, Reached
from bench.engine.jobs import Job, Result
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
        self, jobs: Sequence[Job[Result]], *, at_once: int | None = None, reached: Reached[Result]
    ) -> Generator[tuple[Job[Result], Result | WorkerError], None, None]:
        """Results, or why there is none, as they come; whoever takes one may cancel before the next job begins."""
        waiting = self._waiting = deque(jobs)
        results = self._results = self._computed(waiting, at_once or self._workers, reached)
        return results

    def _computed(
        self, waiting: deque[Job[Result]], most: int, reached: Reached[Result]
    ) -> Generator[tuple[Job[Result], Result | WorkerError], None, None]:
        running: dict[Future[Result | WorkerError], Job[Result]] = {}
        with ThreadPoolExecutor(most) as pool:
            try:
                while waiting or running:
                    while waiting and len(running) < most:
                        job = waiting.popleft()
                        running[pool.submit(self._attempt, job, reached)] = job
                    future = next(as_completed(running))
                    yield running.pop(future), future.result()
            except BaseException:
                self._machine.stop()  # ends the waiting of the pool's threads
                raise

    def _attempt(self, job: Job[Result], reached: Reached[Result]) -> Result | WorkerError:
        try:
            return compute(job, self._machine, lambda share: reached(job, share))
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
