"""How the trials of one run are computed: by processes that serve this plugin only."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.arrays import Arrays
from bench.budget import PhaseClock, limit_seconds
from bench.engine.requests import SETUP_LIMIT
from bench.engine.session import Session
from bench.engine.worker.answers import PeakMemory
from bench.engine.worker.log import write_log
from bench.engine.worker.process import OnProgress, Reply, Worker
from bench.errors import WorkerError
from bench.outputs import Outputs, from_arrays
from bench.registry.discovery import Plugin
from bench.registry.specs import Spec
from bench.store.records import Failed, Killed, Measured, Timed

MOST_FAILURES = 3  # in a row, before the rest of a run is not tried


@dataclass(frozen=True)
class Work:
    """Which method's trials, and how: what a run's record fixes for all of them."""

    plugin: Plugin
    spec: Spec
    seed: int
    stackable: bool
    uses_clock: bool
    allowance: float  # seconds of one trial

    @property
    def at_once(self) -> int | None:
        """How many chunks may be computed at a time; None: as many as there are workers."""
        return 1 if self.uses_clock else None


@dataclass(frozen=True)
class Computed:
    """A chunk that finished."""

    outputs: Outputs
    measured: Measured
    wall_seconds: float


class FailureLimit:
    """Counts failed trials in a row."""

    def __init__(self, most: int = MOST_FAILURES) -> None:
        self.most, self._failures = most, 0

    @property
    def reached(self) -> bool:
        """Whether too many have failed."""
        return self._failures >= self.most

    def count(self, *, failed: bool) -> None:
        """A trial has ended."""
        self._failures = self._failures + 1 if failed else 0


class Trials:
    """Computes chunks and timed trials; every call of a method has a process of its own.

    Only on a CUDA device, where a process takes seconds to start, one process serves several chunks of a run.
    """

    def __init__(self, session: Session, original: Arrays, work: Work, log: Path) -> None:
        self._session, self._work, self._log = session, work, log
        self._original = {name: array[0:1] for name, array in original.items()}
        self._on_cpu = session.device.kind == "cpu"
        self._idle: list[Worker] = []

    def __enter__(self) -> Trials:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._idle:
            worker.close()

    def chunk(self, evaluator: Worker, trials: Sequence[int], reached: OnProgress, failures: FailureLimit) -> Computed | Failed:
        """What a chunk comes to: its outputs, or why it failed and how many trials finish alone.

        Raises:
            WorkerError: the evaluator died.
        """
        lock, stopped = self._session.device_lock, self._session.executor.stopped
        with lock.alone() if self._work.uses_clock else lock.shared():
            try:
                if stopped.is_set():
                    raise WorkerError("stopped", kind="died")
                computed = self._compute(evaluator, trials, reached)
            except WorkerError as problem:
                if not evaluator.alive:
                    raise  # not the method's fault
                self.log(problem)
                if len(trials) > 1 and problem.kind != "memory" and not stopped.is_set():
                    return self._blame(evaluator, trials, problem, failures)
                failures.count(failed=True)
                return Failed(trials=tuple(trials), failure=str(problem), kind=problem.kind)
            failures.count(failed=False)
            return computed

    def timed(self, trial: int) -> Timed | Killed:
        """Time a trial as a plain network with nothing else on the device; its model is thrown away.

        What a method takes beyond twice its budget is not waited for: it is over budget either way.

        Raises:
            WorkerError: it failed.
        """
        clock = PhaseClock()
        with self._session.device_lock.alone():
            clock.lap("io")
            try:
                with self._worker(fresh=True) as worker:
                    seconds = self._unlearn(worker, clock, [trial], lambda share: None, stacked=False)[1]
                    device, host = self._peak_memory(worker)
            except WorkerError as problem:
                if problem.kind != "time":
                    raise
                return Killed(trial=trial, seconds=limit_seconds(self._work.allowance), killed=str(problem))
        clock.lap("setup")
        return Timed(trial=trial, seconds=seconds, phases=clock.phases, peak_memory=device, peak_host_memory=host)

    def weights(self, trials: Sequence[int]) -> Arrays:
        """Weights of the unlearned models {name: [M, ...]}, which nobody evaluates.

        Raises:
            WorkerError: the trials failed.
        """
        with self._session.device_lock.shared(), self._worker() as worker:
            return self._unlearn(worker, PhaseClock(), trials, lambda share: None, stacked=self._work.stackable)[0]

    def log(self, problem: WorkerError) -> None:
        """Keep a child's traceback."""
        if problem.traceback:
            write_log(self._log, problem.traceback.encode(errors="replace"))

    def _compute(self, evaluator: Worker, trials: Sequence[int], reached: OnProgress) -> Computed:
        """Unlearn as a stack if the method allows it, evaluate in the trusted worker."""
        clock, start = PhaseClock(), time.monotonic()
        with self._worker() as worker:
            weights, _ = self._unlearn(worker, clock, trials, reached, stacked=self._work.stackable)
            device, host = self._peak_memory(worker)
        clock.lap("setup")
        outputs = from_arrays(evaluator.ask("evaluate", weights=weights).arrays)
        if len(outputs) != len(trials):
            raise WorkerError(f"the plugin's process answered {len(outputs)} models for {len(trials)} trials")
        clock.lap("eval")
        measured = Measured(phases=clock.phases, peak_memory=device, peak_host_memory=host)
        return Computed(outputs, measured, time.monotonic() - start)

    def _blame(self, evaluator: Worker, trials: Sequence[int], problem: WorkerError, failures: FailureLimit) -> Failed:
        """After a stack has failed, run its trials one by one; one that fails alone is to blame."""
        failed: dict[int, WorkerError] = {}
        finished = 0
        for trial in trials:
            if failures.reached or self._session.executor.stopped.is_set():
                break
            try:
                with self._worker() as worker:
                    weights, _ = self._unlearn(worker, PhaseClock(), [trial], lambda share: None, stacked=True)
                evaluator.ask("evaluate", weights=weights)
                finished += 1
                failures.count(failed=False)
            except WorkerError as own:
                failed[trial] = own
                failures.count(failed=True)
        if not failed:
            alone = " (each alone finishes)" if finished == len(trials) else ""
            failure = f"trials {trials[0]}-{trials[-1]}, stacked: {problem}{alone}"
            return Failed(trials=tuple(trials), failure=failure, kind=problem.kind)
        first, reason = next(iter(failed.items()))
        return Failed(trials=tuple(trials), failure=f"{reason} (trial {first})", kind=reason.kind, finished=finished)

    def _peak_memory(self, worker: Worker) -> tuple[int, int]:
        """Bytes of the device, as its allocator counts, or of the processes if the device is a CPU; and of the processes."""
        host = worker.peak_memory()
        device = host if self._on_cpu else worker.ask("peak_memory", limit=SETUP_LIMIT).read(PeakMemory).bytes
        return device, host

    @contextmanager
    def _worker(self, *, fresh: bool = False) -> Iterator[Worker]:
        reused = None if self._on_cpu or fresh or not self._idle else self._idle.pop()
        work = self._work
        worker = reused or self._session.method_worker(work.plugin, work.spec, self._original, log=self._log)
        try:
            yield worker
        except BaseException:
            worker.close()
            raise
        if self._on_cpu or fresh:
            worker.close()
        else:
            self._idle.append(worker)

    def _unlearn(
        self, worker: Worker, clock: PhaseClock, trials: Sequence[int], reached: OnProgress, *, stacked: bool
    ) -> tuple[Arrays, float]:
        """Weights of the unlearned models, and the seconds until they had arrived: to answer before that gains nothing."""
        allowance = self._work.allowance
        _beside(worker, "start", trials=list(trials), root=self._work.seed, allowance=allowance, stacked=stacked)
        clock.lap("setup")
        _beside(worker, "warm_up")
        clock.lap("warmup")
        start, limit = worker.clock(), limit_seconds(allowance, len(trials))
        worker.ask("unlearn", on_progress=reached, expected=allowance * len(trials), limit=limit)
        clock.lap("method")
        largest = 2**20 + 4 * len(trials) * sum(array.nbytes for array in self._original.values())
        arrays = _beside(worker, "weights", largest=largest).arrays
        seconds = max(0.0, worker.clock() - start)
        clock.lap("io")
        return arrays, seconds


def _beside(worker: Worker, operation: str, **arguments: Any) -> Reply:
    """Ask for what does not count against the budget; to be killed meanwhile is a failure, not a late trial."""
    try:
        return worker.ask(operation, limit=SETUP_LIMIT, **arguments)
    except WorkerError as problem:
        if problem.kind == "time":
            raise WorkerError(f"{operation}: {problem}", kind="died") from problem
        raise
