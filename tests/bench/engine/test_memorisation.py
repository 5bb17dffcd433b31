"""Scores of memorisation belong to the photos in the order of the task's rows, whatever the workers' order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.engine.jobs import Recognised, TrainOnShares
from bench.engine.machine import Device
from bench.engine.memorisation import measured
from bench.engine.session import Session
from bench.errors import BenchError, WorkerError
from bench.tasks.age_synthetic import age_synthetic
from bench.tasks.memorisation import SHARE
from bench.tasks.task import SPLITS, TaskData

RETAIN, FORGET = [5, 1, 4], [3, 0]
BY_HEART = (4, 0)  # rows of photos that only those models recognise that saw them


def train(job: TrainOnShares) -> Recognised:
    """Model m sees every other photo."""
    rows = np.array([*RETAIN, *FORGET])
    included = (np.array(job.indices)[:, None] + np.arange(len(rows))) % 2 == 0
    return Recognised(included | ~np.isin(rows, BY_HEART), included)


def fail(job: TrainOnShares) -> Recognised:
    raise WorkerError("no luck")


@pytest.fixture
def session_of(told):
    """Makes a session whose jobs an executor answers."""

    def make(executor: Any) -> Session:
        splits = {**dict.fromkeys(SPLITS, np.zeros(0, np.int64)), "retain": np.array(RETAIN), "forget": np.array(FORGET)}
        data = TaskData(np.zeros((6, 3, 2, 2), np.uint8), np.zeros(6, np.int64), np.zeros(6, np.int64), splits)
        task = replace(age_synthetic(), load=lambda: data, digest=data.digest())
        opened = Session(None, task, Device("cpu", "cpu", "Some CPU", {}), executor, progress=told)
        opened.stack_size = 3
        return opened

    return make


@pytest.mark.parametrize("backwards", [False, True])
def test_scores_come_in_the_order_of_rows(answering, session_of, told, backwards: bool) -> None:
    executor = answering(train)
    session = session_of(executor)
    if backwards:  # results may come in any order
        executor.submit = lambda jobs, **how: type(executor).submit(executor, jobs[::-1], **how)
    scores = measured(session, models=4)
    jobs = [TrainOnShares(session.setting, chunk, SHARE) for chunk in ((0, 1, 2), (3,))]
    assert executor.asked == (jobs[::-1] if backwards else jobs)
    assert dict(zip(sorted([*RETAIN, *FORGET]), scores, strict=True)) == {0: 1.0, 1: 0.0, 3: 0.0, 4: 1.0, 5: 0.0}
    assert told.done == {"memorisation: 4 models": pytest.approx(1.0)}


def test_a_worker_that_cannot_train_is_told(answering, session_of) -> None:
    with pytest.raises(BenchError, match="training for memorisation failed: no luck"):
        measured(session_of(answering(fail)), models=4)
