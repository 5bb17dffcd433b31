"""Trials of the method under test as a run computes them: by the engine, in a process of their own, on the toy task's data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

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
    """Weights of the unlearned models {name: [M, ...]}, which are a stack if the method is stackable.

    Args:
        subject: with the method.
        trials: their indices.
        allowance: seconds of one trial; one that takes 5 s more than twice of that is killed.

    Raises:
        WorkerError: it fails; the message says why, as that of a run does.
    """
    shelf, plugin, method = Shelf(), subject.plugin, type(subject.method)
    source, data = plugin.source().digest, _data(subject.task)
    if plugin.text is not None:
        shelf.put_source(source, plugin.text)
    digest = shelf.put_data(data.digest(), lambda: data)
    original = {name: view.detach().numpy() for name, view in state(subject.task.original()).items()}
    work = Work(
        plugin=replace(plugin, text=None),
        source=source,
        spec=subject.spec,
        seed=SEED,
        stackable=method.stackable and not method.uses_clock,
        uses_clock=method.uses_clock,
        allowance=allowance,
        share=None,
        original=shelf.put_weights(original),
        memory_limit=default_memory_limit(1),
    )
    machine = Machine(shelf)
    try:
        setting = Setting(NETWORK, CLASSES, recipe_for(NETWORK), "cpu", "cpu", digest)
        return compute(UnlearnWeights(setting, work, tuple(trials)), machine)
    finally:
        machine.close()


def _data(task: ToyTask) -> TaskData:
    """The splits that a method may see; in the others there is nobody."""
    images, labels = (np.concatenate(each) for each in zip(*map(task.pictures, SIZES), strict=True))
    ends = np.cumsum(list(SIZES.values()))
    rows = dict(zip(SIZES, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
    splits = {name: rows.get(name, np.arange(0)) for name in SPLITS}
    return TaskData(images, labels, np.arange(ends[-1]) // 4, splits)
