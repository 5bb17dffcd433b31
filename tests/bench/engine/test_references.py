"""References are trained once, and what is missing of them again. Any keeper will do; this one has no disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.engine.jobs import Evaluate, Job, TimeRetraining, Trained, TrainOriginal, TrainRetrained
from bench.engine.machine import Device
from bench.engine.references import build, retraining_time
from bench.engine.session import Session
from bench.errors import BenchError, WorkerError
from bench.outputs import OUTPUT_SPLITS, Outputs
from bench.store.reference_records import ReferenceRecord
from bench.tasks.age_synthetic import age_synthetic
from bench.tasks.task import UNKNOWN

WEIGHTS = {"fc.weight": np.ones((4, 2), np.float32)}
CPU = Device("cpu", "cpu", "Some CPU", {"torch": "2"})


def outputs(models: int) -> Outputs:
    return Outputs({name: np.zeros((models, 3, 2), np.float32) for name in OUTPUT_SPLITS}, np.zeros(models))


def train(job: Job[Any]) -> Any:
    """What a machine answers that trains in no time, and whose every timing takes a second."""
    match job:
        case TrainOriginal():
            return Trained({name: array[None] for name, array in WEIGHTS.items()}, outputs(1))
        case Evaluate():
            return outputs(1)
        case TrainRetrained():
            return outputs(len(job.indices))
        case TimeRetraining():
            return 1.0


def fail(job: Job[Any]) -> Any:
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
    def growing(self, about: ReferenceRecord, note: object, *, shipped: bool) -> Iterator[None]:
        self.about, self.shipped = about, shipped
        yield

    def has_retrained(self, chunk: Sequence[int]) -> bool:
        return f"retrained {chunk[0]}" in self.kept

    def keep_labels(self, labels: Mapping[str, NDArray[np.int64]], identities: Mapping[str, NDArray[np.int64]]) -> None:
        self.kept["labels"] = labels, identities

    def keep_original(self, weights: Mapping[str, NDArray[np.float32]], outputs: Outputs) -> None:
        self.kept["original"] = weights

    def keep_retrained(self, chunk: Sequence[int], outputs: Outputs) -> None:
        self.kept[f"retrained {chunk[0]}"] = len(outputs)

    def retraining_time(self, processor: str) -> float | None:
        return self.times.get(processor)

    def keep_retraining_time(self, processor: str, seconds: float) -> None:
        self.times[processor] = seconds


class Engine:
    """A session whose jobs a function answers, and the reference that it fills."""

    def __init__(self, answering, told, small_data) -> None:
        self.executor, self.told, self.small_data = answering(train), told, small_data
        self.reference = InMemory()

    def session(self, *, original: Mapping[str, NDArray[np.float32]] | None = None, people: int = 7) -> Session:
        data = self.small_data(people)
        task = replace(age_synthetic(), load=lambda: data, digest=data.digest(), original=original)
        opened = Session(None, task, CPU, self.executor, progress=self.told)
        opened.stack_size = 4
        return opened


@pytest.fixture
def engine(answering, told, small_data) -> Engine:
    return Engine(answering, told, small_data)


def test_what_is_missing_is_trained_once(engine: Engine) -> None:
    session, reference = engine.session(), engine.reference
    build(session, reference, range(5))
    trained = [TrainRetrained(session.setting, chunk) for chunk in ((0, 1, 2, 3), (4, 5, 6, 7))]
    assert engine.executor.asked == [*trained, TrainOriginal(session.setting), TimeRetraining(session.setting)]
    assert (reference.kept["retrained 0"], reference.kept["retrained 4"]) == (4, 4)
    assert reference.kept["original"]["fc.weight"].shape == (1, 4, 2)
    assert reference.times == {"Some CPU": 1.0}
    assert reference.about is not None
    assert (reference.about.device, reference.about.stack_size, reference.about.task.key) == ("cpu", 4, session.task.key)
    assert reference.about.environment == {"torch": "2"}
    assert engine.told.done["reference: 8 retrained models and the original model"] == pytest.approx(1.0)

    engine.executor.asked.clear()
    build(session, reference, range(8))
    assert engine.executor.asked == []
    build(session, reference, [8])
    assert engine.executor.asked == [TrainRetrained(session.setting, (8, 9, 10, 11))]


def test_labels_are_those_of_the_splits(engine: Engine) -> None:
    build(engine.session(), engine.reference, [])
    labels, people = engine.reference.kept["labels"]
    assert set(labels) == set(OUTPUT_SPLITS)
    assert labels["forget"].tolist() == [2, 3]
    assert labels["retain_sample"].tolist() == [0, 1]
    assert people["forget"].tolist() == [7, 7]
    assert {name: len(who) for name, who in people.items()} == {name: len(known) for name, known in labels.items()}
    unknown = InMemory()
    build(engine.session(people=UNKNOWN), unknown, [])
    assert unknown.kept["labels"][1] == {}


def test_an_original_that_came_with_the_task_is_evaluated_and_not_trained(engine: Engine) -> None:
    session = engine.session(original=WEIGHTS)
    build(session, engine.reference, [])
    evaluated, timed = engine.executor.asked
    assert isinstance(evaluated, Evaluate)
    assert timed == TimeRetraining(session.setting)
    assert np.array_equal(session.shelf.weights(evaluated.weights)["fc.weight"], WEIGHTS["fc.weight"][None])
    assert np.array_equal(engine.reference.kept["original"]["fc.weight"], WEIGHTS["fc.weight"][None])


def test_a_worker_that_cannot_train_is_told(engine: Engine) -> None:
    engine.executor.answer = fail
    with pytest.raises(BenchError, match="training the reference failed: no luck"):
        build(engine.session(), engine.reference, range(4))
    assert not engine.reference.has_original
    assert engine.reference.times == {}


def test_nobody_guesses_how_long_a_retraining_takes(engine: Engine) -> None:
    with pytest.raises(BenchError, match="nobody has timed a retraining on Some CPU; `bench reference build` does it"):
        retraining_time(engine.session(), engine.reference)
