"""What the runs of one command share, and how they have jobs computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.engine.jobs import ExamineNetwork, TimeRetraining, TrainRetrained
from bench.engine.machine import Device
from bench.engine.session import Session
from bench.errors import BenchError, WorkerError
from bench.models.networks import Cost
from bench.registry import networks
from bench.tasks.age_synthetic import age_synthetic
from bench.tasks.task import Task

CPU = Device("cpu", "cpu", "Some CPU", {})
GPU = Device("Some GPU", "cuda", "Some CPU", {})


def nobody(*_: object) -> Any:
    raise AssertionError("an executor is made that nobody needs")


def session(task: Task, device: Device = CPU, **options: Any) -> Session:
    return Session(None, task, device, **{"executor": nobody, **options})


def answer(job: TrainRetrained | TimeRetraining) -> Any:
    """Model 7 cannot be trained."""
    if isinstance(job, TrainRetrained) and 7 in job.indices:
        raise WorkerError("no luck")
    return f"{job.label} is done"


def retrained(opened: Session, *chunks: tuple[int, ...]) -> list[TrainRetrained]:
    return [TrainRetrained(opened.setting, chunk) for chunk in chunks]


def test_data_that_are_not_what_the_key_says_are_refused() -> None:
    own = age_synthetic()
    assert session(own).data is own.load()
    with pytest.raises(BenchError, match="task age-synthetic: its data are not what its key says"):
        _ = session(replace(own, digest="0" * 64)).data


def test_stacks_depend_on_the_task_and_the_kind_of_device_only() -> None:
    own = age_synthetic()
    assert session(own).stack_size == session(own, workers=7, memory_limit=10**9).stack_size == 8
    assert session(own, GPU).stack_size == 64
    assert session(replace(own, network="resnet18-v1", size=128), GPU).stack_size == 2
    assert session(replace(own, network="resnet18-v1"), replace(GPU, memory=80 * 2**30)).stack_size == 64


def own(folder: Path, *, stackable: bool) -> Task:
    """The embedded task with a network of a file."""
    (folder / "net.py").write_text(f"def net(classes, size): pass\nnet.stackable = {stackable}\n")
    found = networks.find(f"{folder / 'net.py'}:net")
    return replace(age_synthetic(), network=found.name, own_network=found.own)


def test_a_network_that_is_none_of_ours_is_examined_before_it_is_planned_with(answering, told, tmp_path: Path) -> None:
    """By a job, whose machine fetches its source. What it costs says how many are stacked, if any are."""
    stacks = {}
    for stackable, activations in ((True, 10.0), (True, 1e5), (False, 10.0)):
        executor = answering(lambda job, activations=activations: Cost(1000, activations))
        with session(own(tmp_path, stackable=stackable), executor=executor, progress=told) as opened:
            stacks[stackable, activations] = opened.stack_size, opened.stack_size
            (job,) = executor.asked
            assert isinstance(job, ExamineNetwork)
            assert job.contents == (opened.task.digest, opened.task.own_network.source)
            assert opened.shelf.source(opened.task.own_network.source).startswith(b"def net")
            assert job.setting.own_network.plugin.text is None
    assert stacks == {(True, 10.0): (8, 8), (True, 1e5): (1, 1), (False, 10.0): (1, 1)}


def test_what_is_wrong_with_a_network_is_one_line_that_names_it(answering, told, tmp_path: Path) -> None:
    def refuse(job: Any) -> Any:
        raise WorkerError("it has no parameters")

    opened = session(own(tmp_path, stackable=True), executor=answering(refuse), progress=told)
    with opened, pytest.raises(BenchError, match=r"^network net\.net \(.*net\.py\): it has no parameters$"):
        _ = opened.stack_size


def test_what_every_process_must_know_is_known_before_the_data_are_loaded() -> None:
    def load() -> Any:
        raise AssertionError("nobody asked for the data")

    own = age_synthetic()
    opened = session(replace(own, load=load), GPU)
    setting = opened.setting
    assert (setting.network, setting.classes, setting.recipe) == (own.network, 10, own.recipe)
    assert (setting.device, setting.device_kind, setting.data) == ("cuda", "Some GPU", own.digest)
    with pytest.raises(AssertionError, match="nobody asked"):
        opened.shelf.data(own.digest)


def test_the_shelf_checks_the_data_that_it_gives_out() -> None:
    own = age_synthetic()
    assert session(own).setting.data == own.digest
    opened = session(own)
    assert opened.shelf.data(opened.setting.data) is own.load()
    wrong = session(replace(own, digest="0" * 64))
    with pytest.raises(BenchError, match="its data are not what its key says"):
        wrong.shelf.data(wrong.setting.data)


def test_no_executor_is_made_before_it_is_needed(answering, told) -> None:
    with session(age_synthetic()) as opened:
        assert opened.workers >= 1
        assert list(opened.results([], "nothing", "nothing failed")) == []
    executor, made = answering(answer), []

    def factory(*arguments: object) -> Any:
        made.append(arguments)
        return executor

    with session(age_synthetic(), executor=factory, workers=3, progress=told) as opened:
        for _ in range(2):
            assert opened.attempt(TimeRetraining(opened.setting)) == "TimeRetraining is done"
        assert made == [(opened.shelf, 3, told.note)]
        assert executor.closed == 0
    assert executor.closed == 1


def test_an_executor_is_closed_whatever_happens(answering) -> None:
    executor = answering(answer)

    def interrupted() -> None:
        with session(age_synthetic(), executor=executor) as opened:
            for _ in opened.results(retrained(opened, (0,), (1,)), "stage", "training failed"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert executor.closed == 1
    assert len(executor.asked) == 1


def test_results_advance_their_stage_by_the_units_of_their_jobs(answering, told) -> None:
    opened = session(age_synthetic(), executor=answering(answer), progress=told)
    jobs = retrained(opened, (0, 1, 2), (3,))
    results = opened.results(jobs, "stage", "training failed", units=lambda job: len(job.indices), at_once=1)
    assert told.done == {}
    assert next(results) == (jobs[0], "TrainRetrained is done")
    assert told.done == {"stage": pytest.approx(0.75)}
    assert list(results) == [(jobs[1], "TrainRetrained is done")]
    assert told.done == {"stage": pytest.approx(1.0)}
    assert opened._executor.at_once == [1]


def test_the_first_job_that_cannot_be_computed_ends_all(answering) -> None:
    executor = answering(answer)
    opened = session(age_synthetic(), executor=executor)
    with pytest.raises(BenchError, match=r"^training failed: no luck$"):
        list(opened.results(retrained(opened, (0,), (7,), (1,)), "stage", "training failed"))
    assert [job.indices for job in executor.asked] == [(0,), (7,)]


def test_after_cancelling_a_stage_is_over(answering, told) -> None:
    opened = session(age_synthetic(), executor=answering(answer), progress=told)
    seen = []
    for job, _ in opened.results(retrained(opened, (0,), (1,), (7,)), "stage", "training failed"):
        seen.append(job.indices)
        if job.indices == (1,):
            opened.cancel()
    assert seen == [(0,), (1,)]
    assert told.done == {"stage": pytest.approx(1.0)}


def test_why_an_attempt_failed_is_raised_as_it_is(answering) -> None:
    opened = session(age_synthetic(), executor=answering(answer))
    with pytest.raises(WorkerError, match=r"^no luck$"):
        opened.attempt(TrainRetrained(opened.setting, (7,)))
