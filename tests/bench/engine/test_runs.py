"""What the engine does with a run: compute what is missing, back off, time trials. Any keeper will do; this one has no disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec.structs import replace

from bench.engine.runs import _back_off, _compute_missing, _time_trials
from bench.engine.session import Session
from bench.engine.trials import MOST_FAILURES, Computed, FailureLimit, Work
from bench.errors import BenchError, WorkerError
from bench.executors.local import LocalExecutor
from bench.outputs import Outputs
from bench.progress import Progress
from bench.registry.discovery import Plugin
from bench.registry.specs import Spec
from bench.store.records import (
    Chunk,
    DeviceRecord,
    Failed,
    Finished,
    Killed,
    Measured,
    MethodRecord,
    NotTimed,
    Pending,
    RunRecord,
    TaskRecord,
    Timed,
    TimedTrial,
)

METHOD = MethodRecord(name="stub", spec="stub", hyper_parameters={}, source_hash="0" * 64, control=False, reference_models=())
WORK = Work(Plugin("stub", "stub", "", ""), Spec("stub", {}), seed=0, stackable=True, uses_clock=False, allowance=1.0)
OUTPUTS = Outputs({}, np.zeros(1))
MEASURED = Measured(phases={"method": 2.0}, peak_memory=7)


def finished(*trials: int) -> Finished:
    return Finished(trials=trials, file=f"outputs-{trials[0]:04d}.npz", sha256="0" * 64)


def record_of(*chunks: Chunk, timed: tuple[TimedTrial, ...] = ()) -> RunRecord:
    return RunRecord(
        method=METHOD,
        task=TaskRecord(name="t", key="f" * 64),
        reference_id="0" * 16,
        models=8,
        budget="20%",
        seed=0,
        device=DeviceRecord(kind="cpu"),
        retraining_seconds=5.0,
        allowance_seconds=1.0,
        chunks=chunks,
        timed=timed,
        variants=(0,) * 8,
        stack_size=8,
    )


class InMemory:
    """A run that is kept in memory, and every state that its record has had."""

    def __init__(self, record: RunRecord) -> None:
        self.record = record
        self.history: list[RunRecord] = []
        self.outputs: dict[tuple[int, ...], Outputs] = {}
        self.log = Path("nowhere")

    def keep_outputs(self, trials: Sequence[int], outputs: Outputs, measured: Measured, wall_seconds: float) -> None:
        self.outputs[tuple(trials)] = outputs
        self.keep_chunk(replace(finished(*trials), phases=measured.phases, wall_seconds=wall_seconds))

    def keep_chunk(self, chunk: Chunk) -> None:
        self._keep(chunks=tuple(chunk if each.trials == chunk.trials else each for each in self.record.chunks))

    def keep_timed(self, timed: Sequence[TimedTrial]) -> None:
        self._keep(timed=tuple(timed))

    def plan_again(self, stack_size: int, chunks: Sequence[Sequence[int]]) -> None:
        pending = tuple(Pending(trials=tuple(chunk)) for chunk in chunks)
        self._keep(stack_size=stack_size, backed_off=True, chunks=pending)

    def _keep(self, **changes: object) -> None:
        self.record = replace(self.record, **changes)
        self.history.append(self.record)


class Stub:
    """Answers like the engine's trials: trials fail as they are told to."""

    def __init__(self, *, fails: Sequence[int] = (), killed: Sequence[int] = (), evaluator_dies: bool = False) -> None:
        self.fails, self.killed, self.evaluator_dies = fails, killed, evaluator_dies
        self.asked: list[int] = []
        self.logged: list[str] = []

    def chunk(
        self, evaluator: object, trials: Sequence[int], reached: Callable[[float], None], failures: FailureLimit
    ) -> Computed | Failed:
        if self.evaluator_dies:
            raise WorkerError("the worker process died (signal 9)", kind="died")
        self.asked += trials
        reached(0.5)
        failed = bool(set(trials) & set(self.fails))
        failures.count(failed=failed)
        return Failed(trials=tuple(trials), failure="no luck") if failed else Computed(OUTPUTS, MEASURED, 3.0)

    def timed(self, trial: int) -> Timed | Killed:
        if trial in self.fails:
            raise WorkerError("no luck")
        self.asked.append(trial)
        return Killed(trial=trial, seconds=7.0, killed="late") if trial in self.killed else Timed(trial=trial, seconds=1.0)

    def log(self, problem: WorkerError) -> None:
        self.logged.append(str(problem))


class Told(Progress):
    """Remembers what the user is told, and how far every stage came."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.done: dict[str, float] = {}

    def stage(self, label: str, total: float) -> Callable[[float], None]:
        self.done[label] = 0.0

        def advance(units: float) -> None:
            self.done[label] += units / total

        return advance

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def session(told: Told) -> Session:
    """One worker, which does the chunks in their order."""
    worker = SimpleNamespace(alive=True, close=lambda: None)
    return SimpleNamespace(progress=told, executor=LocalExecutor(lambda: worker, workers=1, end_all=lambda: None))


@pytest.fixture
def whole() -> InMemory:
    """A run whose trials have outputs and are to be timed."""
    return InMemory(record_of(finished(*range(8))))


def test_three_extra_trials_are_timed(session: Session, whole: InMemory) -> None:
    trials = Stub()
    _time_trials(session, trials, whole)
    assert trials.asked == [8, 9, 10]
    assert whole.record.complete
    assert [len(state.timed) for state in whole.history] == [1, 2, 3]  # each is kept as soon as it is known


def test_a_failed_timed_trial_is_tried_again_and_the_others_are_not(session: Session, whole: InMemory) -> None:
    first = Stub(fails=[9])
    _time_trials(session, first, whole)
    assert first.logged == ["no luck"]
    assert not whole.record.complete
    assert whole.record.failure == "no luck"
    assert whole.record.timed == (Timed(trial=8, seconds=1.0), NotTimed(failure="no luck"))
    again, resumed = Stub(), InMemory(whole.record)
    _time_trials(session, again, resumed)
    assert again.asked == [9, 10]
    assert resumed.record.complete
    assert resumed.record.failure == ""


def test_a_killed_trial_is_timed_and_not_tried_again(session: Session, whole: InMemory) -> None:
    _time_trials(session, Stub(killed=[8, 9, 10]), whole)
    assert whole.record.complete
    assert whole.record.over_budget
    again = Stub()
    _time_trials(session, again, whole)
    assert again.asked == []


@pytest.mark.parametrize("chunk", [Pending(trials=tuple(range(8))), Failed(trials=tuple(range(8)), failure="no luck")])
def test_unfinished_runs_are_not_timed(session: Session, chunk: Chunk) -> None:
    trials, run = Stub(), InMemory(record_of(chunk))
    _time_trials(session, trials, run)
    assert trials.asked == []
    assert run.history == []


def test_finished_chunks_are_left_alone_and_all_others_are_computed(session: Session, told: Told) -> None:
    failed = Failed(trials=(2, 3), failure="no luck the first time")
    run = InMemory(record_of(finished(0, 1), failed, Pending(trials=(4, 5)), Pending(trials=(6, 7))))
    trials = Stub(fails=[5])
    _compute_missing(session, trials, WORK, run)
    assert trials.asked == [2, 3, 4, 5, 6, 7]
    assert run.record.chunks == (
        finished(0, 1),
        replace(finished(2, 3), phases={"method": 2.0}, wall_seconds=3.0),
        Failed(trials=(4, 5), failure="no luck"),
        replace(finished(6, 7), phases={"method": 2.0}, wall_seconds=3.0),
    )
    assert run.outputs == {(2, 3): OUTPUTS, (6, 7): OUTPUTS}
    assert told.done == {"stub: 6 trials": pytest.approx(1.0)}
    assert told.notes == []


def test_a_run_with_nothing_missing_is_left_alone(session: Session, told: Told, whole: InMemory) -> None:
    _compute_missing(session, Stub(evaluator_dies=True), WORK, whole)
    assert (whole.history, told.done) == ([], {})


def test_after_some_failures_in_a_row_the_rest_is_not_tried(session: Session, told: Told) -> None:
    old = Failed(trials=(7,), failure="of the run before")
    run = InMemory(record_of(*(Pending(trials=(index,)) for index in range(7)), old))
    trials = Stub(fails=[1, 2, 3, 4, 5, 6, 7])
    _compute_missing(session, trials, WORK, run)
    assert trials.asked == [0, 1, 2, 3]
    assert [type(chunk) for chunk in run.record.chunks] == [Finished] + [Failed] * MOST_FAILURES + [Pending] * 4
    assert told.notes == ["stub: 3 trials in a row failed; the rest was not tried"]
    assert told.done == {"stub: 8 trials": pytest.approx(1.0)}


def test_a_dead_evaluator_is_not_the_methods_failure(session: Session) -> None:
    run = InMemory(record_of(Pending(trials=tuple(range(8)))))
    with pytest.raises(BenchError, match="evaluating trials failed: the worker process died"):
        _compute_missing(session, Stub(evaluator_dies=True), WORK, run)
    assert run.record.failure == ""


def test_after_a_stack_that_memory_did_not_suffice_for_all_start_again_in_smaller_ones(session: Session, told: Told) -> None:
    short = Failed(trials=(0, 1, 2, 3), failure="killed", kind="memory")
    run = InMemory(record_of(short, finished(4, 5, 6, 7)))
    assert _back_off(session, run)
    assert run.record.stack_size == 2
    assert run.record.backed_off
    assert run.record.chunks == tuple(Pending(trials=pair) for pair in ((0, 1), (2, 3), (4, 5), (6, 7)))
    assert told.notes == ["stub: memory does not suffice; starting again with stacks of 2"]


@pytest.mark.parametrize(
    "chunk",
    [
        Failed(trials=(0,), failure="killed", kind="memory"),  # cannot be smaller
        Failed(trials=(0, 1), failure="no luck", kind="error"),
        finished(0, 1),
        Pending(trials=(0, 1)),
    ],
)
def test_nothing_else_is_a_reason_to_back_off(session: Session, chunk: Chunk) -> None:
    run = InMemory(record_of(chunk))
    assert not _back_off(session, run)
    assert run.history == []
