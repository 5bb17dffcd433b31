"""Repeats trials of a run, to see whether it is what it says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from bench.budget import Budget
from bench.engine.jobs import Unlearn
from bench.engine.plan import Trials
from bench.engine.requests import Request, work_of
from bench.engine.session import Session
from bench.errors import BenchError, CheckResult
from bench.metrics.confidence import logit_scaled_confidence
from bench.metrics.distinguishability import exchanged_distances, p_value
from bench.metrics.resampling import LEVEL
from bench.outputs import Outputs, concatenate
from bench.registry import discovery, specs
from bench.store.records import Failed, RunRecord

FEWEST_RERUN = 8  # fewer models cannot be told from anything


def rerun(session: Session, record: RunRecord, stored: Sequence[Outputs], trials: int) -> Iterator[CheckResult]:
    """Repeat the first chunks of a run, with at least so many trials, and compare with `stored`, the outputs of finished ones.

    On the same kind of processor with the same libraries they are equal bit for bit. If they are not, a permutation test says
    whether their distribution of confidences on the forget set is the same.
    """
    point, method = f"rerun of {trials} trials", record.method
    try:
        spec = specs.parse(method.spec)
        plugin = discovery.find_method(spec.plugin)
    except BenchError as problem:
        yield CheckResult(point, "", str(problem), "install the plugin, or go to the folder that its file is in")
        return
    if plugin.source_hash() != method.source_hash:
        yield CheckResult(point, "", "the plugin's source is not what the run was made with", f"install version {method.version}")
        return
    request = Request(plugin, spec, record.models, Budget.parse(record.budget), record.seed)
    chunks = _first(record, trials)
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
