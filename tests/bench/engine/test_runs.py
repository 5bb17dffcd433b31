"""What the engine does with a run: compute what is missing, back off, time trials. Any keeper will do; this one has no disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from bench.engine import runs
from bench.engine.failures import MOST_FAILURES
from bench.engine.jobs import Alone, Computed, TimeTrial, Unlearn, Work
from bench.engine.machine import Device
from bench.engine.runs import _back_off, _compute_missing, _paper
from bench.engine.session import Session
from bench.errors import BenchError, WorkerError
from bench.outputs import Outputs
from bench.registry.discovery import Plugin
from bench.registry.specs import Spec
from bench.store.fields import checked
from bench.store.method_records import MethodRecord
from bench.store.records import (
    Chunk,
    DeviceRecord,
    Failed,
    Finished,
    Killed,
    Measured,
    NotTimed,
    Pending,
    RunRecord,
    TaskRecord,
    Timed,
    TimedTrial,
)
from bench.tasks.age_synthetic import age_synthetic

METHOD = MethodRecord(name="stub", spec="stub", hyper_parameters={}, source_hash="0" * 64, control=False, reference_models=())
WORK = Work(
    plugin=Plugin("stub", "stub", "", ""),
    source="0" * 64,
    spec=Spec("stub", {}),
    seed=0,
    stackable=True,
    uses_clock=False,
    allowance=1.0,
    share=0.2,
    original="1" * 64,
    memory_limit=10**9,
)
OUTPUTS = Outputs({}, np.zeros(1))
MEASURED = Measured(phases={"method": 2.0}, peak_memory=7)


def finished(*trials: int) -> Finished:
    return Finished(trials=trials, file=f"outputs-{trials[0]:04d}.npz", sha256="0" * 64)


def timed_trial(trial: int, seconds: float = 1.0) -> Timed:
    return Timed(trial=trial, seconds=seconds, retraining=(10.0, 9.0), file=f"timed-{trial:04d}.npz", sha256="0" * 64)


class Times:
    """A reference of which only times are asked."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, float]] = []

    def keep_retraining_time(self, processor: str, seconds: float) -> None:
        self.kept.append((processor, seconds))


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
        self.printed = b""

    def keep_printed(self, text: bytes) -> None:
        self.printed += text

    def keep_outputs(self, trials: Sequence[int], outputs: Outputs, measured: Measured, wall_seconds: float) -> None:
        self.outputs[tuple(trials)] = outputs
        self.keep_chunk(replace(finished(*trials), phases=measured.phases, wall_seconds=wall_seconds))

    def keep_chunk(self, chunk: Chunk) -> None:
        self._keep(chunks=tuple(chunk if each.trials == chunk.trials else each for each in self.record.chunks))

    def keep_secret(self, secret: str) -> None:
        self._keep(secret=secret)

    def keep_timed(self, timed: Sequence[TimedTrial]) -> None:
        if tuple(timed) != self.record.timed:
            self._keep(timed=tuple(timed))

    def keep_alone(self, trial: int, outputs: Outputs, measured: Measured) -> None:
        self.keep_timed([*self.record.timed, timed_trial(trial, measured.seconds)])

    def plan_again(self, stack_size: int, chunks: Sequence[Sequence[int]]) -> None:
        pending = tuple(Pending(trials=tuple(chunk)) for chunk in chunks)
        self._keep(stack_size=stack_size, backed_off=True, chunks=pending)

    def _keep(self, **changes: object) -> None:
        self.record = replace(self.record, **changes)
        self.history.append(self.record)


class Stub:
    """Answers jobs like a machine: trials fail as they are told to, alone or with others of their chunk."""

    def __init__(
        self,
        *,
        fails: Sequence[int] = (),
        killed: Sequence[int] = (),
        alone: bool = False,
        evaluator_dies: bool = False,
        seconds: Sequence[float] = (),
    ) -> None:
        self.fails, self.killed, self.alone, self.evaluator_dies = fails, killed, alone, evaluator_dies
        self.seconds = cycle(seconds or [1.0])  # of timed trials; one retraining takes ten

    def __call__(self, job: Unlearn | TimeTrial) -> Any:
        if self.evaluator_dies:
            raise WorkerError("the worker process died (signal 9)", kind="died")
        return self._chunk(job.trials) if isinstance(job, Unlearn) else self._timed(job.trial)

    def _chunk(self, trials: tuple[int, ...]) -> Computed | Failed:
        failed = set(trials) & set(self.fails)
        if not failed:
            return Computed(OUTPUTS, MEASURED, 3.0)
        finished = len(trials) - len(failed) if self.alone else 0
        return Failed(trials=trials, failure="no luck", finished=finished, in_a_row=int(trials[-1] in failed))

    def _timed(self, trial: int) -> Alone | Killed:
        if trial in self.fails:
            raise WorkerError("no luck")
        if trial in self.killed:
            return Killed(trial=trial, killed="late", seconds=7.0, retraining=(10.0, 10.0))
        return Alone(OUTPUTS, Measured(seconds=next(self.seconds), retraining=(10.0, 9.0)))


class Engine:
    """A session whose jobs the stub answers, in their order."""

    def __init__(self, answering, told) -> None:
        self.executor = answering(Stub())
        self.told = told
        self.times = Times()
        self.session = Session(None, age_synthetic(), Device("cpu", "cpu", "Some CPU", {}), self.executor, progress=told)

    def answers(self, **how: Any) -> None:
        """From now on jobs are answered so, and those of before are forgotten."""
        self.executor.answer = Stub(**how)
        self.executor.asked.clear()

    @property
    def asked(self) -> list[int]:
        """Trials that were to be computed or timed, in their order."""
        jobs = self.executor.asked
        return [trial for job in jobs for trial in (job.trials if isinstance(job, Unlearn) else [job.trial])]


@pytest.fixture
def engine(answering, told) -> Engine:
    return Engine(answering, told)


@pytest.fixture
def whole() -> InMemory:
    """A run whose trials have outputs and are to be timed."""
    return InMemory(record_of(finished(*range(8))))


def time_trials(engine: Engine, run: InMemory) -> None:
    runs.time_trials(engine.session, WORK, engine.times, run)


def drawn(run: InMemory) -> list[int]:
    """The trials of a run in the order in which its secret has them timed."""
    order, record = [], replace(run.record, timed=())
    for _ in range(8):
        order.append(record.next_timed)
        record = replace(record, timed=(*record.timed, timed_trial(order[-1])))
    return order


def test_three_trials_that_nobody_could_know_are_timed(engine: Engine, whole: InMemory) -> None:
    time_trials(engine, whole)
    assert len(whole.record.secret) == 32
    assert engine.asked == drawn(whole)[:3]
    assert set(engine.asked) <= set(range(8))
    assert engine.executor.asked == [TimeTrial(engine.session.setting, WORK, trial) for trial in engine.asked]
    assert whole.record.complete
    assert [len(state.timed) for state in whole.history] == [0, 1, 2, 3]  # each is kept as soon as it is known
    assert engine.told.done == {"stub: timing 3 trials alone": pytest.approx(1.0)}
    assert whole.printed == 3 * b"words\n"
    assert engine.times.kept[-1] == ("Some CPU", 5.0)  # as it was known when the run began; ten and nine are slower


def test_another_run_times_other_trials(engine: Engine) -> None:
    seen = set()
    for _ in range(20):
        run = InMemory(record_of(finished(*range(8))))
        time_trials(engine, run)
        seen.add(tuple(each.trial for each in run.record.known_times))
    assert len(seen) > 10  # of 336


def test_a_retraining_that_was_faster_than_ever_is_told(engine: Engine) -> None:
    run = InMemory(replace(record_of(finished(*range(8))), retraining_seconds=9.5))
    time_trials(engine, run)
    assert engine.times.kept[-1] == ("Some CPU", 9.0)
    assert run.record.timing.retraining == 9.0


@pytest.mark.parametrize(
    ("seconds", "timed"), [([0.5], 3), ([4.0], 3), ([1.0, 1.9, 3.0], 8), ([1.0, 1.9, 3.0, *[1.0] * 5], 6), ([2.08, 2.09, 2.1], 8)]
)
def test_more_trials_are_timed_while_it_is_open_whether_they_are_in_time(
    engine: Engine, whole: InMemory, seconds: list[float], timed: int
) -> None:
    engine.answers(seconds=seconds)
    time_trials(engine, whole)
    assert engine.asked == drawn(whole)[:timed]
    assert whole.record.complete


def test_a_failed_timed_trial_is_tried_again_and_the_others_are_not(engine: Engine, whole: InMemory) -> None:
    whole.keep_secret("0" * 32)
    first, second, third = drawn(whole)[:3]
    engine.answers(fails=[second])
    time_trials(engine, whole)
    assert engine.asked == [first, second]
    assert not whole.record.complete
    assert whole.record.failure == "no luck"
    assert whole.record.timed == (timed_trial(first), NotTimed(failure="no luck"))
    resumed = InMemory(whole.record)
    engine.answers()
    time_trials(engine, resumed)
    assert engine.asked == [second, third]
    assert resumed.record.complete
    assert resumed.record.failure == ""


def test_a_killed_trial_is_timed_and_not_tried_again(engine: Engine, whole: InMemory) -> None:
    engine.answers(killed=range(8))
    time_trials(engine, whole)
    assert whole.record.complete
    assert whole.record.timing.over_budget
    engine.answers()
    time_trials(engine, whole)
    assert engine.asked == []


def test_trials_that_an_earlier_version_timed_do_not_count(engine: Engine, whole: InMemory) -> None:
    whole.keep_timed([Timed(trial=8 + index, seconds=1.0) for index in range(3)])
    time_trials(engine, whole)
    assert len(engine.asked) == 3
    assert [each.trial for each in whole.record.known_times] == engine.asked


def test_all_trials_of_a_method_that_uses_the_clock_are_timed_as_they_are_run(engine: Engine) -> None:
    chunks = [replace(finished(trial), seconds=1.9, retraining=(10.0, 10.0)) for trial in range(8)]
    run = InMemory(replace(record_of(*chunks), method=replace(METHOD, uses_clock=True)))
    time_trials(engine, run)
    assert engine.asked == []
    assert run.record.complete
    assert run.record.timing.shares == [0.19] * 8


@pytest.mark.parametrize("chunk", [Pending(trials=tuple(range(8))), Failed(trials=tuple(range(8)), failure="no luck")])
def test_unfinished_runs_are_not_timed(engine: Engine, chunk: Chunk) -> None:
    run = InMemory(record_of(chunk))
    time_trials(engine, run)
    assert engine.asked == []
    assert run.history == []


def test_finished_chunks_are_left_alone_and_all_others_are_computed(engine: Engine) -> None:
    failed = Failed(trials=(2, 3), failure="no luck the first time")
    run = InMemory(record_of(finished(0, 1), failed, Pending(trials=(4, 5)), Pending(trials=(6, 7))))
    engine.answers(fails=[5])
    _compute_missing(engine.session, WORK, run)
    assert engine.executor.asked == [Unlearn(engine.session.setting, WORK, chunk) for chunk in ((2, 3), (4, 5), (6, 7))]
    assert run.history[0].chunks[1] == Pending(trials=(2, 3))  # the old failure is forgotten before anything is computed
    assert run.record.chunks == (
        finished(0, 1),
        replace(finished(2, 3), phases={"method": 2.0}, wall_seconds=3.0),
        Failed(trials=(4, 5), failure="no luck"),
        replace(finished(6, 7), phases={"method": 2.0}, wall_seconds=3.0),
    )
    assert run.outputs == {(2, 3): OUTPUTS, (6, 7): OUTPUTS}
    assert engine.told.done == {"stub: 6 trials": pytest.approx(1.0)}
    assert run.printed == 3 * b"words\n"
    assert engine.told.notes == []


@pytest.mark.parametrize(("uses_clock", "at_once"), [(False, None), (True, 1)])
def test_chunks_of_a_method_that_uses_the_clock_are_computed_one_at_a_time(
    engine: Engine, uses_clock: bool, at_once: int | None
) -> None:
    run = InMemory(record_of(Pending(trials=(0,)), Pending(trials=(1,))))
    _compute_missing(engine.session, dataclasses.replace(WORK, uses_clock=uses_clock), run)
    assert engine.executor.at_once == [at_once]


def test_a_run_with_nothing_missing_is_left_alone(engine: Engine, whole: InMemory) -> None:
    engine.answers(evaluator_dies=True)
    _compute_missing(engine.session, WORK, whole)
    assert (whole.history, engine.told.done) == ([], {})


def test_after_some_failures_in_a_row_the_rest_is_not_tried(engine: Engine) -> None:
    old = Failed(trials=(7,), failure="of the run before")
    run = InMemory(record_of(*(Pending(trials=(index,)) for index in range(7)), old))
    engine.answers(fails=[1, 2, 3, 4, 5, 6, 7])
    _compute_missing(engine.session, WORK, run)
    assert engine.asked == [0, 1, 2, 3]
    assert [type(chunk) for chunk in run.record.chunks] == [Finished] + [Failed] * MOST_FAILURES + [Pending] * 4
    assert engine.told.notes == ["stub: 3 trials in a row failed; the rest was not tried"]
    assert engine.told.done == {"stub: 8 trials": pytest.approx(1.0)}


def test_trials_that_finish_alone_end_a_row_of_failures(engine: Engine) -> None:
    """Of each stack the last trial fails, and those before it finish: there are never two failures in a row."""
    run = InMemory(record_of(*(Pending(trials=(2 * index, 2 * index + 1)) for index in range(4))))
    engine.answers(fails=[1, 3, 5, 7], alone=True)
    _compute_missing(engine.session, WORK, run)
    assert [type(chunk) for chunk in run.record.chunks] == [Failed] * 4
    assert engine.told.notes == []


def test_a_stack_that_ended_in_too_many_failures_is_the_last(engine: Engine) -> None:
    run = InMemory(record_of(Pending(trials=(0, 1, 2, 3)), Pending(trials=(4, 5, 6, 7))))
    engine.executor.answer = lambda job: Failed(trials=job.trials, failure="no luck", in_a_row=MOST_FAILURES)
    _compute_missing(engine.session, WORK, run)
    assert [type(chunk) for chunk in run.record.chunks] == [Failed, Pending]
    assert engine.told.notes == ["stub: 3 trials in a row failed; the rest was not tried"]


def test_a_dead_evaluator_is_not_the_methods_failure(engine: Engine) -> None:
    run = InMemory(record_of(Pending(trials=tuple(range(8)))))
    engine.answers(evaluator_dies=True)
    with pytest.raises(BenchError, match="evaluating trials failed: the worker process died"):
        _compute_missing(engine.session, WORK, run)
    assert run.record.failure == ""


def test_after_a_stack_that_memory_did_not_suffice_for_all_start_again_in_smaller_ones(engine: Engine) -> None:
    short = Failed(trials=(0, 1, 2, 3), failure="killed", kind="memory")
    run = InMemory(record_of(short, finished(4, 5, 6, 7)))
    assert _back_off(engine.session, run)
    assert run.record.stack_size == 2
    assert run.record.backed_off
    assert run.record.chunks == tuple(Pending(trials=pair) for pair in ((0, 1), (2, 3), (4, 5), (6, 7)))
    assert engine.told.notes == ["stub: memory does not suffice; starting again with stacks of 2"]


@pytest.mark.parametrize(
    "chunk",
    [
        Failed(trials=(0,), failure="killed", kind="memory"),  # cannot be smaller
        Failed(trials=(0, 1), failure="no luck", kind="error"),
        finished(0, 1),
        Pending(trials=(0, 1)),
    ],
)
def test_nothing_else_is_a_reason_to_back_off(engine: Engine, chunk: Chunk) -> None:
    run = InMemory(record_of(chunk))
    assert not _back_off(engine.session, run)
    assert run.history == []


class Keeper:
    """Knows one run whose trials are those of every other."""

    def with_same_trials(self, record: RunRecord) -> str | None:
        return "stub-at-another-budget"


def looked_at(engine: Engine, record: RunRecord) -> list[str]:
    """Whose trials are taken."""
    run, taken = InMemory(record), []
    run.take_over = taken.append
    engine.session.keeper = Keeper()
    runs._look_at_other_budgets(engine.session, run)
    return taken


def test_what_does_the_same_at_another_budget_is_not_computed_again(engine: Engine) -> None:
    assert looked_at(engine, record_of(Pending(trials=tuple(range(8))))) == ["stub-at-another-budget"]
    assert engine.told.notes == ["stub does the same at every budget: its trials are those of stub-at-another-budget"]


@pytest.mark.parametrize(
    "changes",
    [
        {"chunks": (finished(0, 1, 2, 3), Pending(trials=(4, 5, 6, 7)))},  # it has begun
        {"attempt": 1},  # somebody wants it once more
        {"method": replace(METHOD, uses_clock=True)},
        {"method": replace(METHOD, control=True), "chunks": ()},
    ],
)
def test_others_do_their_own(engine: Engine, changes: dict[str, Any]) -> None:
    assert looked_at(engine, replace(record_of(Pending(trials=tuple(range(8)))), **changes)) == []


@pytest.mark.parametrize("year", [2023, -1, 10**9, "2023", None, True])
@pytest.mark.parametrize(
    "url",
    ["https://arxiv.org/abs/1", "javascript:alert(1)", "https://x.org/'onclick", "http://a b", "https://a.org/" + "x" * 400, 7],
)
def test_of_a_paper_is_kept_what_can_be_shown(year: Any, url: Any) -> None:
    kept = _paper({"title": "A\x1b[31m " * 1000, "year": year, "url": url, "more": 1})
    assert kept.title.isprintable()
    assert (kept.year, kept.url) == (2023 if year == 2023 else 0, url if url == "https://arxiv.org/abs/1" else "")
    checked(kept)
