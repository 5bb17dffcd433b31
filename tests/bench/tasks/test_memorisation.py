"""Memorisation against loops, and what is made of a file of scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.errors import BenchError
from bench.store.files import DamagedFileError
from bench.tasks.memorisation import _path, memorisation, read, write
from bench.tasks.variants import load_task


def test_against_loops() -> None:
    draws = np.random.default_rng(0)
    right, included = draws.random((6, 50)) < 0.6, draws.random((6, 50)) < 0.7
    for photo, value in enumerate(memorisation(right, included)):
        sides = {True: [], False: []}
        for model in range(6):
            sides[bool(included[model, photo])].append(float(right[model, photo]))
        expected = np.mean(sides[True]) - np.mean(sides[False]) if sides[True] and sides[False] else np.nan
        assert value == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_damaged_file_is_named(content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    task = load_task("age-synthetic")
    with pytest.raises(BenchError, match="nobody has measured yet"):
        read(task)
    path = _path(task)
    path.parent.mkdir(parents=True)
    if content is None:
        np.savez(path, scores=np.zeros(7))  # of other data
    else:
        path.write_bytes(content)
    with pytest.raises(DamagedFileError, match="makes it again"):
        read(task)
    scores = np.linspace(-1, 1, 2400)
    assert write(task, scores) == path
    assert np.array_equal(read(task), scores)


def test_all_forget_sets_of_a_task_share_their_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    own, other, network = (load_task(f"age-synthetic{form}") for form in ("", '[forget="random:9"]', '[model="resnet18"]'))
    assert _path(own) == _path(other)
    assert _path(own) != _path(network)
