"""Trains what unlearning is compared with: the original model and the retrained ones, each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.arrays import Arrays
from bench.engine import plan
from bench.engine.keeper import ReferenceKeeper
from bench.engine.session import Session
from bench.engine.worker.process import Reply, Worker
from bench.errors import BenchError, WorkerError
from bench.outputs import OUTPUT_SPLITS, from_arrays, retain_sample_rows
from bench.progress import job_progress
from bench.store.records import ReferenceRecord, ReferenceTask, whole_chunks
from bench.tasks.task import UNKNOWN

TIMED_EPOCHS = 2
_WEIGHTS = "weights/"  # what the names of weights begin with in the answer of a worker


def build(session: Session, reference: ReferenceKeeper, indices: Sequence[int]) -> None:
    """Train what is missing of the original model and the retrained models, and time a retraining.

    Raises:
        BenchError: a worker cannot train them.
    """
    with reference.growing(_about(session), session.progress.note):
        if not reference.has_labels:
            _keep_labels(session, reference)
        jobs = [chunk for chunk in whole_chunks(indices, session.stack_size) if not reference.has_retrained(chunk)]
        if not reference.has_original:
            jobs.append(())
        _train(session, reference, jobs)
        if reference.retraining_time(session.device.timed_as) is None:
            reference.keep_retraining_time(session.device.timed_as, _timed(session))


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
    data = session.data
    labels = {name: data.split(name)[1] for name in (*OUTPUT_SPLITS, "retain") if name != "retain_sample"}
    retain = labels.pop("retain")
    labels["retain_sample"] = retain[retain_sample_rows(len(retain), len(labels["test"]))]
    people = data.identities[data.splits["forget"]]
    reference.keep_labels(labels, people if (people != UNKNOWN).any() else None)


def _train(session: Session, reference: ReferenceKeeper, jobs: Sequence[plan.Chunk]) -> None:
    if not jobs:
        return
    advance = session.progress.stage(f"reference: {_count(jobs)}", sum(len(job) or 1 for job in jobs))

    def train(worker: Worker, job: plan.Chunk) -> Reply:
        reached, end = job_progress(lambda share: advance(share * (len(job) or 1)))
        with session.device_lock.shared():
            if job:
                reply = worker.ask("train_retrained", on_progress=reached, indices=list(job))
            elif session.task.original is None:
                reply = worker.ask("train_original", on_progress=reached)
            else:
                reply = worker.ask("evaluate", weights=_as_stack(session.task.original))
        end()
        return reply

    for job, reply in session.executor.map(jobs, train):
        if isinstance(reply, WorkerError):
            raise BenchError(f"training the reference failed: {reply}") from reply
        outputs = from_arrays(reply.arrays)
        if job:
            reference.keep_retrained(job, outputs)
        else:
            reference.keep_original(_original_weights(session, reply), outputs)


def _timed(session: Session) -> float:
    """Extrapolate one retraining from two warm epochs, with every other worker idle."""
    session.progress.stage("timing two epochs of retraining", 1)

    def measure(worker: Worker) -> float:
        worker.ask("prepare_epochs")
        start = worker.clock()
        worker.ask("run_epochs", epochs=TIMED_EPOCHS)
        return worker.clock() - start

    with session.device_lock.alone():
        return session.executor.first(measure) / TIMED_EPOCHS * session.task.recipe.epochs


def _as_stack(weights: Mapping[str, NDArray[np.float32]]) -> Arrays:
    return {name: array[None] for name, array in weights.items()}


def _original_weights(session: Session, reply: Reply) -> Arrays:
    """What the worker trained, or what came with the task."""
    if session.task.original is not None:
        return _as_stack(session.task.original)
    return {name.removeprefix(_WEIGHTS): array for name, array in reply.arrays.items() if name.startswith(_WEIGHTS)}


def _count(jobs: Sequence[plan.Chunk]) -> str:
    retrained = sum(len(job) for job in jobs)
    parts = [f"{retrained} retrained models"] * (retrained > 0) + ["the original model"] * (() in jobs)
    return " and ".join(parts)
