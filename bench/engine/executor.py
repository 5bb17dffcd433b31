"""Where jobs are computed: what an executor must do. The executors themselves are plugins (`bench.executors`)."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Sequence
from dataclasses import fields
from typing import Protocol

from bench.engine.contents import Shelf
from bench.engine.jobs import Job, T
from bench.errors import BenchError, WorkerError
from bench.progress import Note
from bench.registry import discovery, loading

Reached = Callable[[Job[T], float], None]  # a job, and the share of it that is done
Printed = Callable[[Job[T], bytes], None]  # a job, and what its plugin has printed since


def unheard(job: object, text: bytes) -> None:
    """Where output goes that nobody asked for."""


class Executor(Protocol):
    """Computes jobs, wherever that is, by calling `bench.engine.compute.compute` there."""

    def submit(
        self, jobs: Sequence[Job[T]], *, at_once: int | None = None, reached: Reached[T], printed: Printed[T] = unheard
    ) -> Generator[tuple[Job[T], T | WorkerError], None, None]:
        """Every job with its result, or why there is none, as they come; `at_once` of them at a time, None: as many as it can.

        Before a result comes, `printed` has been handed all that the job's plugin printed; `reached` may be told how far it is.
        Whoever closes it before the end ends everything that is being computed; what is submitted next is computed all the same.
        """

    def cancel(self) -> None:
        """Jobs that have not begun are not computed, and nothing comes of them."""

    def close(self) -> None:
        """End everything that was started."""


# Makes an executor of: what jobs name by its hash, how many workers there may be, and whom to tell what users should know.
ExecutorFactory = Callable[[Shelf, int, Note], Executor]


def pickled(job: Job[T]) -> bytes:
    """A job to send to another process.

    Raises:
        BenchError: it cannot be pickled; the message names the field.
    """
    try:
        return pickle.dumps(job)
    except Exception as problem:  # pickle raises whatever the objects raise
        for field in fields(job):
            try:
                pickle.dumps(getattr(job, field.name))
            except Exception:
                raise BenchError(f"a job cannot be sent: {job.label}.{field.name} cannot be pickled ({problem})") from problem
        raise BenchError(f"a job cannot be sent: {job.label} cannot be pickled ({problem})") from problem


def find_executor(name: str) -> ExecutorFactory:
    """What makes the executor of that name.

    Raises:
        BenchError: there is none, and close names are suggested; or its package fails to import.
    """
    factory: ExecutorFactory = loading.load_executor(discovery.find(discovery.EXECUTORS, name, "executor"))
    return factory
