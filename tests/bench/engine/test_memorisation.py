"""Scores of memorisation belong to the photos in the order of the task's rows, whatever the workers' order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.engine.memorisation import measured
from bench.engine.session import Session
from bench.engine.worker.process import Reply
from bench.errors import BenchError, WorkerError
from bench.executors.local import LocalExecutor
from bench.progress import Progress
from bench.tasks.memorisation import SHARE

RETAIN, FORGET = [5, 1, 4], [3, 0]
BY_HEART = (4, 0)  # rows of photos that only those models recognise that saw them


class Trainer:
    """A worker whose model m sees every other photo."""

    alive = True

    def __init__(self) -> None:
        self.jobs: list[list[int]] = []

    def ask(self, operation: str, indices: list[int], share: float) -> Reply:
        assert (operation, share) == ("train_on_shares", SHARE)
        self.jobs.append(indices)
        rows = np.array([*RETAIN, *FORGET])
        included = (np.array(indices)[:, None] + np.arange(len(rows))) % 2 == 0
        return Reply(b"{}", {"included": included, "right": included | ~np.isin(rows, BY_HEART)})

    def close(self) -> None:
        """Nothing to end."""


class Broken(Trainer):
    """It cannot."""

    def ask(self, operation: str, indices: list[int], share: float) -> Reply:
        raise WorkerError("no luck")


def session_of(worker: Trainer) -> Session:
    data: Any = SimpleNamespace(splits={"retain": np.array(RETAIN), "forget": np.array(FORGET)})
    executor = LocalExecutor(lambda: worker, workers=1, end_all=worker.close)
    return SimpleNamespace(stack_size=3, progress=Progress(), data=data, executor=executor)


def test_scores_come_in_the_order_of_rows() -> None:
    worker = Trainer()
    scores = measured(session_of(worker), models=4)
    assert worker.jobs == [[0, 1, 2], [3]]
    assert dict(zip(sorted([*RETAIN, *FORGET]), scores, strict=True)) == {0: 1.0, 1: 0.0, 3: 0.0, 4: 1.0, 5: 0.0}


def test_a_worker_that_cannot_train_is_told() -> None:
    with pytest.raises(BenchError, match="training for memorisation failed: no luck"):
        measured(session_of(Broken()), models=4)
