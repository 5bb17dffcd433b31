"""References are trained once, and what is missing of them again. Any keeper will do; this one has no disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import count
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.engine.references import build, retraining_time
from bench.engine.session import Session
from bench.engine.worker.process import Reply
from bench.errors import BenchError, WorkerError
from bench.executors.local import LocalExecutor
from bench.outputs import OUTPUT_SPLITS, Outputs
from bench.progress import Progress
from bench.store.records import ReferenceRecord
from bench.tasks.task import SPLITS, UNKNOWN, TaskData

WEIGHTS = {"fc.weight": np.ones((4, 2), np.float32)}
EPOCHS = 12


def outputs(models: int) -> Outputs:
    return Outputs({name: np.zeros((models, 3, 2), np.float32) for name in OUTPUT_SPLITS}, np.zeros(models))


class Trainer:
    """A trusted worker that trains in no time; every look at its clock is a second later."""

    alive = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self._ticks = count()

    def ask(self, operation: str, on_progress: object = None, **arguments: Any) -> Reply:
        self.asked.append((operation, *arguments.values()))
        if operation == "train_original":
            weights = {f"weights/{name}": array[None] for name, array in WEIGHTS.items()}
            return Reply(b"{}", {**outputs(1).arrays(), **weights})
        if operation in ("train_retrained", "evaluate"):
            return Reply(b"{}", outputs(len(arguments.get("indices", [0]))).arrays())
        return Reply(b"{}", {})

    def clock(self) -> float:
        return float(next(self._ticks))

    def close(self) -> None:
        """Nothing to end."""


class Broken(Trainer):
    """It cannot."""

    def ask(self, operation: str, on_progress: object = None, **arguments: Any) -> Reply:
        raise WorkerError("no luck")


class InMemory:
    """A reference that is kept in memory."""

    def __init__(self) -> None:
        self.about: ReferenceRecord | None = None
        self.kept: dict[str, Any] = {}
        self.times: dict[str, float] = {}

    @property
    def has_labels(self) -> bool:
        return "labels" in self.kept

    @property
    def has_original(self) -> bool:
        return "original" in self.kept

    @contextmanager
    def growing(self, about: ReferenceRecord, note: object) -> Iterator[None]:
        self.about = about
        yield

    def has_retrained(self, chunk: Sequence[int]) -> bool:
        return f"retrained {chunk[0]}" in self.kept

    def keep_labels(self, labels: Mapping[str, NDArray[np.int64]], forget_identities: NDArray[np.int64] | None) -> None:
        self.kept["labels"] = labels, forget_identities

    def keep_original(self, weights: Mapping[str, NDArray[np.float32]], outputs: Outputs) -> None:
        self.kept["original"] = weights

    def keep_retrained(self, chunk: Sequence[int], outputs: Outputs) -> None:
        self.kept[f"retrained {chunk[0]}"] = len(outputs)

    def retraining_time(self, processor: str) -> float | None:
        return self.times.get(processor)

    def keep_retraining_time(self, processor: str, seconds: float) -> None:
        self.times[processor] = seconds


def session_of(worker: Trainer, *, original: object = None, people: int = 7) -> Session:
    rows = {name: np.arange(2) + 2 * index for index, name in enumerate(SPLITS)}
    count = 2 * len(SPLITS)
    data = TaskData(np.zeros((count, 3, 2, 2), np.uint8), np.arange(count), np.full(count, people), rows)
    task = SimpleNamespace(name="t", key="f" * 64, forget_set="nobody", original=original, recipe=SimpleNamespace(epochs=EPOCHS))
    return SimpleNamespace(
        task=task,
        data=data,
        device=SimpleNamespace(kind="cpu", timed_as="Some CPU", environment={"torch": "2"}),
        device_lock=SimpleNamespace(shared=nullcontext, alone=nullcontext),
        stack_size=4,
        progress=Progress(),
        executor=LocalExecutor(lambda: worker, workers=1, end_all=worker.close),
    )


def test_what_is_missing_is_trained_once() -> None:
    worker, reference = Trainer(), InMemory()
    build(session_of(worker), reference, range(5))
    trained = [("train_retrained", [0, 1, 2, 3]), ("train_retrained", [4, 5, 6, 7]), ("train_original",)]
    assert worker.asked == [*trained, ("prepare_epochs",), ("run_epochs", 2)]
    assert (reference.kept["retrained 0"], reference.kept["retrained 4"]) == (4, 4)
    assert reference.kept["original"]["fc.weight"].shape == (1, 4, 2)
    assert reference.times == {"Some CPU": EPOCHS / 2}  # two epochs took a second
    assert (reference.about.device, reference.about.stack_size, reference.about.task.key) == ("cpu", 4, "f" * 64)

    worker.asked.clear()
    build(session_of(worker), reference, range(8))
    assert worker.asked == []
    build(session_of(worker), reference, [8])
    assert worker.asked == [("train_retrained", [8, 9, 10, 11])]


def test_labels_are_those_of_the_splits() -> None:
    reference = InMemory()
    build(session_of(Trainer()), reference, [])
    labels, people = reference.kept["labels"]
    assert set(labels) == set(OUTPUT_SPLITS)
    assert labels["forget"].tolist() == [2, 3]
    assert labels["retain_sample"].tolist() == [0, 1]
    assert people.tolist() == [7, 7]
    unknown = InMemory()
    build(session_of(Trainer(), people=UNKNOWN), unknown, [])
    assert unknown.kept["labels"][1] is None


def test_an_original_that_came_with_the_task_is_evaluated_and_not_trained() -> None:
    worker, reference = Trainer(), InMemory()
    build(session_of(worker, original=WEIGHTS), reference, [])
    assert [operation for operation, *_ in worker.asked] == ["evaluate", "prepare_epochs", "run_epochs"]
    assert np.array_equal(reference.kept["original"]["fc.weight"], WEIGHTS["fc.weight"][None])


def test_a_worker_that_cannot_train_is_told() -> None:
    reference = InMemory()
    with pytest.raises(BenchError, match="training the reference failed: no luck"):
        build(session_of(Broken()), reference, range(4))
    assert not reference.has_original
    assert reference.times == {}


def test_nobody_guesses_how_long_a_retraining_takes() -> None:
    with pytest.raises(BenchError, match="nobody has timed a retraining on Some CPU; `bench reference build` does it"):
        retraining_time(session_of(Trainer()), InMemory())
