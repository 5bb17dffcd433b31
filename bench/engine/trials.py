"""How the trials of one run are computed: by processes that serve this plugin only."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bench.budget import PhaseClock, limit_seconds
from bench.engine.log import write_log
from bench.engine.process import Arrays, OnProgress, Reply, Worker
from bench.engine.session import Session
from bench.errors import WorkerError
from bench.outputs import from_arrays
from bench.store import Record, write_bytes

if TYPE_CHECKING:
    from bench.engine.runs import Request

SETUP_LIMIT = 60.0  # seconds for what does not count against the budget: importing the plugin, handing the model over
MOST_FAILURES = 3  # in a row, before the rest of a run is not tried


class Streak:
    """Counts failed trials in a row."""

    def __init__(self, most: int = MOST_FAILURES) -> None:
        self.most, self._failures = most, 0

    @property
    def broken(self) -> bool:
        """Whether too many have failed."""
        return self._failures >= self.most

    def count(self, *, failed: bool) -> None:
        """A trial has ended."""
        self._failures = self._failures + 1 if failed else 0


class Trials:
    """Computes chunks and solo trials; every call of a method has a process of its own.

    Only on a CUDA device, where a process takes seconds to start, one process serves several chunks of a run.
    """

    def __init__(self, session: Session, original: Arrays, request: Request, record: Record, folder: Path) -> None:
        self._session, self._request, self._folder = session, request, folder
        self._original = {name: array[0:1] for name, array in original.items()}
        self._stackable, self._uses_clock = bool(record["method"]["stackable"]), bool(record["method"].get("uses_clock"))
        self._allowance = float(record["allowance_seconds"])
        self._on_cpu = session.device.kind == "cpu"
        self._idle: list[Worker] = []

    def __enter__(self) -> Trials:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._idle:
            worker.close()

    def chunk(self, evaluator: Worker, trials: Sequence[int], reached: OnProgress, streak: Streak) -> Record:
        """What the record keeps of a chunk: its file of outputs, or why it failed and how many trials finish alone.

        Raises:
            WorkerError: the evaluator died.
        """
        with self._session.device_lock.alone() if self._uses_clock else self._session.device_lock.shared():
            start = time.monotonic()
            try:
                if self._session.executor.stopped.is_set():
                    raise WorkerError("stopped", kind="died")
                done = self._compute(evaluator, trials, reached)
                streak.count(failed=False)
                return {**done, "wall_seconds": time.monotonic() - start}
            except WorkerError as problem:
                if not evaluator.alive:
                    raise  # not the method's fault
                self.log(problem)
                if len(trials) > 1 and problem.kind != "memory" and not self._session.executor.stopped.is_set():
                    return self._blame(evaluator, trials, problem, streak)
                streak.count(failed=True)
                return {"failure": str(problem), "kind": problem.kind}

    def solo(self, trial: int) -> Record:
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
                    peaks = self._peaks(worker)
            except WorkerError as problem:
                if problem.kind != "time":
                    raise
                return {"trial": trial, "seconds": limit_seconds(self._allowance), "killed": str(problem)}
        clock.lap("setup")
        return {"trial": trial, "seconds": seconds, "phases": clock.phases, **peaks}

    def weights(self, trials: Sequence[int]) -> Arrays:
        """Weights of the unlearned models {name: [M, ...]}, which nobody evaluates.

        Raises:
            WorkerError: the trials failed.
        """
        with self._session.device_lock.shared(), self._worker() as worker:
            return self._unlearn(worker, PhaseClock(), trials, lambda share: None, stacked=self._stackable)[0]

    def log(self, problem: WorkerError) -> None:
        """Keep a child's traceback."""
        if problem.traceback:
            write_log(self._folder / "log.txt", problem.traceback.encode(errors="replace"))

    def _compute(self, evaluator: Worker, trials: Sequence[int], reached: OnProgress) -> Record:
        """Unlearn as a stack if the method allows it, evaluate in the trusted worker, store."""
        clock = PhaseClock()
        with self._worker() as worker:
            weights, _ = self._unlearn(worker, clock, trials, reached, stacked=self._stackable)
            peaks = self._peaks(worker)
        clock.lap("setup")
        outputs = from_arrays(evaluator.ask("evaluate", weights=weights).arrays)
        if len(outputs) != len(trials):
            raise WorkerError(f"the plugin's process answered {len(outputs)} models for {len(trials)} trials")
        clock.lap("eval")
        name = f"outputs-{trials[0]:04d}.npz"
        sha256 = write_bytes(self._folder / name, outputs.to_npz())
        clock.lap("io")
        return {"file": name, "sha256": sha256, "phases": clock.phases, **peaks}

    def _blame(self, evaluator: Worker, trials: Sequence[int], problem: WorkerError, streak: Streak) -> Record:
        """After a stack has failed, run its trials one by one; one that fails alone is to blame."""
        failures: dict[int, WorkerError] = {}
        finished = 0
        for trial in trials:
            if streak.broken or self._session.executor.stopped.is_set():
                break
            try:
                clock = PhaseClock()
                with self._worker() as worker:
                    weights, _ = self._unlearn(worker, clock, [trial], lambda share: None, stacked=True)
                evaluator.ask("evaluate", weights=weights)
                finished += 1
                streak.count(failed=False)
            except WorkerError as own:
                failures[trial] = own
                streak.count(failed=True)
        if not failures:
            alone = " (each alone finishes)" if finished == len(trials) else ""
            return {"failure": f"trials {trials[0]}-{trials[-1]}, stacked: {problem}{alone}", "kind": problem.kind}
        first, reason = next(iter(failures.items()))
        return {"failure": f"{reason} (trial {first})", "kind": reason.kind, "finished": finished}

    def _peaks(self, worker: Worker) -> Record:
        """Bytes; `peak_memory` is that of the device, as its allocator counts, or of the processes if the device is a CPU."""
        host = worker.peak_memory()
        device = host if self._on_cpu else int(worker.ask("peak_memory", limit=SETUP_LIMIT).values["bytes"])
        return {"peak_memory": device, "peak_host_memory": host}

    @contextmanager
    def _worker(self, *, fresh: bool = False) -> Iterator[Worker]:
        reused = None if self._on_cpu or fresh or not self._idle else self._idle.pop()
        worker = reused or self._session.method_worker(
            self._request.plugin, self._request.spec, self._original, log=self._folder / "log.txt"
        )
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
        given = {"trials": list(trials), "root": self._request.seed, "allowance": self._allowance, "stacked": stacked}
        _beside(worker, "start", **given)
        clock.lap("setup")
        _beside(worker, "warm_up")
        clock.lap("warmup")
        start, limit = worker.clock(), limit_seconds(self._allowance, len(trials))
        worker.ask("unlearn", on_progress=reached, expected=self._allowance * len(trials), limit=limit)
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
