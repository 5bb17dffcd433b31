"""Trials of one run: who is to blame when a stack fails, what is timed, and which process does it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.budget import limit_seconds
from bench.engine.session import Session
from bench.engine.trials import MOST_FAILURES, Computed, FailureLimit, Trials, Work
from bench.engine.worker.process import Reply
from bench.errors import WorkerError
from bench.outputs import OUTPUT_SPLITS, Outputs
from bench.registry.discovery import Plugin
from bench.registry.specs import Spec
from bench.store.records import Failed, Killed, Timed

ORIGINAL = {"fc.weight": np.zeros((1, 4, 2), np.float32)}
ALLOWANCE = 1.5
LATE = WorkerError("killed after 9 s", kind="time")
BROKEN = WorkerError("ValueError: no luck", traceback="Traceback ...\nValueError: no luck\n")


def work(*, stackable: bool = True, uses_clock: bool = False) -> Work:
    return Work(Plugin("stub", "stub", "", ""), Spec("stub", {}), 7, stackable, uses_clock, ALLOWANCE)


class Child:
    """A method's process, or the evaluator; `fails(operation, trials)` says what it raises."""

    def __init__(self, fails: Callable[[str, Sequence[int]], WorkerError | None]) -> None:
        self.fails = fails
        self.alive = True
        self.asked: list[str] = []
        self.trials: Sequence[int] = ()
        self._ticks = count()

    def ask(self, operation: str, **arguments: Any) -> Reply:
        self.asked.append(operation)
        self.trials = arguments.get("trials", self.trials)
        problem = self.fails(operation, self.trials)
        if problem:
            self.alive = problem.kind != "died"
            raise problem
        if operation == "weights":
            return Reply(b"{}", {"fc.weight": np.zeros((len(self.trials), 4, 2), np.float32)})
        if operation == "evaluate":
            return Reply(b"{}", outputs(len(arguments["weights"]["fc.weight"])).arrays())
        return Reply(b"{}", {})

    def clock(self) -> float:
        return float(next(self._ticks))

    def peak_memory(self) -> int:
        return 1000

    def close(self) -> None:
        self.alive = False

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def outputs(models: int) -> Outputs:
    return Outputs({name: np.zeros((models, 3, 2), np.float32) for name in OUTPUT_SPLITS}, np.zeros(models))


def never(operation: str, trials: Sequence[int]) -> None:
    return None


class Lock:
    """Remembers how it was held."""

    def __init__(self) -> None:
        self.held: list[str] = []

    @contextmanager
    def shared(self) -> Iterator[None]:
        self.held.append("shared")
        yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        self.held.append("alone")
        yield


class Engine:
    """A session of stubs, and the processes that it has started."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.fails: Callable[[str, Sequence[int]], WorkerError | None] = never
        self.children: list[Child] = []
        self.lock = Lock()
        self.stopped = threading.Event()
        self.evaluator = Child(never)

    def _start(self, plugin: Plugin, spec: Spec, original: object, log: Path) -> Child:
        self.children.append(Child(self.fails))
        return self.children[-1]

    def trials(self, what: Work) -> Trials:
        session: Session = SimpleNamespace(
            device=SimpleNamespace(kind="cpu"),
            device_lock=self.lock,
            executor=SimpleNamespace(stopped=self.stopped),
            method_worker=self._start,
        )
        return Trials(session, ORIGINAL, what, self.log)

    def chunk(self, trials: Sequence[int], what: Work, failures: FailureLimit | None = None) -> Computed | Failed:
        return self.trials(what).chunk(self.evaluator, trials, lambda share: None, failures or FailureLimit())


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "log.txt")


def test_failures_in_a_row_are_counted() -> None:
    failures = FailureLimit()
    for failed in [True] * (MOST_FAILURES - 1) + [False] + [True] * (MOST_FAILURES - 1):
        failures.count(failed=failed)
        assert not failures.reached
    failures.count(failed=True)
    assert failures.reached
    failures.count(failed=False)
    assert not failures.reached


def test_methods_that_use_the_clock_are_computed_one_at_a_time() -> None:
    assert work(uses_clock=True).at_once == 1
    assert work().at_once is None


@pytest.mark.parametrize(("uses_clock", "held"), [(False, "shared"), (True, "alone")])
def test_a_chunk_has_a_process_of_its_own_and_its_place_on_the_device(engine: Engine, uses_clock: bool, held: str) -> None:
    done = engine.chunk((3, 4), work(uses_clock=uses_clock))
    assert isinstance(done, Computed)
    assert len(done.outputs) == 2
    assert done.measured.peak_memory == done.measured.peak_host_memory == 1000
    assert engine.lock.held == [held]
    (child,) = engine.children
    assert child.asked == ["start", "warm_up", "unlearn", "weights"]
    assert not child.alive
    assert engine.evaluator.asked == ["evaluate"]


def test_a_trial_that_fails_alone_is_to_blame_for_its_stack(engine: Engine) -> None:
    engine.fails = lambda operation, trials: BROKEN if operation == "unlearn" and 2 in trials else None
    failures = FailureLimit()
    done = engine.chunk((0, 1, 2, 3), work(), failures)
    assert done == Failed(trials=(0, 1, 2, 3), failure="ValueError: no luck (trial 2)", kind="error", finished=3)
    assert [list(child.trials) for child in engine.children] == [[0, 1, 2, 3], [0], [1], [2], [3]]
    assert not any(child.alive for child in engine.children)
    assert engine.log.read_text() == BROKEN.traceback
    assert not failures.reached


def test_a_stack_may_fail_though_each_of_its_trials_finishes(engine: Engine) -> None:
    engine.fails = lambda operation, trials: BROKEN if operation == "unlearn" and len(trials) > 1 else None
    done = engine.chunk((4, 5), work())
    told = "trials 4-5, stacked: ValueError: no luck (each alone finishes)"
    assert done == Failed(trials=(4, 5), failure=told, kind="error", finished=0)


def test_looking_for_the_one_to_blame_ends_when_too_many_fail(engine: Engine) -> None:
    engine.fails = lambda operation, trials: BROKEN if operation == "unlearn" else None
    failures = FailureLimit()
    done = engine.chunk(tuple(range(8)), work(), failures)
    assert done == Failed(trials=tuple(range(8)), failure="ValueError: no luck (trial 0)", kind="error", finished=0)
    assert failures.reached
    assert len(engine.children) == 1 + MOST_FAILURES


def test_nobody_is_blamed_for_memory(engine: Engine) -> None:
    engine.fails = lambda operation, trials: WorkerError("killed: it had 9 GB", kind="memory")
    done = engine.chunk((0, 1), work())
    assert done == Failed(trials=(0, 1), failure="killed: it had 9 GB", kind="memory")
    assert len(engine.children) == 1


def test_a_dead_evaluator_is_nobodys_failure(engine: Engine) -> None:
    engine.evaluator = Child(lambda operation, trials: WorkerError("the worker process died", kind="died"))
    failures = FailureLimit(most=1)
    with pytest.raises(WorkerError, match="the worker process died"):
        engine.chunk((0,), work(), failures)
    assert not failures.reached


def test_after_a_stop_no_process_is_started(engine: Engine) -> None:
    engine.stopped.set()
    assert engine.chunk((0, 1), work()) == Failed(trials=(0, 1), failure="stopped", kind="died")
    assert engine.children == []


def test_a_timed_trial_is_alone_and_its_time_ends_when_the_weights_have_arrived(engine: Engine) -> None:
    timed = engine.trials(work()).timed(8)
    assert isinstance(timed, Timed)
    assert (timed.trial, timed.seconds, timed.peak_memory) == (8, 1.0, 1000)  # one tick between two looks at the clock
    assert engine.lock.held == ["alone"]
    assert engine.children[0].asked == ["start", "warm_up", "unlearn", "weights"]
    assert not engine.children[0].alive


def test_a_timed_trial_that_is_late_has_taken_all_it_was_given(engine: Engine) -> None:
    engine.fails = lambda operation, trials: LATE if operation == "unlearn" else None
    assert engine.trials(work()).timed(8) == Killed(trial=8, seconds=limit_seconds(ALLOWANCE), killed="killed after 9 s")


@pytest.mark.parametrize("operation", ["start", "warm_up", "weights"])
def test_to_be_killed_beside_the_method_is_a_failure(engine: Engine, operation: str) -> None:
    engine.fails = lambda asked, trials: LATE if asked == operation else None
    with pytest.raises(WorkerError, match=f"{operation}: killed after 9 s") as caught:
        engine.trials(work()).timed(8)
    assert caught.value.kind == "died"
    assert not engine.children[0].alive
