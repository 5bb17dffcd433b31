"""Trains the models that tell what is learnt by heart (`bench.tasks.memorisation` says what that is)."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from bench.engine.jobs import Job, Recognised, TrainOnShares
from bench.engine.session import Session
from bench.tasks.memorisation import SHARE, memorisation


def measured(session: Session, models: int) -> NDArray[np.float64]:
    """Train models on shares of the training set; returns memorisation of every training photo, in the order of rows.

    Raises:
        BenchError: a worker cannot train them.
    """
    size = session.stack_size
    chunks = [tuple(range(start, min(start + size, models))) for start in range(0, models, size)]
    jobs = [TrainOnShares(session.setting, chunk, SHARE) for chunk in chunks]
    label, failing = f"memorisation: {models} models", "training for memorisation failed"
    found = {cast(TrainOnShares, job).indices: answer for job, answer in session.results(jobs, label, failing, units=_models)}
    right = np.concatenate([found[chunk].right for chunk in chunks])
    included = np.concatenate([found[chunk].included for chunk in chunks])
    splits = session.data.splits
    rows = np.concatenate([splits["retain"], splits["forget"]])  # the order in which workers hold them
    scores: NDArray[np.float64] = memorisation(right, included)[np.argsort(rows)]
    return scores


def _models(job: Job[Recognised]) -> float:
    return len(cast(TrainOnShares, job).indices)
