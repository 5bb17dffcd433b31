"""Trials of the method under test as a run computes them: in a process of their own, by the engine, on the toy task's data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from bench.engine.compute import compute
from bench.engine.contents import Shelf
from bench.engine.jobs import Setting, UnlearnWeights, Work
from bench.engine.machine import Machine, default_memory_limit
from bench.models.networks import recipe_for
from bench.outputs import Arrays
from bench.tasks.task import SPLITS, TaskData
from bench.testing.subject import SEED, Subject
from bench.testing.toy_task import CLASSES, NETWORK, SIZES, ToyTask
from bench.weights import state


def real_trials(subject: Subject, trials: Sequence[int], allowance: float) -> Arrays:
    """Weights of unlearned models {name: [M, ...]}, a stack if the method is stackable.

    Args:
        subject: whose method.
        trials: which.
        allowance: seconds of one trial; what takes more than twice of that, and 5 s, is killed.

    Raises:
        WorkerError: as in a run, the method fails, or returns what cannot be evaluated.
    """
    shelf, machine, data = Shelf(), None, _data(subject.task)
    plugin, source, method = subject.plugin, subject.plugin.source(), type(subject.method)
    if plugin.text is not None:
        shelf.put_source(source.digest, plugin.text)
    digest = shelf.put_data(data.digest(), lambda: data)
    setting = Setting(NETWORK, CLASSES, recipe_for(NETWORK), "cpu", "cpu", digest)
    work = Work(
        plugin=replace(plugin, text=None),
        source=source.digest,
        spec=subject.spec,
        seed=SEED,
        stackable=method.stackable and not method.uses_clock,
        uses_clock=method.uses_clock,
        allowance=allowance,
        share=None,
        original=shelf.put_weights(_weights(subject.task.original())),
        memory_limit=default_memory_limit(1),
    )
    machine = Machine(shelf)
    try:
        return compute(UnlearnWeights(setting, work, tuple(trials)), machine)
    finally:
        machine.close()


def _weights(model: nn.Module) -> Arrays:
    return {name: view.detach().cpu().numpy() for name, view in state(model).items()}


def _data(task: ToyTask) -> TaskData:
    """The toy task's splits as a task has them; of those that no method sees, none has a photo."""
    columns: list[tuple[NDArray[Any], NDArray[Any]]] = [task.pictures(name) for name in SIZES]
    ends = np.cumsum([0, *SIZES.values()])
    rows = {name: np.arange(start, end) for name, start, end in zip(SIZES, ends[:-1], ends[1:], strict=True)}
    images, labels = (np.concatenate(each) for each in zip(*columns, strict=True))
    nobody = np.arange(0)
    splits = {name: rows.get(name, nobody) for name in SPLITS}
    return TaskData(images, labels, np.arange(len(labels)) // 4, splits)
