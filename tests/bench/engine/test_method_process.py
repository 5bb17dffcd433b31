"""A process that runs one plugin: what it is handed, and what is closed to it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.engine import method_process
from bench.engine.method_process import start_method
from bench.engine.worker.handed import Handed
from bench.store.shipped import FOLDER
from bench.store.store import Store
from bench.tasks.task import METHOD_SPLITS, SPLITS, TaskData

DATA = TaskData(
    images=np.zeros((len(SPLITS), 3, 32, 32), np.uint8),
    labels=np.arange(len(SPLITS)),
    identities=np.arange(len(SPLITS)),
    splits={name: np.array([index]) for index, name in enumerate(SPLITS)},
)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """What a process is started with, by the arguments that follow the limits."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_DATA", "data")  # from here, wherever the process works
    (tmp_path / "data" / "age-folder").mkdir(parents=True)
    calls: list[Any] = []

    def worker(*arguments: Any, **named: Any) -> None:
        calls.append((arguments, named))

    def start(*rest: Any) -> Any:
        monkeypatch.setattr(method_process, "Worker", worker)
        closed = tuple(map(str, Store(tmp_path / "store").closed))
        start_method(SimpleNamespace(device_kind="cpu"), "the plugin", "the spec", 0.2, 10**9, closed, *rest)
        return calls[-1]

    return start


def test_a_method_is_handed_the_splits_that_it_may_see(started) -> None:
    (_, _, handed, *rest), _ = started(Handed.of(DATA, {"weight": np.ones((1, 2), np.float32)}))
    pictures, people, original = handed.pictures, handed.identities, handed.original
    assert set(pictures) == set(people) == set(METHOD_SPLITS) < set(SPLITS)
    assert [pictures[name][1].tolist() for name in METHOD_SPLITS] == [[SPLITS.index(name)] for name in METHOD_SPLITS]
    assert set(original) == {"weight"}
    assert rest == ["the plugin", "the spec", 0.2]


def test_to_be_described_it_needs_none(started) -> None:
    (_, _, handed, *_), named = started()
    assert (handed, named["heard"]) == (Handed(), False)


def test_what_retrained_models_answer_and_prepared_pictures_are_closed_to_it(started, tmp_path: Path) -> None:
    _, named = started(Handed.of(DATA, {}))
    store = tmp_path / "store"
    assert named["closed"] == [*map(str, (store / "references", store / "runs", FOLDER, tmp_path / "data" / "age-folder"))]


def test_a_user_without_a_home_has_no_prepared_pictures(started, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise method_process.BenchError("there is no home folder")

    monkeypatch.setattr(method_process, "home", nowhere)
    _, named = started(Handed.of(DATA, {}))
    assert named["closed"][-1] == str(FOLDER)
