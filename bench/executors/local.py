"""One single-threaded worker per core, or one per GPU."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar

from bench.errors import WorkerError


class Worker(Protocol):
    """What this executor must know of a worker."""

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""

    def close(self) -> None:
        """End it."""


W = TypeVar("W", bound=Worker)
Job = TypeVar("Job")
Result = TypeVar("Result")


def default_workers(device_kind: str) -> int:
    """One per core this process may use; on a GPU one, since two would share it."""
    return len(os.sched_getaffinity(0)) if device_kind == "cpu" and hasattr(os, "sched_getaffinity") else 1


class LocalExecutor(Generic[W]):
    """Trusted workers that take jobs in turn. Each is busy with one job at a time.

    `start` makes a worker; `end_all` ends every child of this process, whoever waits for it.
    """

    def __init__(self, start: Callable[[], W], workers: int, end_all: Callable[[], None]) -> None:
        self._start, self._end_all = start, end_all
        self.stopped = threading.Event()  # set when the command ends before its jobs do
        self._workers = [start() for _ in range(workers)]

    def map(
        self, jobs: Sequence[Job], do: Callable[[W, Job], Result], *, at_once: int | None = None
    ) -> Iterator[tuple[Job, Result | WorkerError]]:
        """Do every job with some worker, `at_once` of them at a time; results, or why there is none, as they come."""
        idle: SimpleQueue[W] = SimpleQueue()
        for worker in self._workers:
            idle.put(worker)

        def attempt(job: Job) -> Result | WorkerError:
            worker = idle.get()
            try:
                return do(worker, job)
            except WorkerError as problem:
                if worker.alive or self.stopped.is_set():
                    return problem
                worker = self._replace(worker)  # somebody killed it: the job is tried once more
                try:
                    return do(worker, job)
                except WorkerError as again:
                    return again
            finally:
                idle.put(worker if worker.alive or self.stopped.is_set() else self._replace(worker))

        with ThreadPoolExecutor(at_once or len(self._workers)) as pool:
            futures = {pool.submit(attempt, job): job for job in jobs}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.stopped.set()
                self._end_all()  # ends the waiting of the pool's threads
                raise

    def first(self, do: Callable[[W], Result]) -> Result:
        """Do one thing while every other worker is idle."""
        return do(self._workers[0])

    def _replace(self, dead: W) -> W:
        dead.close()
        successor = self._start()
        self._workers[self._workers.index(dead)] = successor
        return successor

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.close()
