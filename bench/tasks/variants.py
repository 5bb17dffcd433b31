"""One task in several forms: `age-utkface[forget="identities:40",model="resnet18",size=64]`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from bench.errors import BenchError
from bench.registry import discovery, loading, networks, specs
from bench.registry.specs import Spec
from bench.tasks import memorisation, validation
from bench.tasks.datasets.dataset import Dataset
from bench.tasks.datasets.prepared import task_of
from bench.tasks.forget import Choice, with_forget
from bench.tasks.task import Task

FORGET, MODEL, SIZE = "forget", "model", "size"


def load_task(text: str) -> Task:
    """The task that `name` or `name[forget="random:100",model="resnet18",size=64]` stands for.

    Raises:
        BenchError: there is none, or its data are not prepared.
    """
    spec = specs.parse(text, "task")
    return make(registered_task(spec.plugin), spec.parameters)


def registered_task(name: str) -> Task | Dataset:
    """What a plugin registered under that name, or what a file registers: `my_task.py`."""
    return load_registered(discovery.find_task(name))


def load_registered(plugin: discovery.Plugin) -> Task | Dataset:
    """Import a plugin and return the task or dataset that it registers."""
    sys.audit("bench.task", plugin.name)
    found = loading.registered(plugin, "register_tasks")
    in_file = not plugin.distribution  # which may have another name than its task
    if in_file and len(found) > 1:
        raise BenchError(
            f"{plugin.module} registers {len(found)} tasks: one in a file can be used; put the others into files of their own"
        )

    def fits(item: object) -> bool:
        return isinstance(item, Task | Dataset) and (in_file or item.name == plugin.name)

    task: Task | Dataset = loading.only(plugin, found, fits)
    return task


def make(registered: Task | Dataset, options: Mapping[str, Any]) -> Task:
    """A registered task with another forget set, network or size of pictures; what equals its own is left out of its name.

    Raises:
        BenchError: an option is none, or does not fit; or the data are not prepared, or the task has mistakes.
    """
    _check(registered.name, options)
    task = _sized(registered, options.get(SIZE))
    validation.demand(task)
    task = _with_its_network(task)
    own_size = registered.size
    kept: dict[str, Any] = {SIZE: task.size} if task.size != own_size else {}
    network = networks.find(options[MODEL]) if options.get(MODEL) else None
    if network and (network.name, network.own) != (task.network, task.own_network):
        task = _with_network(task, network)
        kept[MODEL] = options[MODEL] if network.own else network.name.rpartition("-v")[0]
    base, task = task.name, replace(task, name=str(Spec(task.name, kept)))
    if options.get(FORGET) and options[FORGET] != task.forget_set:
        task = _with_forget(task, options[FORGET])
        kept[FORGET] = options[FORGET]
    _demand_splits(task)
    return replace(task, name=str(Spec(base, kept)))


def _demand_splits(task: Task) -> None:
    if empty := validation.empty_splits(task):
        raise BenchError(f"task {task.name} has no {empty[0]} photos: choose another forget set with --forget, or add photos")


def _check(name: str, options: Mapping[str, Any]) -> None:
    kinds = {FORGET: str, MODEL: str, SIZE: int}
    for option, value in options.items():
        if option not in kinds:
            raise BenchError(f"task {name} has no option {option!r}; it has: {', '.join(kinds)}")
        if value is not None and type(value) is not kinds[option]:
            raise BenchError(f"task {name}: {option} takes {kinds[option].__name__}, not {value!r}")


def _sized(registered: Task | Dataset, size: int | None) -> Task:
    if isinstance(registered, Dataset):
        return task_of(registered, size)
    if size and size != registered.size:
        raise BenchError(f"the pictures of task {registered.name} have {registered.size} pixels a side")
    return registered


def _with_its_network(task: Task) -> Task:
    """A registered task names its network; where that comes from, if not with bench, is found here."""
    found = networks.find(task.network)
    return replace(task, network=found.name, own_network=found.own)


def _with_network(task: Task, network: networks.Found) -> Task:
    own, weights = task.recipe, task.recipe.class_weights
    recipe = replace(network.recipe, weighted_classes=own.weighted_classes, class_weights=weights)
    return replace(task, network=network.name, own_network=network.own, recipe=recipe, original=None)


def _with_forget(task: Task, text: str) -> Task:
    choice = Choice.parse(text)
    data = with_forget(task.load(), choice, partial(memorisation.read, task))
    return replace(task, forget_set=text, digest=data.digest(), load=lambda: data)
