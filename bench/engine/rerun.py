"""Repeats trials of a run: to see whether it is what it says, or to time them again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from bench.budget import Budget
from bench.engine.executor import find_executor
from bench.engine.jobs import Unlearn
from bench.engine.keeper import Keeper
from bench.engine.machine import find_kind
from bench.engine.plan import Trials
from bench.engine.requests import Request, work_of
from bench.engine.runs import time_trials
from bench.engine.session import Session
from bench.errors import BenchError, CheckResult
from bench.metrics.confidence import logit_scaled_confidence
from bench.metrics.distinguishability import exchanged_distances, p_value
from bench.metrics.resampling import LEVEL
from bench.outputs import Outputs, concatenate
from bench.progress import Progress
from bench.registry import discovery, specs
from bench.store.records import Failed, RunRecord
from bench.tasks.variants import load_task

FEWEST_RERUN = 8  # fewer models cannot be told from anything


class CannotRepeatError(BenchError):
    """The run was made with something, or on something, that is not here."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}; {remedy}" if remedy else problem)
        self.problem, self.remedy = problem, remedy


def session_of(
    keeper: Keeper,
    record: RunRecord,
    executor: str,
    *,
    workers: int | None = None,
    memory_limit: int | None = None,
    progress: Progress | None = None,
) -> Session:
    """A session in which trials of a run can be repeated.

    Raises:
        CannotRepeatError: it was made on another device, or its task is another here.
    """
    try:
        device = find_kind(record.device.kind)
    except BenchError as problem:
        raise CannotRepeatError(f"the run was made on {record.device.kind}: {problem}") from problem
    task = load_task(record.task.name)
    if task.key != record.task.key:
        raise CannotRepeatError(f"the run was made on {record.device.kind}, task {record.task.key[:16]}; not here")
    factory = find_executor(executor)
    return Session(keeper, task, device, factory, workers=workers, progress=progress, memory_limit=memory_limit)


def request_of(record: RunRecord) -> Request:
    """What a run was asked, to ask it again.

    Raises:
        CannotRepeatError: the plugin is not here, or has another source.
    """
    method = record.method
    try:
        spec = specs.parse(method.spec)
        plugin = discovery.find_method(spec.plugin)
    except BenchError as problem:
        raise CannotRepeatError(str(problem), "install the plugin, or go to the folder that its file is in") from problem
    if plugin.source_hash() != method.source_hash:
        raise CannotRepeatError("the plugin's source is not what the run was made with", f"install version {method.version}")
    return Request(plugin, spec, record.models, Budget.parse(record.budget), record.seed)


def time_again(session: Session, record: RunRecord) -> None:
    """Time trials of a run once more, which are drawn anew; if that fails, the run is as it was.

    Raises:
        BenchError: the run is not complete, has no trials that could be timed, or one of them failed.
    """
    name = record.run
    if why := _why_not_timed_again(record):
        raise BenchError(f"{name} cannot be timed again: {why}")
    reference = session.keeper.reference(session.task.key, session.device.kind, session.progress.note)
    work = work_of(session, request_of(record), record.method, record.allowance_seconds, reference.original_weights())
    with session.keeper.kept_run(name, session.progress.note) as run:
        before = run.record
        if not before.complete:
            raise BenchError(f"run {name} is not complete; the command that made it resumes it")
        try:
            run.keep_times_of(replace(before, secret="", timed=(), timed_again=before.timed_again + 1))
            time_trials(session, work, reference, run)
            if run.record.failure:
                raise BenchError(f"{name} cannot be timed again: {run.record.failure}")
        finally:
            if not run.record.complete:
                run.keep_times_of(before)


def _why_not_timed_again(record: RunRecord) -> str:
    reasons = {
        "a control row has no trials": record.method.control,
        "its models were unlearned elsewhere": record.self_reported,
        "its trials were timed as they were scored": record.method.uses_clock,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def rerun(session: Session, record: RunRecord, stored: Sequence[Outputs], trials: int) -> Iterator[CheckResult]:
    """Repeat the first chunks of a run, with at least so many trials, and compare with `stored`, the outputs of finished ones.

    On the same kind of processor with the same libraries they are equal bit for bit. If they are not, a permutation test says
    whether their distribution of confidences on the forget set is the same.
    """
    point, chunks = f"rerun of {trials} trials", _first(record, trials)
    try:
        request = request_of(record)
    except CannotRepeatError as problem:
        yield CheckResult(point, "", problem.problem, problem.remedy)
        return
    try:
        again = _repeat(session, record, request, chunks)
        labels = session.keeper.reference(session.task.key, session.device.kind, session.progress.note).labels()
    except BenchError as problem:
        yield CheckResult(point, "", str(problem))
        return
    before = concatenate(stored[: len(chunks)])
    yield _compared(f"rerun of {len(before)} trials", before, again, labels["forget"])


def _first(record: RunRecord, trials: int) -> list[Trials]:
    """The first finished chunks that hold so many trials together."""
    chosen: list[Trials] = []
    for chunk in record.finished_chunks:
        if sum(map(len, chosen)) < trials:
            chosen.append(chunk.trials)
    return chosen


def _repeat(session: Session, record: RunRecord, request: Request, chunks: Sequence[Trials]) -> Outputs:
    reference = session.keeper.reference(session.task.key, session.device.kind, session.progress.note)
    parts: dict[Trials, Outputs] = {}
    work = work_of(session, request, record.method, record.allowance_seconds, reference.original_weights())
    jobs = [Unlearn(session.setting, work, chunk) for chunk in chunks]
    label = f"{request.plugin.name}: repeating trials"
    for job, result in session.results(jobs, label, "evaluating trials failed", at_once=work.at_once):
        if isinstance(result, Failed):
            raise BenchError(result.failure)
        parts[cast(Unlearn, job).trials] = result.outputs
    return concatenate([parts[chunk] for chunk in chunks])


def _compared(point: str, before: Outputs, again: Outputs, labels: NDArray[np.int64]) -> CheckResult:
    if before.digest() == again.digest():
        return CheckResult(point, "bit for bit the stored outputs")
    if len(before) < FEWEST_RERUN:
        return CheckResult(point, f"other numbers than stored; {len(before)} trials are too few to compare distributions")
    ours, theirs = (logit_scaled_confidence(outputs.logits["forget"], labels) for outputs in (again, before))
    chance = p_value(exchanged_distances(ours, theirs))
    seen = f"other numbers than stored, of the same distribution as far as these trials show (p = {chance:.3f})"
    return CheckResult(point, seen, f"other confidences than stored (p = {chance:.3f})" if chance < LEVEL else "")
