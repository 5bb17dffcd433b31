"""Trains the models that tell what is learnt by heart (`bench.tasks.memorisation` says what that is)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.engine import plan
from bench.engine.session import Session
from bench.engine.worker.process import Worker
from bench.errors import BenchError, WorkerError
from bench.tasks.memorisation import SHARE, memorisation

Seen = tuple[NDArray[np.bool_], NDArray[np.bool_]]  # [M, n]: whether each model recognises a photo, whether it saw it


def measured(session: Session, models: int) -> NDArray[np.float64]:
    """Train models on shares of the training set; returns memorisation of every training photo, in the order of rows.

    Raises:
        BenchError: a worker cannot train them.
    """
    size = session.stack_size
    jobs: list[plan.Chunk] = [tuple(range(start, min(start + size, models))) for start in range(0, models, size)]
    advance = session.progress.stage(f"memorisation: {models} models", models)
    answers: dict[plan.Chunk, Seen] = {}

    def train(worker: Worker, job: plan.Chunk) -> Seen:
        reply = worker.ask("train_on_shares", indices=list(job), share=SHARE)
        return reply.arrays["right"], reply.arrays["included"]

    for job, answer in session.executor.map(jobs, train):
        if isinstance(answer, WorkerError):
            raise BenchError(f"training for memorisation failed: {answer}") from answer
        answers[job] = answer
        advance(len(job))
    right, included = (np.concatenate([answers[job][side] for job in jobs]) for side in (0, 1))
    splits = session.data.splits
    rows = np.concatenate([splits["retain"], splits["forget"]])  # the order in which workers hold them
    scores: NDArray[np.float64] = memorisation(right, included)[np.argsort(rows)]
    return scores
