"""Trials on a device whose first times are slow: rehearsed on a decoy, which says nothing of the task."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.budget import limit_seconds
from bench.engine.compute import compute
from bench.engine.jobs import TimeRetraining, TimeTrial, Unlearn
from bench.engine.unlearning import COMPILING
from bench.engine.worker.handed import Handed
from bench.errors import WorkerError
from bench.store.records import Killed
from bench.tasks.task import METHOD_SPLITS

TRIAL = ["load", "start", "warm_up", "unlearn"]
BROKEN = WorkerError("ValueError: no luck", traceback="Traceback ...")
LATE = WorkerError("killed after 9 s", kind="time")


@pytest.fixture
def gpu(room_with):
    return room_with("cuda")


def timed(room: Any) -> Any:
    return compute(TimeTrial(room.setting, room.work(), 8), room.machine)


def only_first(problem: WorkerError) -> Any:
    """The first `unlearn` fails, which is the rehearsal."""
    left = [problem]
    return lambda operation, trials: left.pop() if operation == "unlearn" and left else None


def test_a_timed_trial_is_rehearsed_and_its_time_is_that_of_the_second_run(gpu) -> None:
    done = timed(gpu)
    (child,) = gpu.children
    assert child.asked == [*TRIAL, "hand_over", *TRIAL[1:], "weights", "peak_memory"]
    assert done.measured.seconds == 1.0


def test_trials_that_are_not_timed_are_not_rehearsed(gpu) -> None:
    compute(Unlearn(gpu.setting, gpu.work(), (0, 1)), gpu.machine)
    assert gpu.children[0].asked == [*TRIAL, "weights", "peak_memory"]


def test_a_decoy_has_the_shapes_of_the_task_and_nothing_else(gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[Handed] = []
    ask = gpu.start

    def start(*arguments: Any, **options: Any) -> Any:
        child = ask(*arguments, **options)
        handed.extend(each for each in arguments if isinstance(each, Handed))
        answer = child.ask

        def listen(operation: str, *rest: Any, **given: Any) -> Any:
            handed.extend(each for each in given.values() if isinstance(each, Handed))
            return answer(operation, *rest, **given)

        child.ask = listen
        return child

    gpu.start = start
    timed(gpu)
    decoy, task = handed
    assert set(decoy.pictures) == set(task.pictures) == set(METHOD_SPLITS)
    assert (decoy.original, set(task.original)) == ({}, {"fc.weight"})
    for name, (images, labels) in task.pictures.items():
        others, shuffled = decoy.pictures[name]
        assert (others.shape, others.dtype) == (images.shape, images.dtype)
        assert (others != images).any()
        assert sorted(shuffled) == sorted(labels)


def test_nobody_can_know_the_order_of_a_decoy() -> None:
    labels = np.arange(100)
    handed = Handed({"retain": (np.zeros((100, 3, 2, 2), np.uint8), labels)}, {"retain": labels})
    decoys = [handed.decoy() for _ in range(3)]
    orders = [decoy.pictures["retain"][1] for decoy in decoys] + [decoy.identities["retain"] for decoy in decoys] + [labels]
    assert len({order.tobytes() for order in orders}) == len(orders)


def test_who_fails_on_a_decoy_may_still_do_the_task(gpu) -> None:
    gpu.fails = only_first(BROKEN)
    assert timed(gpu).measured.seconds == 1.0


def test_what_goes_on_after_the_rehearsal_is_a_failure(gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu.fails = only_first(WorkerError("still there after unlearn has returned: thread Keeper"))
    with pytest.raises(WorkerError, match="thread Keeper"):
        timed(gpu)
    gpu.when_one_starts = lambda: None
    ask = gpu.start

    def start(*arguments: Any, **options: Any) -> Any:
        child = ask(*arguments, **options)
        child.still_there = lambda: ["sleep"]
        return child

    gpu.start = start
    with pytest.raises(WorkerError, match="still there after unlearn has returned: sleep"):
        timed(gpu)
    assert "hand_over" not in gpu.children[-1].asked


def test_a_rehearsal_that_never_ends_is_over_budget(gpu) -> None:
    limits: list[float] = []
    ask = gpu.start

    def start(*arguments: Any, **options: Any) -> Any:
        child = ask(*arguments, **options)
        answer = child.ask

        def listen(operation: str, *rest: Any, **given: Any) -> Any:
            limits.extend([given["limit"]] if operation == "unlearn" else [])
            return answer(operation, *rest, **given)

        child.ask = listen
        return child

    gpu.start, gpu.fails = start, only_first(LATE)
    done = timed(gpu)
    assert isinstance(done, Killed)
    assert done.killed == "in a rehearsal on a decoy: killed after 9 s"
    usual = limit_seconds(gpu.work().allowance)
    assert limits == [usual + COMPILING]


def test_the_yardstick_is_the_median_of_warm_epochs(gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of them is not among these."""
    seconds = iter([9.0, 0.4, 0.5, 8.0, 0.4, 0.6])
    gpu.takes = {"run_epoch": 0.0}
    ask = gpu.start

    def start(*arguments: Any, **options: Any) -> Any:
        child = ask(*arguments, **options)
        answer = child.ask

        def take(operation: str, *rest: Any, **given: Any) -> Any:
            child._seconds += next(seconds) if operation == "run_epoch" else 0.0
            return answer(operation, *rest, **given)

        child.ask = take
        return child

    gpu.start = start
    assert compute(TimeRetraining(gpu.setting), gpu.machine) == pytest.approx(0.5 * gpu.setting.recipe.epochs)
    assert next(seconds, None) is None
