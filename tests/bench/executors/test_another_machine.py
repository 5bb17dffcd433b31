"""Jobs that travel as bytes to processes which share only a folder: the executor of tests/third_party, as an example."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from bench.engine.contents import Shelf
from bench.engine.jobs import Evaluate, Job, Setting, TrainOriginal, TrainRetrained
from bench.errors import WorkerError
from bench.executors.local import LocalExecutor
from bench.models.networks import recipe_for
from bench.tasks.task import SPLITS, TaskData

pytestmark = pytest.mark.process  # every test here starts one

PACKAGE = Path(__file__).parents[2] / "third_party"


def ignore(job: Job[Any], share: float) -> None:
    """Nobody wants to know how far a job is."""


@pytest.fixture
def shelf() -> Shelf:
    rows = {name: np.arange(24) + 24 * index for index, name in enumerate(SPLITS)}
    count = 24 * len(SPLITS)
    pixels = np.random.default_rng(0).integers(256, size=(count, 3, 32, 32), dtype=np.uint8)
    data = TaskData(pixels, np.arange(count) % 4, np.zeros(count, np.int64), rows)
    shelf = Shelf()
    shelf.put_data(data.digest(), lambda: data)
    shelf.digest = data.digest()
    return shelf


@pytest.fixture
def setting(shelf: Shelf) -> Callable[[int], Setting]:
    recipe = replace(recipe_for("resnet8-v1"), batch_size=16)
    return lambda epochs: Setting("resnet8-v1", 4, replace(recipe, epochs=epochs), "cpu", "cpu", shelf.digest)


@pytest.fixture
def pool(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(PACKAGE)  # which its processes inherit
    from third_party.executor import PoolExecutor

    executor = PoolExecutor(shelf, 2, lambda text: None)
    yield executor
    executor.close()


def test_it_gives_what_this_machine_gives_bit_for_bit(shelf: Shelf, setting, pool) -> None:
    local = LocalExecutor(shelf, 1, lambda text: None)
    jobs = [TrainOriginal(setting(2)), TrainRetrained(setting(2), (0, 1))]
    here, there = (dict(executor.submit(jobs, reached=ignore)) for executor in (local, pool))
    assert there[jobs[0]].outputs.digest() == here[jobs[0]].outputs.digest()
    assert there[jobs[1]].digest() == here[jobs[1]].digest()
    evaluated = Evaluate(setting(2), shelf.put_weights(there[jobs[0]].weights))
    ((_, outputs),) = pool.submit([evaluated], reached=ignore)
    assert outputs.digest() == here[jobs[0]].outputs.digest()
    local.close()


def test_contents_that_are_missing_there_are_told(shelf: Shelf, setting, pool) -> None:
    ((_, result),) = pool.submit([TrainOriginal(replace(setting(2), data="0" * 64))], reached=ignore)
    assert isinstance(result, WorkerError)
    assert "FileNotFoundError" in str(result)
    assert "\n" not in str(result)


def test_whoever_stops_listening_ends_its_processes_and_theirs(setting, pool, ended) -> None:
    jobs = [TrainRetrained(setting(2), (0,)), TrainRetrained(setting(10**6), (1,)), TrainRetrained(setting(10**6), (2,))]
    results = pool.submit(jobs, reached=ignore)
    assert next(results)[0] is jobs[0]
    processes = [psutil.Process(process.pid) for process in pool._processes]
    family = [*processes, *(child for process in processes for child in process.children(recursive=True))]
    assert len(family) > len(processes)
    results.close()
    ended(family)
