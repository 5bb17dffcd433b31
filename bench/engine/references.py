"""Trains what unlearning is compared with: the original model and the retrained ones, each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.engine import plan
from bench.engine.jobs import Evaluate, Job, TimeRetraining, TrainOriginal, TrainRetrained
from bench.engine.keeper import ReferenceKeeper
from bench.engine.session import Session
from bench.errors import BenchError, WorkerError
from bench.outputs import Arrays
from bench.store.reference_records import ReferenceRecord, ReferenceTask, whole_chunks
from bench.tasks.answers import output_rows
from bench.tasks.task import UNKNOWN


def build(session: Session, reference: ReferenceKeeper, indices: Sequence[int]) -> None:
    """Train what is missing of the original model and the retrained models, and time a retraining.

    Raises:
        BenchError: a worker cannot train them.
    """
    with reference.growing(_about(session), session.progress.note, shipped=session.shipped):
        if not reference.has_labels:
            _keep_labels(session, reference)
        missing = [chunk for chunk in whole_chunks(indices, session.stack_size) if not reference.has_retrained(chunk)]
        _train(session, reference, missing, original=not reference.has_original)
    if reference.retraining_time(session.device.timed_as) is None:
        reference.keep_retraining_time(session.device.timed_as, timed(session))


def retraining_time(session: Session, reference: ReferenceKeeper) -> float:
    """Seconds that one retraining takes on this device; `build` has measured it."""
    seconds = reference.retraining_time(session.device.timed_as)
    if seconds is None:
        raise BenchError(f"nobody has timed a retraining on {session.device.timed_as}; `bench reference build` does it")
    return seconds


def _about(session: Session) -> ReferenceRecord:
    task = ReferenceTask(name=session.task.name, key=session.task.key, forget_set=session.task.forget_set)
    environment = dict(session.device.environment)
    return ReferenceRecord(task=task, device=session.device.kind, stack_size=session.stack_size, environment=environment)


def _keep_labels(session: Session, reference: ReferenceKeeper) -> None:
    rows = output_rows(session.data)
    people = {name: session.data.identities[chosen] for name, chosen in rows.items()}
    known = {name: who for name, who in people.items() if (who != UNKNOWN).any()}
    reference.keep_labels({name: session.data.labels[chosen] for name, chosen in rows.items()}, known)


def _train(session: Session, reference: ReferenceKeeper, chunks: Sequence[plan.Trials], *, original: bool) -> None:
    """Train chunks of retrained models and, beside them, the original model."""
    jobs: list[Job[Any]] = [TrainRetrained(session.setting, chunk) for chunk in chunks]
    given = _as_stack(session.task.original or {})
    if original:
        evaluated = Evaluate(session.setting, session.shelf.put_weights(given))
        jobs.append(evaluated if given else TrainOriginal(session.setting))
    label = f"reference: {_count(chunks, original=original)}"
    for job, result in session.results(jobs, label, "training the reference failed", units=_models):
        match job:
            case TrainRetrained():
                reference.keep_retrained(job.indices, result)
            case TrainOriginal():
                reference.keep_original(result.weights, result.outputs)
            case Evaluate():
                reference.keep_original(given, result)


def _models(job: Job[Any]) -> float:
    return len(job.indices) if isinstance(job, TrainRetrained) else 1


def _as_stack(weights: Mapping[str, NDArray[np.float32]]) -> Arrays:
    return {name: array[None] for name, array in weights.items()}


def timed(session: Session) -> float:
    """Seconds of one retraining, extrapolated from a warm epoch, with every other worker idle.

    Raises:
        BenchError: a worker cannot train it.
    """
    session.progress.stage("timing an epoch of retraining", 1)
    try:
        return session.attempt(TimeRetraining(session.setting))
    except WorkerError as problem:
        raise BenchError(f"timing a retraining failed: {problem}") from problem


def _count(chunks: Sequence[plan.Trials], *, original: bool) -> str:
    retrained = sum(map(len, chunks))
    parts = [f"{retrained} retrained models"] * (retrained > 0) + ["the original model"] * original
    return " and ".join(parts)
