"""Trials of the kit are those of a run: in a process of their own, in float32, of data as a task has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.errors import WorkerError
from bench.tasks.task import METHOD_SPLITS
from bench.testing.real_trial import _data, real_trials
from bench.testing.subject import subject
from bench.testing.toy_task import CLASSES, SIZES, toy_task

pytestmark = pytest.mark.process


def test_stackable_methods_are_computed_as_a_stack() -> None:
    weights = real_trials(subject("noise-injection"), (0, 1, 2), allowance=100.0)
    assert {len(views) for views in weights.values()} == {3}
    assert weights["fc.weight"].shape == (3, CLASSES, 64)
    assert np.abs(weights["fc.weight"][0] - weights["fc.weight"][1]).max() > 0  # of another seed


def test_a_method_in_a_file_fails_there_as_in_a_run(tmp_path: Path) -> None:
    source = """from bench import Method


class Plugin(Method):
    def unlearn(self, model, data, trial):
        raise ValueError(f"{trial.indices} of {len(data.retain)}")
"""
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(WorkerError, match=r"^trials 0-0: ValueError: \(0,\) of 96$"):
        real_trials(subject(str(tmp_path / "mine.py")), (0,), allowance=100.0)


def test_the_data_are_the_toy_tasks() -> None:
    task, data = toy_task(), _data(toy_task())
    assert {name: len(rows) for name, rows in data.splits.items() if len(rows)} == SIZES
    for name in METHOD_SPLITS:
        images, labels = data.split(name)
        assert images.dtype == np.uint8
        np.testing.assert_allclose(images / 255, task.columns[name][0].numpy(), atol=0.5 / 255 + 1e-6)
        assert labels.tolist() == task.columns[name][1].tolist()
