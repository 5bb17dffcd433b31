"""The toy task of the conformance kit."""

from __future__ import annotations

from dataclasses import fields

from bench.testing.toy_task import toy_task


def test_all_of_it_is_on_its_device() -> None:
    task = toy_task().on("meta")
    data = task.data([1, 2], stacked=True)
    for split in (getattr(data, field.name) for field in fields(data)):
        assert split.identities is not None
        assert {column.device.type for column in (*split.columns, split.identities)} == {"meta"}
    assert {parameter.device.type for parameter in task.original().parameters()} == {"meta"}
