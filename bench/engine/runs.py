"""One run: N trials of one method -> outputs in the keeper's hands; resumed if it was interrupted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, cast

from msgspec.structs import replace

from bench.budget import Budget
from bench.engine import plan
from bench.engine.executor import Printed
from bench.engine.failures import FailureLimit
from bench.engine.jobs import Computed, TimeTrial, Unlearn, Work
from bench.engine.keeper import ReferenceKeeper, RunKeeper
from bench.engine.references import retraining_time
from bench.engine.requests import Request, work_of
from bench.engine.session import Session
from bench.engine.worker.answers import Description
from bench.errors import WorkerError, one_line
from bench.metrics.timing import FEWEST_TIMED
from bench.registry.discovery import Plugin
from bench.store.fields import ADDRESS, LONGEST_TEXT, MOST_LINES
from bench.store.method_records import MethodRecord, PaperRecord
from bench.store.records import Chunk, DeviceRecord, Failed, Finished, Killed, NotTimed, Pending, RunRecord, TaskRecord
from bench.tasks.data_quality import examine


def complete_run(session: Session, reference: ReferenceKeeper, request: Request, description: Description) -> str:
    """Run what is missing of a method's trials; returns the name of the run, complete or with its failures recorded."""
    record = _new_record(session, reference, request, description)
    with session.keeper.run(record, again=request.again, note=session.progress.note) as run:
        if not run.record.complete:
            _look_at_other_budgets(session, run)
            _run_missing(session, reference, request, run)
    return run.record.run


def _look_at_other_budgets(session: Session, run: RunKeeper) -> None:
    """A method that neither reads the clock nor has other hyper-parameters at this budget does the same as at another."""
    record = run.record
    begun = any(not isinstance(chunk, Pending) for chunk in record.chunks)
    if begun or record.attempt or record.method.control or record.method.uses_clock:
        return
    if name := session.keeper.with_same_trials(record):
        run.take_over(name)
        session.progress.note(f"{record.method.name} does the same at every budget: its trials are those of {name}")


def _new_record(session: Session, reference: ReferenceKeeper, request: Request, description: Description) -> RunRecord:
    size = session.stack_size if description.stackable else 1
    chunks = [] if description.control else plan.chunks(description.variants, size)
    record = new_record(session, reference, _method_record(request, description), request.budget, request.models, chunks)
    return replace(
        record,
        seed=request.seed,
        environment=dict(session.device.environment),
        variants=tuple(description.variants),
        stack_size=size,
    )


def new_record(
    session: Session, reference: ReferenceKeeper, method: MethodRecord, budget: Budget, models: int, chunks: Sequence[plan.Trials]
) -> RunRecord:
    """The record of a run of which nothing is known yet but what it is compared with, and in which chunks its trials come."""
    seconds = retraining_time(session, reference)
    return RunRecord(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        method=method,
        task=_task_record(session),
        reference_id=reference.identifier(models),
        shipped_models=min(reference.shipped_models, models),
        models=models,
        budget=str(budget),
        seed=0,
        device=DeviceRecord(kind=session.device.kind, processor=session.device.processor),
        retraining_seconds=seconds,
        allowance_seconds=budget.allowance(seconds),
        chunks=tuple(Pending(trials=chunk) for chunk in chunks),
    )


def _method_record(request: Request, description: Description) -> MethodRecord:
    plugin: Plugin = request.plugin
    sources = list(description.sources.items())[:MOST_LINES]
    return MethodRecord(
        name=plugin.name,
        spec=str(request.spec),
        hyper_parameters=description.hyper_parameters,
        scaled=description.scaled,
        distribution=plugin.distribution,
        version=plugin.version,
        source_hash=plugin.source_hash(),
        summary=plugin.summary(),
        documentation=description.documentation[:LONGEST_TEXT],
        sources={one_line(name): one_line(text) for name, text in sources},
        stackable=description.stackable,
        uses_clock=description.uses_clock,
        control=description.control,
        reference_models=tuple(description.reference_models),
        paper=_paper(description.paper) if description.paper else None,
        cost=one_line(description.cost),
        deterministic=description.deterministic,
        reconstruction=one_line(description.reconstruction),
        certificate=one_line(description.certificate),
    )


def _paper(said: Mapping[str, Any]) -> PaperRecord:
    """What a plugin says of its paper, as far as it can be shown."""
    texts = {name: one_line(str(said.get(name, ""))) for name in ("title", "authors", "venue", "url", "code")}
    texts |= {name: "" for name in ("url", "code") if texts[name] != said.get(name) or not re.match(ADDRESS, texts[name])}
    year = said.get("year")
    return PaperRecord(**texts, year=year if type(year) is int and 0 <= year < 10_000 else 0)


def _task_record(session: Session) -> TaskRecord:
    task = session.task
    remarks = (*task.remarks, *examine(session.data, task.groups))
    return TaskRecord(name=task.name, key=task.key, groups=tuple(task.groups), forget_set=task.forget_set, remarks=remarks)


def _run_missing(session: Session, reference: ReferenceKeeper, request: Request, run: RunKeeper) -> None:
    work = work_of(session, request, run.record.method, run.record.allowance_seconds, reference.original_weights())
    _compute_missing(session, work, run)
    while _back_off(session, run):
        _compute_missing(session, work, run)
    time_trials(session, work, reference, run)


def _compute_missing(session: Session, work: Work, run: RunKeeper) -> None:
    unfinished = [chunk for chunk in run.record.chunks if not isinstance(chunk, Finished)]
    missing = [chunk.trials for chunk in unfinished]
    for chunk in unfinished:
        if not isinstance(chunk, Pending):
            run.keep_chunk(Pending(trials=chunk.trials))
    name, failures = run.record.method.name, FailureLimit()
    jobs = [Unlearn(session.setting, work, trials) for trials in missing]
    label, printed = f"{name}: {sum(map(len, missing))} trials", _keeping(run)
    for job, result in session.results(jobs, label, "evaluating trials failed", at_once=work.at_once, printed=printed):
        trials = cast(Unlearn, job).trials
        if isinstance(result, Computed):
            run.keep_outputs(trials, result.outputs, result.measured, result.wall_seconds)
            failures.count(failed=False)
            continue
        run.keep_chunk(result)
        if result.finished:
            failures.count(failed=False)
        for _ in range(result.in_a_row):
            failures.count(failed=True)
        if failures.reached:
            session.cancel()
    if failures.reached and any(isinstance(chunk, Pending) for chunk in run.record.chunks):
        session.progress.note(f"{name}: {failures.most} trials in a row failed; the rest was not tried")


def _keeping(run: RunKeeper) -> Printed[Any]:
    return lambda job, text: run.keep_printed(text)


def _back_off(session: Session, run: RunKeeper) -> bool:
    """After a stack that memory did not suffice for: plan the whole run again with stacks of half the size."""
    short = _stacks_short_of_memory(run.record.chunks)
    if not short:
        return False
    size = max(len(chunk.trials) for chunk in short) // 2
    session.progress.note(f"{run.record.method.name}: memory does not suffice; starting again with stacks of {size}")
    run.plan_again(size, plan.chunks(run.record.variants, size))
    return True


def _stacks_short_of_memory(chunks: Sequence[Chunk]) -> list[Failed]:
    return [chunk for chunk in chunks if isinstance(chunk, Failed) and chunk.kind == "memory" and len(chunk.trials) > 1]


def time_trials(session: Session, work: Work, reference: ReferenceKeeper, run: RunKeeper) -> None:
    """Nothing else of ours runs meanwhile: how such a trial compares with retraining is what the budget is about.

    Which trials these are is drawn when all have been run, so that no method can know it.
    """
    if not run.record.wants_time or not all(isinstance(chunk, Finished) for chunk in run.record.chunks):
        return
    if not run.record.secret:
        run.keep_secret(token_hex(16))
    run.keep_timed(run.record.known_times)
    name, least = run.record.method.name, max(1, FEWEST_TIMED - len(run.record.timed))
    advance = session.progress.stage(f"{name}: timing {least} trials alone", least)
    try:
        while run.record.wants_time:
            trial = run.record.next_timed
            result = session.attempt(TimeTrial(session.setting, work, trial), _keeping(run))
            if isinstance(result, Killed):
                run.keep_timed([*run.record.timed, result])
            else:
                run.keep_alone(trial, result.outputs, result.measured)
            reference.keep_retraining_time(session.device.timed_as, run.record.timing.retraining)
            advance(1)
    except WorkerError as problem:
        run.keep_timed([*run.record.timed, NotTimed(failure=str(problem))])
