"""The toy task of the conformance kit."""

from __future__ import annotations

from dataclasses import fields

from bench.tasks.variants import load_task
from bench.testing.toy_task import CLASSES, NETWORK, toy_task


def test_all_of_it_is_on_its_device() -> None:
    task = toy_task().on("meta")
    data = task.data([1, 2], stacked=True)
    for split in (getattr(data, field.name) for field in fields(data)):
        assert split.identities is not None
        assert {column.device.type for column in (*split.columns, split.identities)} == {"meta"}
    assert {parameter.device.type for parameter in task.original().parameters()} == {"meta"}


def test_it_is_like_the_default_task_where_methods_may_count_on_that() -> None:
    """A teacher's answers of the wrong width fail here and in a run, or in neither."""
    task = load_task("age-synthetic")
    assert (task.network, len(task.groups)) == (NETWORK, CLASSES)
    assert {int(labels.max()) for _, labels in toy_task().columns.values()} == {CLASSES - 1}
    images, _ = toy_task().columns["retain"]
    assert images.shape[1:] == task.load().images.shape[1:]
