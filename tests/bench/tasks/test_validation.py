"""What an author of a task may get wrong: each is told in a line, by whatever loads the task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from msgspec import UNSET

from bench.errors import BenchError
from bench.tasks.age_synthetic import age_synthetic
from bench.tasks.task import SPLITS, Recipe, Task, TaskData
from bench.tasks.validation import InvalidTaskError, demand, empty_splits, examined, loaded

COUNT, GROUPS = 60, 4


def good() -> TaskData:
    rng = np.random.default_rng(0)
    rows = np.arange(COUNT).reshape(len(SPLITS), -1)
    images = rng.integers(256, size=(COUNT, 3, 32, 32), dtype=np.uint8)
    return TaskData(images, np.arange(COUNT) % GROUPS, np.arange(COUNT) // 2, dict(zip(SPLITS, rows, strict=True)))


def task(data: Any = UNSET, **changes: Any) -> Task:
    """A task with the digest of its data."""
    given = good() if data is UNSET else data
    try:
        digest = given.digest()
    except (AttributeError, KeyError, TypeError):
        digest = ""
    about = {
        "name": "own",
        "groups": ("a", "b", "c", "d"),
        "network": "resnet8-v1",
        "recipe": Recipe(epochs=1, batch_size=8, learning_rate=1e-3, weight_decay=0.0, warmup=0.0),
        "forget_set": "ten",
        "digest": digest,
        "load": lambda: given,
    }
    return Task(**{**about, **changes})


def told(one: Task) -> list[str]:
    return [line for lines in examined(one).values() for line in lines]


def test_good_tasks_have_no_problem() -> None:
    for one in (task(), age_synthetic(), task(replace(good(), twins=np.full(COUNT, -1)))):
        assert told(one) == []
        demand(one)


def changed(**fields: Callable[[TaskData], Any]) -> Callable[[], TaskData]:
    """Good data but for some fields."""
    return lambda: replace(good(), **{name: make(good()) for name, make in fields.items()})


def splits(**rows: Any) -> Callable[[], TaskData]:
    """Good data with other rows; None: without that split."""

    def make() -> TaskData:
        both = {**good().splits, **rows}
        return replace(good(), splits={name: each for name, each in both.items() if each is not None})

    return make


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (splits(retain=np.arange(40)[30:]), ["10 rows are in both retain and test"]),
        (splits(forget=np.arange(9, 20)), ["1 rows are in both retain and forget"]),
        (splits(unseen=None), ["there is no split 'unseen'; where it has no photos, it is np.zeros(0, np.int64)"]),
        (splits(train=np.arange(3)), [f"there is a split 'train', which nobody knows; splits are {', '.join(SPLITS)}"]),
        (splits(test=np.arange(55, 65)[:10]), ["split test has rows from 55 to 64; of 60 photos they go from 0 to 59"]),
        (splits(test=np.array([-1])), ["split test has rows from -1 to -1; of 60 photos they go from 0 to 59"]),
        (splits(test=np.array([30, 31, 31])), ["split test has 1 rows twice"]),
        (splits(test=np.arange(60) == 30), ["split test is a mask; np.flatnonzero(mask) makes rows of it"]),
        (splits(test=[30, 31]), ["split test is a list; rows are int64 [k]"]),
        (splits(test=np.array([30.0])), ["split test is float64 [1]; rows are int64 [k]"]),
        (changed(splits=lambda data: None), [f"splits are a NoneType; rows by name are needed, for {', '.join(SPLITS)}"]),
        (
            changed(identities=lambda data: None),
            ["identities are None; where nobody knows who is on a photo, it is -1: np.full(n, -1)"],
        ),
        (changed(identities=lambda data: data.identities[1:]), ["there are 59 identities for 60 images"]),
        (
            changed(identities=lambda data: data.identities - 2),
            ["identities go down to -2; they must be 0 or more, or -1 for somebody unknown"],
        ),
        (changed(labels=lambda data: data.labels + 1), ["labels go from 1 to 4; of 4 groups they must go from 0 to 3"]),
        (changed(labels=lambda data: data.labels - 1), ["labels go from -1 to 2; of 4 groups they must go from 0 to 3"]),
        (changed(labels=lambda data: data.labels.astype(np.int32)), ["labels are int32 [60]; they must be int64 [n]"]),
        (changed(labels=lambda data: data.labels[:, None]), ["labels are int64 [60, 1]; they must be int64 [n]"]),
        (changed(labels=lambda data: data.labels.tolist()), ["labels are a list; they must be int64 [n]"]),
        (changed(twins=lambda data: data.labels[1:]), ["there are 59 twins for 60 images"]),
        (
            changed(images=lambda data: data.images / np.float32(255)),
            ["images are float32 [60, 3, 32, 32]; they must be uint8, from 0 to 255"],
        ),
        (
            changed(images=lambda data: data.images.transpose(0, 2, 3, 1)),
            ["images are [60, 32, 32, 3], with colours last; images.transpose(0, 3, 1, 2) puts them second"],
        ),
        (changed(images=lambda data: data.images[:, 0]), ["images are [60, 32, 32]; they must be [n, 3, size, size]"]),
        (changed(images=lambda data: data.images[:, :1]), ["images are [60, 1, 32, 32]; they must be [n, 3, size, size]"]),
        (
            changed(images=lambda data: np.zeros((COUNT, 3, 48, 48), np.uint8)),
            ["images have 48x48 pixels, and the task says size=32"],
        ),
        (changed(images_digest=lambda data: None), ["images_digest is a NoneType; a text is needed, empty if nobody has one"]),
        (changed(images=lambda data: data.images.tolist()), ["images are a list; they must be uint8, from 0 to 255"]),
    ],
)
def test_mistakes_in_data(make: Callable[[], TaskData], wanted: list[str]) -> None:
    found = told(task(make()))
    assert [line for line in found if line in wanted] == wanted
    assert all("\n" not in line for line in found)
    with pytest.raises(InvalidTaskError, match=r"^task own: "):
        demand(task(make()))


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"groups": ("a",)}, "groups must be a tuple of two texts or more"),
        ({"groups": 4}, "groups must be a tuple of two texts or more"),
        ({"remarks": "hello"}, "remarks must be a tuple of texts: ('this is one',)"),
        ({"network": "resnet9"}, "unknown network 'resnet9'"),
        ({"network": 8}, "network is a int; the name of one is needed"),
        ({"recipe": {"epochs": 1}}, "recipe is a dict; a Recipe is needed"),
        ({"recipe": Recipe(1, 8, 1e-3, 0.0, 0.0, class_weights=(1.0,))}, "the recipe has 1 class weights for 4 groups"),
        ({"recipe": Recipe(0, 8, 1e-3, 0.0, 0.0)}, "epochs (0) and batch_size (8) must be whole numbers"),
        ({"recipe": Recipe(1, 8, float("nan"), 0.0, 0.0)}, "learning_rate is nan; a number of 0 or more is needed"),
        ({"recipe": Recipe(1, 8, 1e-3, -1.0, 0.0)}, "weight_decay is -1.0; a number of 0 or more is needed"),
        ({"load": lambda: int("x")}, "its load fails: ValueError: invalid literal for int() with base 10: 'x'"),
        ({"load": dict}, "its load returns a dict; a TaskData is needed"),
        ({"digest": "0" * 64}, f"their digest is {good().digest()}, and the task says {'0' * 64}"),
        ({"digest": ""}, f"their digest is {good().digest()}, and the task says nothing"),
    ],
)
def test_mistakes_in_a_description(changes: dict[str, Any], wanted: str) -> None:
    assert wanted in told(task(**changes))[0]


def test_all_of_them_are_told() -> None:
    data = replace(good(), labels=good().labels + 1, identities=None)
    with pytest.raises(InvalidTaskError) as caught:
        demand(task(data))
    assert len(caught.value.problems) == 2
    assert str(caught.value).endswith("must go from 0 to 3 (and 1 more; `bench tasks check` lists them)")


def test_what_a_task_says_itself_is_kept() -> None:
    def load() -> TaskData:
        raise BenchError("prepare it first")

    with pytest.raises(BenchError, match=r"^prepare it first$"):
        loaded(task(load=load))


def test_splits_that_need_photos() -> None:
    empty = np.zeros(0, np.int64)
    assert empty_splits(task(splits(test=empty, unseen=empty, forget_people=empty)())) == ["test"]
