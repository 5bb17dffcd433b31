"""Whether a task is one that can be trained on: what its author may have got wrong, each in a line that says what is wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from bench.errors import BenchError, one_line
from bench.models.recipe import Recipe
from bench.registry import loading, networks
from bench.tasks.task import SPLITS, UNKNOWN, Task, TaskData

FEWEST_GROUPS = 2
NEEDED = ("retain", "forget", "validation", "test")  # the other splits may be empty


class InvalidTaskError(BenchError):
    """A task that cannot be used; `problems` has a line for each mistake."""

    def __init__(self, task: Task, problems: list[str]) -> None:
        more = f" (and {len(problems) - 1} more; `bench tasks check` lists them)" if len(problems) > 1 else ""
        super().__init__(f"task {one_line(str(task.name))}: {problems[0]}{more}")
        self.problems = problems


def demand(task: Task) -> None:
    """Refuse a task that has mistakes.

    Raises:
        InvalidTaskError: it has.
    """
    found = [line for lines in examined(task).values() for line in lines]
    if found:
        raise InvalidTaskError(task, found)


def examined(task: Task) -> dict[str, list[str]]:
    """What is wrong with each part of a task; what depends on a part that is wrong is not looked at."""
    found = {"description": list(_description(task))}
    data, problem = loaded(task)
    if data is None:
        return {**found, "data": [problem]}
    found |= {part: list(look(task, data)) for part, look in _PARTS.items()}
    if not any(found.values()):
        found["digest"] = list(wrong_digest(task, data))
    return found


def loaded(task: Task) -> tuple[TaskData | None, str]:
    """The data of a task, or why there are none; with BENCH_STRICT what its `load` raises is raised."""
    try:
        data: Any = task.load()
    except BenchError:
        raise
    except (Exception, SystemExit) as problem:
        if loading.strict():
            raise
        return None, one_line(f"its load fails: {type(problem).__name__}: {problem}")
    if not isinstance(data, TaskData):
        return None, f"its load returns {_kind(data)}; a TaskData is needed"
    return data, ""


def wrong_digest(task: Task, data: TaskData) -> Iterator[str]:
    """What the digest of its data is, if it is not what the task says."""
    digest = data.digest()
    if digest != task.digest:
        yield f"its data are not what its key says: their digest is {digest}, and the task says {task.digest or 'nothing'}"


def empty_splits(task: Task) -> list[str]:
    """Splits without photos that must have some."""
    splits = task.load().splits
    return [name for name in NEEDED if not len(splits[name])]


def _description(task: Task) -> Iterator[str]:
    recipe: Any = task.recipe  # its author may have given anything
    groups = _groups(task)
    if groups < FEWEST_GROUPS:
        yield "groups must be a tuple of two texts or more, one for each class"
    if not _are_texts(task.remarks):
        yield "remarks must be a tuple of texts: ('this is one',)"
    if task.own_network is None and (problem := _network_problem(task.network)):
        yield problem
    if not isinstance(recipe, Recipe):
        yield f"recipe is {_kind(recipe)}; a Recipe is needed"
    elif recipe.class_weights and groups and len(recipe.class_weights) != groups:
        yield f"the recipe has {len(recipe.class_weights)} class weights for {groups} groups"
    elif not (_whole(recipe.epochs) and _whole(recipe.batch_size)):
        yield f"epochs ({recipe.epochs}) and batch_size ({recipe.batch_size}) must be whole numbers of 1 or more"
    else:
        yield from _rates(recipe)


def _rates(recipe: Recipe) -> Iterator[str]:
    given = {name: getattr(recipe, name) for name in ("learning_rate", "weight_decay", "warmup")}
    odd = {name: value for name, value in given.items() if not isinstance(value, int | float) or not 0 <= value < math.inf}
    for name, value in odd.items():
        yield f"{name} is {value}; a number of 0 or more is needed"


def _network_problem(network: Any) -> str:
    """Why there is no such network; "" if there is one."""
    if not isinstance(network, str):
        return f"network is {_kind(network)}; the name of one is needed"
    try:
        networks.find(network)
    except BenchError as problem:
        return str(problem)
    return ""


def _groups(task: Task) -> int:
    """How many classes there are; 0: the author has given no texts."""
    groups: Any = task.groups
    return len(groups) if _are_texts(groups) else 0


def _are_texts(given: Any) -> bool:
    return isinstance(given, tuple) and all(isinstance(each, str) for each in given)


def _images(task: Task, data: TaskData) -> Iterator[str]:
    images: Any = data.images
    digest: Any = data.images_digest
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        yield f"images are {_kind(images)}; they must be uint8, from 0 to 255"
    if not isinstance(digest, str):
        yield f"images_digest is {_kind(digest)}; a text is needed, empty if nobody has one"
    if not isinstance(images, np.ndarray):
        return
    if images.ndim == 4 and images.shape[1] != 3 and images.shape[3] == 3:
        yield f"images are {list(images.shape)}, with colours last; images.transpose(0, 3, 1, 2) puts them second"
    elif images.ndim != 4 or images.shape[1] != 3:
        yield f"images are {list(images.shape)}; they must be [n, 3, size, size]"
    elif images.shape[2:] != (task.size, task.size):
        yield f"images have {images.shape[2]}x{images.shape[3]} pixels, and the task says size={task.size}"


def _labels(task: Task, data: TaskData) -> Iterator[str]:
    yield from _column("labels", data.labels, data)
    if (groups := _groups(task)) and _is_column(data.labels) and len(data.labels):
        low, high = int(data.labels.min()), int(data.labels.max())
        if low < 0 or high >= groups:
            yield f"labels go from {low} to {high}; of {groups} groups they must go from 0 to {groups - 1}"


def _identities(task: Task, data: TaskData) -> Iterator[str]:
    identities: Any = data.identities
    if identities is None:
        yield f"identities are None; where nobody knows who is on a photo, it is {UNKNOWN}: np.full(n, {UNKNOWN})"
        return
    yield from _column("identities", identities, data)
    if _is_column(identities) and (identities < UNKNOWN).any():
        yield f"identities go down to {int(identities.min())}; they must be 0 or more, or {UNKNOWN} for somebody unknown"


def _twins(task: Task, data: TaskData) -> Iterator[str]:
    if data.twins is not None:
        yield from _column("twins", data.twins, data)


def _splits(task: Task, data: TaskData) -> Iterator[str]:
    splits: Any = data.splits
    if not isinstance(splits, Mapping):
        yield f"splits are {_kind(splits)}; rows by name are needed, for {', '.join(SPLITS)}"
        return
    for name in SPLITS:
        if name not in splits:
            yield f"there is no split {name!r}; where it has no photos, it is np.zeros(0, np.int64)"
    for name in splits:
        if name not in SPLITS:
            yield f"there is a split {name!r}, which nobody knows; splits are {', '.join(SPLITS)}"
    count = len(data.images) if isinstance(data.images, np.ndarray) and data.images.ndim else 0
    good = {}
    for name in [name for name in SPLITS if name in splits]:
        problem = _wrong_rows(splits[name], count)
        if problem:
            yield f"split {name} {problem}"
        else:
            good[name] = splits[name]
    for one, other in combinations(good, 2):
        if shared := len(np.intersect1d(good[one], good[other])):
            yield f"{shared} rows are in both {one} and {other}"


def _wrong_rows(rows: Any, count: int) -> str:
    """What is wrong with the rows of a split; "" if nothing is."""
    if isinstance(rows, np.ndarray) and rows.dtype == bool:
        return "is a mask; np.flatnonzero(mask) makes rows of it"
    if not _is_column(rows):
        return f"is {_kind(rows)}; rows are int64 [k]"
    if len(rows) and (rows.min() < 0 or rows.max() >= count):
        return f"has rows from {int(rows.min())} to {int(rows.max())}; of {count} photos they go from 0 to {count - 1}"
    repeated = len(rows) - len(np.unique(rows))
    return f"has {repeated} rows twice" if repeated else ""


_PARTS: Mapping[str, Callable[[Task, TaskData], Iterator[str]]] = {
    "images": _images,
    "labels": _labels,
    "identities": _identities,
    "twins": _twins,
    "splits": _splits,
}


def _column(name: str, values: Any, data: TaskData) -> Iterator[str]:
    """Whether there is a whole number for each image."""
    if not _is_column(values):
        yield f"{name} are {_kind(values)}; they must be int64 [n]"
    elif isinstance(data.images, np.ndarray) and data.images.ndim and len(values) != len(data.images):
        yield f"there are {len(values)} {name} for {len(data.images)} images"


def _is_column(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype == np.int64 and values.ndim == 1


def _whole(number: object) -> bool:
    return type(number) is int and number >= 1


def _kind(value: Any) -> str:
    """What a value is, in words."""
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
