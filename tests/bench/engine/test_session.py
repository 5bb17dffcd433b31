"""What the runs of one command share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.engine.machine import Device
from bench.engine.session import Session
from bench.errors import BenchError
from bench.tasks.age_synthetic import age_synthetic
from bench.tasks.task import Task

CPU = Device("cpu", "cpu", "Some CPU", {})
GPU = Device("Some GPU", "cuda", "Some CPU", {})


def session(task: Task, device: Device = CPU, **options: int) -> Session:
    return Session(None, task, device, **options)


def test_data_that_are_not_what_the_key_says_are_refused() -> None:
    own = age_synthetic()
    assert session(own).data is own.load()
    with pytest.raises(BenchError, match="the data of task age-synthetic is not what its key says"):
        _ = session(replace(own, digest="0" * 64)).data


def test_stacks_depend_on_the_task_and_the_kind_of_device_only() -> None:
    own = age_synthetic()
    assert session(own).stack_size == session(own, workers=7, memory_limit=10**9).stack_size == 8
    assert session(own, GPU).stack_size == 64
    assert session(replace(own, network="resnet18-v1", size=128), GPU).stack_size == 2


def test_no_worker_is_started_before_it_is_needed() -> None:
    with session(age_synthetic()) as opened:
        assert opened.workers >= 1
    assert "executor" not in vars(opened)
