"""What is repeated of a run, and what is made of other numbers than those that are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from bench.engine.jobs import Computed, Unlearn
from bench.engine.machine import Device
from bench.engine.rerun import FEWEST_RERUN, _compared, _first, rerun
from bench.engine.session import Session
from bench.errors import WorkerError
from bench.outputs import Outputs
from bench.registry import discovery
from bench.scoring.calibration import Population
from bench.scoring.constructions import shifted
from bench.store.method_records import MethodRecord
from bench.store.records import Chunk, DeviceRecord, Failed, Finished, Measured, Pending, RunRecord, TaskRecord
from bench.tasks.age_synthetic import age_synthetic


def record_of(chunks: Sequence[Chunk] = (), spec: str = "finetune") -> RunRecord:
    method = MethodRecord(
        name="finetune", spec=spec, hyper_parameters={}, source_hash="0" * 64, control=False, reference_models=(), version="9"
    )
    return RunRecord(
        method=method,
        task=TaskRecord(name="t", key="f" * 64),
        reference_id="0" * 16,
        models=8,
        budget="20%",
        seed=0,
        device=DeviceRecord(kind="cpu"),
        retraining_seconds=5.0,
        allowance_seconds=1.0,
        chunks=tuple(chunks),
    )


def finished(*trials: int) -> Finished:
    return Finished(trials=trials, file="outputs-0000.npz", sha256="0" * 64)


@pytest.mark.parametrize(
    ("trials", "chosen"),
    [(1, [(0, 1)]), (2, [(0, 1)]), (3, [(0, 1), (4, 5, 6)]), (99, [(0, 1), (4, 5, 6), (7,)])],
)
def test_the_first_finished_chunks_are_repeated(trials: int, chosen: list[tuple[int, ...]]) -> None:
    chunks = [finished(0, 1), Failed(trials=(2,), failure="no luck"), Pending(trials=(3,)), finished(4, 5, 6), finished(7)]
    assert _first(record_of(chunks), trials) == chosen


def test_what_was_made_with_something_else_is_not_repeated() -> None:
    (check,) = rerun(None, record_of(), [], 2)
    assert check.problem == "the plugin's source is not what the run was made with"
    assert check.remedy == "install version 9"
    (check,) = rerun(None, record_of(spec="finetuna"), [], 2)
    assert "did you mean finetune" in check.problem


@pytest.fixture(scope="module")
def population() -> Population:
    return Population.draw(40, seed=0)


@dataclass
class Repeated:
    """A finished run of this version's fine-tuning in two chunks, and a session that repeats its trials."""

    session: Session
    executor: Any
    record: RunRecord
    stored: list[Outputs]

    def check(self, trials: int):
        (check,) = rerun(self.session, self.record, self.stored, trials)
        return check


@pytest.fixture
def repeated(answering, population: Population) -> Repeated:
    plain = record_of([finished(0, 1), finished(2)])
    record = replace(plain, method=replace(plain.method, source_hash=discovery.find_method("finetune").source_hash()))
    stored = [population.retrained(2).outputs, population.retrained(1).outputs]
    by_trials = dict(zip([(0, 1), (2,)], stored, strict=True))
    executor = answering(lambda job: Computed(by_trials[job.trials], Measured(), 1.0))
    weights = {"fc.weight": np.zeros((1, 4, 2), np.float32)}
    reference = SimpleNamespace(original_weights=lambda: weights, labels=lambda: population.labels)
    keeper = SimpleNamespace(closed=[], reference=lambda task_key, device_kind, note: reference)
    session = Session(keeper, age_synthetic(), Device("cpu", "cpu", "Some CPU", {}), executor)
    return Repeated(session, executor, record, stored)


def test_trials_are_repeated_as_they_were_made(repeated: Repeated) -> None:
    check = repeated.check(3)
    assert (check.point, check.seen, check.problem) == ("rerun of 3 trials", "bit for bit the stored outputs", "")
    jobs = repeated.executor.asked
    assert [(type(job), job.trials) for job in jobs] == [(Unlearn, (0, 1)), (Unlearn, (2,))]
    work, record = jobs[0].work, repeated.record
    assert (work.seed, work.allowance, work.source) == (record.seed, record.allowance_seconds, record.method.source_hash)
    assert (str(work.spec), work.stackable, work.uses_clock) == ("finetune", record.method.stackable, record.method.uses_clock)
    assert repeated.session.shelf.weights(work.original)["fc.weight"].shape == (1, 4, 2)


def test_chunks_that_come_in_another_order_are_compared_with_their_own(repeated: Repeated) -> None:
    executor = repeated.executor
    executor.submit = lambda jobs, **how: type(executor).submit(executor, jobs[::-1], **how)
    assert repeated.check(3).seen == "bit for bit the stored outputs"


def test_only_as_many_chunks_are_repeated_as_were_asked_for(repeated: Repeated) -> None:
    assert repeated.check(1).point == "rerun of 2 trials"
    assert [job.trials for job in repeated.executor.asked] == [(0, 1)]


def test_trials_that_fail_when_they_are_repeated_are_told(repeated: Repeated) -> None:
    repeated.executor.answer = lambda job: Failed(trials=job.trials, failure="no luck today")
    assert repeated.check(3).problem == "no luck today"
    assert [job.trials for job in repeated.executor.asked] == [(0, 1)]


def test_a_worker_that_cannot_repeat_them_is_told(repeated: Repeated) -> None:
    def die(job: Unlearn) -> Computed:
        raise WorkerError("the worker process died (signal 9)", kind="died")

    repeated.executor.answer = die
    assert repeated.check(3).problem == "evaluating trials failed: the worker process died (signal 9)"


def compared(population: Population, before: Outputs, again: Outputs):
    return _compared("rerun", before, again, population.labels["forget"])


def test_equal_numbers(population: Population) -> None:
    stored = population.retrained(2).outputs
    check = compared(population, stored, stored.select([0, 1]))
    assert check.well
    assert check.seen == "bit for bit the stored outputs"


def test_a_few_models_with_other_numbers_prove_nothing(population: Population) -> None:
    before, again = (population.retrained(FEWEST_RERUN - 1).outputs for _ in range(2))
    check = compared(population, before, again)
    assert check.well
    assert "are too few to compare distributions" in check.seen


def test_other_numbers_of_the_same_distribution_are_well(population: Population) -> None:
    before, again = (population.retrained(FEWEST_RERUN).outputs for _ in range(2))
    check = compared(population, before, again)
    assert check.well
    assert "of the same distribution as far as these trials show" in check.seen


def test_other_confidences_are_a_problem(population: Population) -> None:
    reference = population.retrained(FEWEST_RERUN)
    check = compared(population, reference.outputs, population.case(shifted(1.0), reference).outputs)
    assert check.problem.startswith("other confidences than stored (p = 0.0")
