"""Models from elsewhere are evaluated in their order, and kept as a run without times."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from bench.budget import Budget
from bench.engine import elsewhere, references
from bench.engine.jobs import Evaluate
from bench.engine.machine import Device
from bench.engine.session import Session
from bench.errors import BenchError, WorkerError
from bench.outputs import OUTPUT_SPLITS, Outputs
from bench.store.records import Finished
from bench.tasks.age_synthetic import age_synthetic

SHA256 = "a" * 64


@pytest.fixture
def session_of(told, small_data):
    """Makes a session whose jobs an executor answers."""

    def make(executor: Any, keeper: Any = None) -> Session:
        data = small_data()
        task = replace(age_synthetic(), load=lambda: data, digest=data.digest())
        return Session(keeper, task, Device("cpu", "cpu", "Some CPU", {"torch": "2"}), executor, progress=told)

    return make


def outputs_of(numbers: list[float]) -> Outputs:
    logits = np.array(numbers, np.float32)[:, None, None] * np.ones((1, 3, 2), np.float32)
    return Outputs(dict.fromkeys(OUTPUT_SPLITS, logits), np.array(numbers))


@pytest.mark.parametrize("backwards", [False, True])
def test_models_stay_in_their_order(answering, session_of, backwards: bool) -> None:
    def evaluate(job: Evaluate) -> Outputs:
        return outputs_of(session.shelf.weights(job.weights)["a"].tolist())

    executor = answering(evaluate)
    session = session_of(executor)
    if backwards:
        executor.submit = lambda jobs, **how: type(executor).submit(executor, jobs[::-1], **how)
    found = elsewhere.evaluated(session, [{"a": np.array([3.0, 1.0])}, {"a": np.array([2.0])}])
    assert found.retain_accuracy.tolist() == [3.0, 1.0, 2.0]


def test_models_that_cannot_be_evaluated_are_told(answering, session_of) -> None:
    def fail(job: Evaluate) -> Outputs:
        raise WorkerError("no luck")

    with pytest.raises(BenchError, match="evaluating the checkpoints failed: no luck"):
        elsewhere.evaluated(session_of(answering(fail)), [{"a": np.zeros(1)}])


class Keeper:
    """Keeps a run, and a reference that says what it is asked for."""

    def __init__(self) -> None:
        self.record: Any = None
        self.kept: list[tuple[int, ...]] = []

    def reference(self, *_: object) -> Any:
        return SimpleNamespace(identifier=lambda models: "0" * 16, shipped_models=3, retraining_time=lambda processor: 10.0)

    @contextmanager
    def run(self, record: Any, *, again: bool, note: Any):
        assert not again
        self.record = self.record or record
        yield self

    def keep_outputs(self, trials: tuple[int, ...], outputs: Outputs, measured: Any, wall_seconds: float) -> None:
        self.kept.append(tuple(trials))
        finished = Finished(trials=trials, file="outputs-0000.npz", sha256=SHA256)
        self.record = msgspec.structs.replace(self.record, run="mine-0", chunks=(finished,))


def test_they_are_kept_as_a_run_that_nobody_timed(answering, session_of, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Any] = []
    monkeypatch.setattr(references, "build", lambda session, reference, indices: built.append(list(indices)))
    keeper = Keeper()
    session = session_of(answering(lambda job: None), keeper)
    for _ in range(2):  # the same once more: nothing is kept again
        assert elsewhere.keep(session, "mine", SHA256, outputs_of([1.0, 2.0]), Budget.parse("30%")) == "mine-0"
    assert built == [[0, 1], [0, 1]]
    assert keeper.kept == [(0, 1)]
    record = keeper.record
    assert (record.self_reported, record.complete, record.models, record.budget, record.problem) == (True, True, 2, "30%", "")
    assert (record.method.name, record.method.source_hash, record.allowance_seconds) == ("mine", SHA256, 3.0)
    assert (record.timing.seconds, record.environment) == ([], {})
