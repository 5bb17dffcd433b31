"""What jobs come to: who is to blame when a stack fails, what is timed, and which process does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from bench.budget import PHASES, limit_seconds
from bench.engine import machine
from bench.engine.compute import compute
from bench.engine.failures import MOST_FAILURES
from bench.engine.jobs import (
    Alone,
    Computed,
    Evaluate,
    TimeRetraining,
    TimeTrial,
    TrainOnShares,
    TrainOriginal,
    TrainRetrained,
    Unlearn,
    UnlearnWeights,
)
from bench.engine.neighbours import Neighbours
from bench.engine.worker.log import Printed
from bench.errors import WorkerError
from bench.store.records import Failed, Killed

LATE = WorkerError("killed after 9 s", kind="time")
DEAD = WorkerError("the worker process died (signal 9)", kind="died")
BROKEN = WorkerError("ValueError: no luck", traceback="Traceback ...\nValueError: no luck\n")
EPOCH = ["prepare_epoch", "run_epoch"]  # and a process that is fresh, beside what is timed
METHOD = ["load", "start", "warm_up", "unlearn", "weights"]  # what a method's process is asked


def nobody(text: bytes) -> None:
    """Nobody listens."""


def unlearn(room, *trials: int, printed: Printed = nobody, **changes: Any) -> Computed | Failed:
    return compute(Unlearn(room.setting, room.work(**changes), trials), room.machine, printed=printed)


def timed(room, trial: int = 8, printed: Printed = nobody) -> Alone | Killed:
    return compute(TimeTrial(room.setting, room.work(), trial), room.machine, printed=printed)


def first(times: int, problem: WorkerError) -> Callable[[str, Sequence[int]], WorkerError | None]:
    """The first questions fail, those after them are answered."""
    left = [problem] * times
    return lambda operation, trials: left.pop() if left else None


@pytest.mark.parametrize(("uses_clock", "held"), [(False, "shared"), (True, "alone")])
def test_a_chunk_has_a_process_of_its_own_and_its_place_on_the_device(room, uses_clock: bool, held: str) -> None:
    done = unlearn(room, 3, 4, uses_clock=uses_clock)
    assert isinstance(done, Computed)
    assert len(done.outputs) == 2
    assert done.measured.peak_memory == done.measured.peak_host_memory == 1000
    assert done.measured.seconds == 1.0  # one tick between two looks at the clock
    assert set(done.measured.phases) == set(PHASES)
    assert room.lock.held == [held]
    (child,) = room.children
    assert child.asked == METHOD
    assert not child.alive
    trusted, *fresh = room.trusted
    assert trusted.asked == ["evaluate"]
    assert trusted.alive
    assert [worker.asked for worker in fresh] == ([EPOCH, EPOCH] if uses_clock else [])
    assert done.measured.retraining == ((12.0, 12.0) if uses_clock else ())


def test_on_a_gpu_memory_is_that_of_the_device(room_with) -> None:
    room = room_with("cuda")
    done = unlearn(room, 3, 4)
    assert isinstance(done, Computed)
    assert (done.measured.peak_memory, done.measured.peak_host_memory) == (5000, 1000)


@pytest.mark.parametrize("stackable", [False, True])
def test_trials_are_stacked_if_the_method_allows_it(room, stackable: bool) -> None:
    assert isinstance(unlearn(room, 5, stackable=stackable), Computed)
    (child,) = room.children
    assert (child.trials, child.stacked) == ([5], stackable)


def test_progress_of_the_method_is_told(room) -> None:
    told: list[float] = []
    compute(Unlearn(room.setting, room.work(), (0, 1)), room.machine, told.append)
    assert told == [0.5]


def test_another_number_of_models_than_of_trials_is_a_failure(room, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = room.start

    def start(*arguments: object, **options: Any):
        child = ask(*arguments, **options)
        child._reply, reply = lambda operation, given: reply(operation, _one_model_only(given)), child._reply
        return child

    room.start = start
    done = unlearn(room, 3)
    assert isinstance(done, Computed)
    failed = unlearn(room, 3, 4)
    assert isinstance(failed, Failed)
    assert failed.failure.startswith("trials 3-4, stacked: the plugin's process answered 1 models for 2 trials")


def _one_model_only(arguments: dict[str, Any]) -> dict[str, Any]:
    weights = arguments.get("weights", {})
    return {**arguments, "weights": {name: array[:1] for name, array in weights.items()}}


def test_a_trial_that_fails_alone_is_to_blame_for_its_stack(room) -> None:
    room.fails = lambda operation, trials: BROKEN if operation == "unlearn" and 2 in trials else None
    printed: list[bytes] = []
    done = unlearn(room, 0, 1, 2, 3, printed=printed.append)
    assert done == Failed(trials=(0, 1, 2, 3), failure="ValueError: no luck (trial 2)", kind="error", finished=3, in_a_row=0)
    assert [list(child.trials) for child in room.children] == [[0, 1, 2, 3], [0], [1], [2], [3]]
    assert not any(child.alive for child in room.children)
    assert printed == [b"0 asked; ", BROKEN.traceback.encode(), *[b"0 asked; "] * 4]  # every child is listened to


def test_failures_at_the_end_of_a_chunk_are_counted_on(room) -> None:
    room.fails = lambda operation, trials: BROKEN if operation == "unlearn" and set(trials) & {0, 2, 3} else None
    done = unlearn(room, 0, 1, 2, 3)
    assert isinstance(done, Failed)
    assert (done.failure, done.finished, done.in_a_row) == ("ValueError: no luck (trial 0)", 1, 2)


def test_a_trial_that_is_not_stacked_is_one_failure(room) -> None:
    room.fails = lambda operation, trials: BROKEN if operation == "unlearn" else None
    printed: list[bytes] = []
    done = unlearn(room, 6, printed=printed.append)
    assert done == Failed(trials=(6,), failure="ValueError: no luck", kind="error", finished=0, in_a_row=1)
    assert len(room.children) == 1
    assert printed[-1] == BROKEN.traceback.encode()


def test_a_stack_may_fail_though_each_of_its_trials_finishes(room) -> None:
    room.fails = lambda operation, trials: BROKEN if operation == "unlearn" and len(trials) > 1 else None
    told = "trials 4-5, stacked: ValueError: no luck (each alone finishes)"
    assert unlearn(room, 4, 5) == Failed(trials=(4, 5), failure=told, kind="error", finished=2, in_a_row=0)


def test_looking_for_the_one_to_blame_ends_when_too_many_fail(room) -> None:
    room.fails = lambda operation, trials: BROKEN if operation == "unlearn" else None
    done = unlearn(room, *range(8))
    told = "ValueError: no luck (trial 0)"
    assert done == Failed(trials=tuple(range(8)), failure=told, kind="error", finished=0, in_a_row=MOST_FAILURES)
    assert len(room.children) == 1 + MOST_FAILURES


def test_nobody_is_blamed_for_memory(room) -> None:
    room.fails = lambda operation, trials: WorkerError("killed: it had 9 GB", kind="memory")
    done = unlearn(room, 0, 1)
    assert done == Failed(trials=(0, 1), failure="killed: it had 9 GB", kind="memory")
    assert len(room.children) == 1


def test_weights_that_cannot_be_evaluated_are_the_methods_failure(room) -> None:
    room.trusted_fails = lambda operation, trials: WorkerError("ValueError: not the task's network")
    assert unlearn(room, 0) == Failed(trials=(0,), failure="ValueError: not the task's network", kind="error")
    assert room.trusted[0].alive


def test_a_dead_evaluator_is_replaced_and_its_chunk_computed_once_more(room) -> None:
    room.trusted_fails = first(1, DEAD)
    done = unlearn(room, 0)
    assert isinstance(done, Computed)
    assert [worker.asked for worker in room.trusted] == [["evaluate"], ["evaluate"]]
    assert [worker.closed for worker in room.trusted] == [True, False]
    assert len(room.children) == 2


BESIDE = "beside it, the evaluating process died: the worker process died"


def test_an_evaluator_that_dies_again_is_the_methods_failure(room) -> None:
    room.trusted_fails = first(2, DEAD)
    failed = unlearn(room, 0)
    assert isinstance(failed, Failed)
    assert failed.failure.startswith(BESIDE)
    assert len(room.trusted) == 2
    assert room.has_ended()
    assert isinstance(unlearn(room, 0), Computed)


def test_an_evaluator_that_dies_while_one_to_blame_is_looked_for_is_no_trials_failure(room) -> None:
    room.fails = lambda operation, trials: BROKEN if operation == "unlearn" and len(trials) > 1 else None
    room.trusted_fails = first(2, DEAD)
    failed = unlearn(room, 0, 1)
    assert isinstance(failed, Failed)
    assert failed.trials == (0, 1)
    assert failed.failure.startswith(BESIDE)


TRAINING = {
    "train_original": TrainOriginal,
    "train_retrained": lambda setting: TrainRetrained(setting, (4, 5)),
    "train_on_shares": lambda setting: TrainOnShares(setting, (4, 5), 0.75),
    "run_epoch": TimeRetraining,
}


@pytest.mark.parametrize("operation", TRAINING)
def test_training_whose_worker_was_killed_is_tried_once_more(room, operation: str) -> None:
    room.trusted_fails = lambda asked, trials: DEAD if asked == operation and len(room.trusted) == 1 else None
    compute(TRAINING[operation](room.setting), room.machine)
    assert [worker.asked[-1] for worker in room.trusted] == [operation, operation]
    assert [worker.alive for worker in room.trusted] == [False, operation != "run_epoch"]  # whose worker does nothing else


@pytest.mark.parametrize("operation", TRAINING)
def test_training_that_kills_every_worker_is_given_up(room, operation: str) -> None:
    room.trusted_fails = lambda asked, trials: DEAD if asked == operation else None
    with pytest.raises(WorkerError, match="the worker process died"):
        compute(TRAINING[operation](room.setting), room.machine)
    assert len(room.trusted) == 2
    assert room.has_ended()


@pytest.mark.parametrize("operation", TRAINING)
def test_an_error_is_not_tried_again(room, operation: str) -> None:
    room.trusted_fails = lambda asked, trials: BROKEN if asked == operation else None
    with pytest.raises(WorkerError, match="no luck"):
        compute(TRAINING[operation](room.setting), room.machine)
    (worker,) = room.trusted
    assert worker.asked.count(operation) == 1
    assert worker.alive == (operation != "run_epoch")


def test_what_training_comes_to(room) -> None:
    told: list[float] = []
    trained = compute(TrainOriginal(room.setting), room.machine, told.append)
    assert {name: array.tolist() for name, array in trained.weights.items()} == {"fc.weight": np.ones((1, 4, 2)).tolist()}
    assert len(trained.outputs) == 1
    assert len(compute(TrainRetrained(room.setting, (4, 5, 6)), room.machine, told.append)) == 3
    assert told == [0.5, 0.5]
    recognised = compute(TrainOnShares(room.setting, (4, 5), 0.75), room.machine)
    assert recognised.included.tolist() == [[True] * 3] * 2
    assert recognised.right.tolist() == [[False] * 3] * 2
    given = room.shelf.put_weights({"fc.weight": np.ones((1, 4, 2), np.float32)})
    assert len(compute(Evaluate(room.setting, given), room.machine)) == 1
    assert room.lock.held == ["shared"] * 4
    (worker,) = room.trusted
    assert worker.asked == ["train_original", "train_retrained", "train_on_shares", "evaluate"]


def test_retraining_is_timed_alone_and_warm(room) -> None:
    compute(TrainOriginal(room.setting), room.machine)
    assert compute(TimeRetraining(room.setting), room.machine) == 12.0  # of as many epochs as the recipe has, a tick for one
    assert room.lock.held == ["shared", "alone"]
    used, fresh = room.trusted
    assert (fresh.asked, fresh.closed) == (EPOCH, True)
    assert not used.closed


def test_after_a_stop_no_process_is_started(room) -> None:
    compute(TrainOriginal(room.setting), room.machine)
    room.machine.stopped.set()
    assert unlearn(room, 0, 1) == Failed(trials=(0, 1), failure="stopped", kind="died")
    assert room.children == []
    room.machine.stop()
    with pytest.raises(WorkerError, match="stopped"):
        compute(TrainOriginal(room.setting), room.machine)
    with pytest.raises(WorkerError, match="stopped"):
        timed(room)
    assert (len(room.trusted), len(room.children)) == (1, 0)


def test_a_stop_while_one_to_blame_is_looked_for_ends_the_looking(room) -> None:
    def fail(operation: str, trials: Sequence[int]) -> WorkerError | None:
        if operation == "unlearn" and len(trials) == 1:
            room.machine.stopped.set()
        return BROKEN if operation == "unlearn" else None

    room.fails = fail
    assert isinstance(unlearn(room, 0, 1, 2), Failed)
    assert [list(child.trials) for child in room.children] == [[0, 1, 2], [0]]


def test_a_worker_that_a_stop_has_killed_is_not_replaced(room) -> None:
    def stop(operation: str, trials: Sequence[int]) -> WorkerError:
        room.machine.stop()
        return DEAD

    room.trusted_fails = stop
    with pytest.raises(WorkerError, match="the worker process died"):
        compute(TrainRetrained(room.setting, (0,)), room.machine)
    assert len(room.trusted) == 1


def test_a_timed_trial_is_alone_and_its_time_ends_when_the_weights_have_arrived(room) -> None:
    done = timed(room)
    assert isinstance(done, Alone)
    assert (done.measured.seconds, done.measured.peak_memory) == (1.0, 1000)  # one tick between two looks at the clock
    assert len(done.outputs) == 1
    assert room.lock.held == ["alone", "shared"]
    (child,) = room.children
    assert (child.asked, child.stacked, child.alive) == (METHOD, False, False)


def test_an_epoch_of_retraining_is_timed_between_trials(room, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [timed(room, trial).measured.retraining for trial in (3, 4)] == [(12.0, 12.0)] * 2
    assert [worker.asked for worker in room.trusted] == [EPOCH, EPOCH, ["evaluate", "evaluate"], EPOCH]
    monkeypatch.setattr(machine, "_A_MOMENT", 0.0)  # is over: the machine may be another by now
    timed(room, 5)
    assert [worker.asked for worker in room.trusted][4:] == [EPOCH, EPOCH]


def test_how_busy_others_were_is_kept(room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Neighbours, "share", lambda self: 0.75)
    assert timed(room).measured.busy == 0.75
    assert unlearn(room, 0, uses_clock=True).measured.busy == 0.75
    assert unlearn(room, 0).measured.busy == 0.0


def test_where_no_epoch_can_be_timed_it_is_no_failure_of_the_method(room) -> None:
    room.trusted_fails = lambda asked, trials: DEAD if asked == "run_epoch" and len(room.trusted) < 3 else None
    assert isinstance(unlearn(room, 0, uses_clock=True), Computed)


def test_a_timed_trial_that_is_late_has_taken_all_it_was_given(room) -> None:
    room.fails = lambda operation, trials: LATE if operation == "unlearn" else None
    done = timed(room)
    assert isinstance(done, Killed)
    assert (done.trial, done.seconds, done.killed) == (8, limit_seconds(room.work().allowance), "killed after 9 s")
    assert done.retraining == (12.0, 12.0)
    assert room.lock.held == ["alone"]  # there is nothing to evaluate


def test_a_timed_trial_that_fails_is_told_and_its_traceback_kept(room) -> None:
    room.fails = lambda operation, trials: BROKEN if operation == "unlearn" else None
    printed: list[bytes] = []
    with pytest.raises(WorkerError, match="ValueError: no luck"):
        timed(room, printed=printed.append)
    assert printed == [b"0 asked; ", BROKEN.traceback.encode()]
    assert not room.children[0].alive


@pytest.mark.parametrize(
    ("device", "operation", "counts"),
    [("cpu", "load", True), ("cpu", "warm_up", True), ("cuda", "load", True), ("cuda", "warm_up", False)],
)
def test_what_is_done_before_unlearn_counts_but_for_what_is_free(room_with, device: str, operation: str, counts: bool) -> None:
    """A quarter of a second. Beside a CUDA device, which has to be set up, only what the plugin does when it is imported."""
    room = room_with(device)
    room.takes[operation] = 5.0
    assert timed(room).measured.seconds == (5.75 if counts else 1.0)


@pytest.mark.parametrize("operation", ["load", "start", "warm_up", "weights"])
def test_to_be_killed_beside_the_method_is_a_failure(room, operation: str) -> None:
    room.fails = lambda asked, trials: LATE if asked == operation else None
    with pytest.raises(WorkerError, match=f"{operation}: killed after 9 s") as caught:
        timed(room)
    assert caught.value.kind == "died"
    assert not room.children[0].alive


def test_weights_without_evaluation(room) -> None:
    done = compute(UnlearnWeights(room.setting, room.work(), (3, 4)), room.machine)
    assert {name: array.shape for name, array in done.items()} == {"fc.weight": (2, 4, 2)}
    assert room.lock.held == ["shared"]
    assert room.trusted == []
    assert room.has_ended()


def test_weights_that_cannot_be_had_are_told_with_their_trials(room) -> None:
    room.fails = lambda operation, trials: BROKEN if operation == "unlearn" else None
    with pytest.raises(WorkerError, match=r"^trials 3-4: ValueError: no luck$") as caught:
        compute(UnlearnWeights(room.setting, room.work(), (3, 4)), room.machine)
    assert (caught.value.traceback, caught.value.kind) == (BROKEN.traceback, "error")
    assert room.has_ended()
