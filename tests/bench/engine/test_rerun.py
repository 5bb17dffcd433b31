"""What is repeated of a run, and what is made of other numbers than those that are stored."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bench.engine.rerun import FEWEST_RERUN, _compared, _first, rerun
from bench.outputs import Outputs
from bench.scoring.calibration import Population, shifted
from bench.store.records import (
    Chunk,
    DeviceRecord,
    Failed,
    Finished,
    MethodRecord,
    Pending,
    RunRecord,
    TaskRecord,
)


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
