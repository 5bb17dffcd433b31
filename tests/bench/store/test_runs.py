"""Runs: what the engine keeps is there when it is read again, and damage costs what is damaged only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock, Timeout
from msgspec.structs import replace

from bench.errors import BenchError
from bench.outputs import Outputs
from bench.store.fields import VERSION
from bench.store.files import DamagedFileError, EarlierVersionError, write_bytes
from bench.store.records import Failed, Finished, Killed, Measured, Pending, RunRecord
from bench.store.references import Reference
from bench.store.runs import LARGEST_LOG, Run
from bench.store.store import Store

Draw = Callable[..., Outputs]
MEASURED = Measured(phases={"method": 1.5}, peak_memory=10, peak_host_memory=20)
STACKS = ((0, 1, 2, 3), (4, 5, 6, 7))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.prepare()
    return store


@pytest.fixture
def wanted(run_record: RunRecord) -> RunRecord:
    """A run that nobody has begun."""
    return replace(run_record, chunks=tuple(Pending(trials=stack) for stack in STACKS), timed=(), stack_size=4)


@pytest.fixture
def control(wanted: RunRecord) -> RunRecord:
    method = replace(wanted.method, control=True, reference_models=(None,) * 8)
    return replace(wanted, method=method, chunks=())


class Opener:
    """Opens runs of a store, and remembers what was noted."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.notes: list[str] = []

    def __call__(self, record: RunRecord, *, again: bool = False) -> Run:
        with self.store.run(record, again=again, note=self.notes.append) as run:
            return run

    @property
    def folders(self) -> list[str]:
        return sorted(folder.name for folder in self.store.runs.iterdir())


@pytest.fixture
def opened(store: Store) -> Opener:
    return Opener(store)


@pytest.fixture
def finished(opened: Opener, wanted: RunRecord, outputs: Draw) -> Run:
    run = opened(wanted)
    for stack in STACKS:
        run.keep_outputs(stack, outputs(4, seed=stack[0]), MEASURED, 2.0)
    return run


def test_a_new_run_is_kept_as_it_was_asked_for(opened: Opener, wanted: RunRecord) -> None:
    run = opened(wanted)
    assert run.folder.name.startswith("m-")
    assert run.record == replace(wanted, run=run.folder.name)
    assert Run.read(run.folder).record == run.record
    assert opened.notes == []


def test_outputs_are_kept(finished: Run, outputs: Draw) -> None:
    again = Run.read(finished.folder)
    assert again.record == finished.record
    for chunk, stack in zip(again.record.chunks, STACKS, strict=True):
        assert isinstance(chunk, Finished)
        assert chunk.trials == stack
        assert chunk.file == f"outputs-{stack[0]:04d}.npz"
        assert (chunk.phases, chunk.peak_memory, chunk.peak_host_memory) == ({"method": 1.5}, 10, 20)
        assert chunk.wall_seconds == 2.0
        assert again.chunk_outputs(chunk).digest() == outputs(4, seed=stack[0]).digest()


def test_other_states_of_chunks_are_kept(opened: Opener, wanted: RunRecord, outputs: Draw) -> None:
    run = opened(wanted)
    run.keep_outputs(STACKS[0], outputs(4), MEASURED, 2.0)
    failed = Failed(trials=STACKS[1], failure="no luck", kind="memory", finished=3)
    run.keep_chunk(failed)
    first, second = Run.read(run.folder).record.chunks
    assert isinstance(first, Finished)
    assert second == failed
    run.keep_chunk(Pending(trials=STACKS[0]))
    assert Run.read(run.folder).record.chunks == (Pending(trials=STACKS[0]), failed)


def timed_in_turn(run: Run) -> tuple[int, int]:
    """The first two trials that are timed."""
    first = run.record.next_timed
    killed = Killed(trial=first, seconds=7.0, retraining=(5.0, 5.0), killed="")
    return first, replace(run.record, timed=(killed,)).next_timed


def test_times_are_kept_with_what_trials_came_to(finished: Run, outputs: Draw) -> None:
    first, second = timed_in_turn(finished)
    measured = Measured(seconds=0.5, retraining=(5.0, 4.0), busy=0.25, peak_memory=3)
    finished.keep_timed([Killed(trial=first, seconds=7.0, retraining=(5.0, 5.0), killed="after 7 s")])
    finished.keep_alone(second, outputs(1), measured)
    run = Run.read(finished.folder)
    killed, timed = run.record.timed
    assert (killed.trial, killed.killed) == (first, "after 7 s")
    assert (timed.trial, timed.seconds, timed.retraining, timed.busy, timed.peak_memory) == (second, 0.5, (5.0, 4.0), 0.25, 3)
    again = run.again()
    assert (again.trials, again.seconds, again.scored_seconds) == ([second], [0.5], [run.record.scored_seconds(second)])
    assert again.outputs.digest() == outputs(1).digest()
    (run.folder / timed.file).write_bytes(b"PK")
    with pytest.raises(DamagedFileError, match=timed.file):
        run.check_outputs()
    assert run.forget_damaged() == [run.folder / timed.file]
    assert run.record.timed == (killed,)
    run.keep_timed([])
    assert Run.read(run.folder).again() is None


def test_smaller_stacks_start_again(finished: Run) -> None:
    halves = ((0, 1), (2, 3), (4, 5), (6, 7))
    finished.plan_again(2, halves)
    again = Run.read(finished.folder)
    assert again.record.chunks == tuple(Pending(trials=each) for each in halves)
    assert again.record.stack_size == 2
    assert again.record.backed_off
    assert not list(finished.folder.glob("outputs-*"))


def test_outputs_come_in_the_order_of_trials(opened: Opener, wanted: RunRecord, outputs: Draw, tmp_path: Path) -> None:
    odd, even, eight = (7, 5, 3, 1), (0, 2, 4, 6), outputs(8)
    run = opened(replace(wanted, chunks=(Pending(trials=odd), Pending(trials=even))))
    for trials in (even, odd):
        run.keep_outputs(trials, eight.select(trials), MEASURED, 2.0)
    assert run.outputs(Reference(tmp_path / "none")).digest() == eight.digest()


def test_control_rows_have_the_outputs_of_the_reference(drawn) -> None:
    stored = drawn.reference.retrained(range(16))
    retrained = (3, 0, 15)
    run = drawn.add("control", drawn.retrained)
    method = replace(run.record.method, control=True, reference_models=retrained)
    record = replace(run.record, method=method, chunks=(), timed=())
    assert Run(run.folder, record).outputs(drawn.reference).digest() == stored.select(retrained).digest()
    method = replace(method, reference_models=(None,) * 4)
    found = Run(run.folder, replace(record, method=method)).outputs(drawn.reference)
    assert found.digest() == drawn.reference.original().select([0] * 4).digest()


def _other_content(run: Run, outputs: Draw) -> None:
    (run.folder / "outputs-0000.npz").write_bytes(b"PK")


def _no_file(run: Run, outputs: Draw) -> None:
    (run.folder / "outputs-0000.npz").unlink()


def _no_archive(run: Run, outputs: Draw) -> None:
    _replaced(run, write_bytes(run.folder / "outputs-0000.npz", b"PK"))


def _fewer_models(run: Run, outputs: Draw) -> None:
    other = Run(run.folder, run.record)
    other.keep_outputs(STACKS[0], outputs(3), MEASURED, 2.0)
    _replaced(run, other.record.finished_chunks[0].sha256)


def _replaced(run: Run, sha256: str) -> None:
    run.keep_chunk(replace(run.record.finished_chunks[0], sha256=sha256))


DAMAGES = pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_other_content, "its checksum differs"),
        (_no_file, "No such file"),
        (_no_archive, "it is no npz file"),
        (_fewer_models, "it has 3 models for 4 trials"),
    ],
)


@DAMAGES
def test_damaged_outputs_are_found(finished: Run, outputs: Draw, damage: Callable[[Run, Draw], None], told: str) -> None:
    finished.check_outputs()
    damage(finished, outputs)
    run = Run.read(finished.folder)
    for look in (run.check_outputs, lambda: run.chunk_outputs(run.record.finished_chunks[0])):
        with pytest.raises(DamagedFileError, match=told) as caught:
            look()
        assert caught.value.path == finished.folder / "outputs-0000.npz"
    assert len(run.chunk_outputs(run.record.finished_chunks[1])) == 4


@DAMAGES
def test_only_damaged_chunks_are_repeated(
    opened: Opener, wanted: RunRecord, finished: Run, outputs: Draw, damage: Callable[[Run, Draw], None], told: str
) -> None:
    damage(finished, outputs)
    run, path = Run.read(finished.folder), finished.folder / "outputs-0000.npz"
    assert run.forget_damaged() == [path]
    assert run.record.chunks == (Pending(trials=STACKS[0]), finished.record.chunks[1])
    assert run.forget_damaged() == []
    found = opened(wanted)
    assert found.record == run.record
    assert opened.notes == [f"damaged file {path}: its trials run again"]
    found.keep_outputs(STACKS[0], outputs(4), MEASURED, 2.0)
    assert opened(wanted).record.chunks == found.record.chunks


def test_runs_belong_to_their_folder(finished: Run) -> None:
    other = finished.folder.rename(finished.folder.with_name("m-0123456789ab"))
    with pytest.raises(DamagedFileError, match=f"it belongs to run {finished.folder.name}.*; begin again"):
        Run.read(other, mend="begin again")


def test_records_without_a_name_belong_to_any_folder(tmp_path: Path, forger, run_fields: dict[str, Any]) -> None:
    forger.write(tmp_path / "run.json", run_fields)
    assert Run.read(tmp_path).record.run == ""


def test_an_interrupted_run_is_found_again(opened: Opener, wanted: RunRecord, outputs: Draw) -> None:
    run = opened(wanted)
    run.keep_outputs(STACKS[0], outputs(4), MEASURED, 2.0)
    found = opened(replace(wanted, created="later", retraining_seconds=6.0, environment={"torch": "3"}))
    assert found.folder == run.folder
    assert found.record == run.record
    assert len(opened.folders) == 1


def test_again_makes_another_one(opened: Opener, wanted: RunRecord, outputs: Draw) -> None:
    run = opened(wanted)
    run.keep_outputs(STACKS[0], outputs(4), MEASURED, 2.0)
    other = opened(wanted, again=True)
    assert other.folder != run.folder
    assert other.record == replace(wanted, run=other.folder.name, attempt=1)
    assert opened(wanted, again=True).record.attempt == 2
    assert opened(wanted).folder == run.folder
    assert Run.read(run.folder).record == run.record
    assert len(opened.folders) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda record: replace(record, seed=1),
        lambda record: replace(record, models=16, chunks=(Pending(trials=tuple(range(16))),)),
        lambda record: replace(record, budget="30s"),
        lambda record: replace(record, reference_id="b" * 16),
        lambda record: replace(record, task=replace(record.task, key="e" * 64)),
        lambda record: replace(record, device=replace(record.device, kind="other")),
        lambda record: replace(record, method=replace(record.method, name="n")),
        lambda record: replace(record, method=replace(record.method, hyper_parameters={"a": 2})),
        lambda record: replace(record, method=replace(record.method, source_hash="1" * 64)),
    ],
    ids=range(9),
)
def test_other_questions_are_other_runs(opened: Opener, wanted: RunRecord, change: Callable[[RunRecord], RunRecord]) -> None:
    run, other = opened(wanted), opened(change(wanted))
    assert other.folder != run.folder
    assert len(opened.folders) == 2


def test_control_rows_are_never_doubled(opened: Opener, control: RunRecord) -> None:
    run = opened(control)
    newer = replace(control, seed=5, method=replace(control.method, source_hash="1" * 64))
    assert opened(newer).record == run.record
    assert opened(newer, again=True).record == run.record
    assert opened.folders == [run.folder.name]
    assert opened(replace(control, reference_id="b" * 16)).folder != run.folder


def test_a_damaged_record_is_restored_from_its_copy(opened: Opener, wanted: RunRecord, finished: Run) -> None:
    path = finished.folder / "run.json"
    path.write_text("{")
    assert opened(wanted).record == finished.record
    assert opened.notes == [f"damaged file {path}: set aside, its copy is used"]
    assert (finished.folder / "run.json.damaged").read_text() == "{"
    assert Run.read(finished.folder).record == finished.record


@pytest.mark.parametrize("again", [False, True])
def test_a_lost_record_is_restored_from_its_copy(opened: Opener, wanted: RunRecord, finished: Run, again: bool) -> None:
    (finished.folder / "run.json").unlink()
    run = opened(wanted, again=again)
    assert run.record.attempt == int(again)
    assert Run.read(finished.folder).record == finished.record


@pytest.mark.parametrize("twice", [False, True])
def test_a_run_without_a_good_record_starts_again(
    opened: Opener, wanted: RunRecord, finished: Run, forger, run_fields: dict[str, Any], twice: bool
) -> None:
    path = finished.folder / "run.json"
    path.write_text("{")
    (finished.folder / "run.copy.json").write_text("{")
    if twice:
        forger.write(finished.folder / "run.copy.json", {**run_fields, "models": 9})
    assert opened(wanted).record == replace(wanted, run=finished.folder.name)
    assert opened.notes == [f"damaged file {path}: set aside, the run starts again"]
    assert (finished.folder / "run.json.damaged").exists()
    path.write_text("{")
    assert opened(wanted).record == replace(wanted, run=finished.folder.name)
    assert opened.notes[1:] == [f"damaged file {path}: set aside, its copy is used"]


@pytest.mark.parametrize("version", [VERSION - 1, VERSION + 1])
def test_runs_of_other_versions_stay_as_they_are(opened: Opener, wanted: RunRecord, finished: Run, forger, version: int) -> None:
    path = finished.folder / "run.json"
    forger.write(path, {"chunks": "of another form"}, version)
    before = {file.name: file.read_bytes() for file in finished.folder.iterdir()}
    with pytest.raises(BenchError, match="was written by") as caught:
        opened(wanted)
    assert isinstance(caught.value, EarlierVersionError) is (version < VERSION)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {file.name: file.read_bytes() for file in finished.folder.iterdir()} == before
    assert opened.notes == []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (float("nan"), "nan is not a finite number - at `$.method.hyper_parameters.a`"),
        (np.zeros(2), "ndarray cannot be recorded"),
        (object(), "object cannot be recorded"),
    ],
)
def test_what_cannot_be_recorded_is_one_line(opened: Opener, wanted: RunRecord, value: object, told: str) -> None:
    method = replace(wanted.method, hyper_parameters={"a": value}, spec="m" * 5000)
    with pytest.raises(BenchError) as caught:
        opened(replace(wanted, method=method))
    assert str(caught.value) == f"the run of {'m' * 100} cannot be recorded: {told}"
    assert opened.folders == []


def test_what_a_method_names_is_recorded_or_refused(opened: Opener, wanted: RunRecord) -> None:
    with pytest.raises(BenchError, match=r"cannot be recorded: .* - at `\$\.method\.name`"):
        opened(replace(wanted, method=replace(wanted.method, name="m" * 201)))
    assert opened.folders == []


def test_a_run_is_one_process_at_a_time(store: Store, wanted: RunRecord) -> None:
    with store.run(wanted, again=False, note=pytest.fail) as run, pytest.raises(Timeout):
        FileLock(run.folder / ".lock").acquire(timeout=0)
    FileLock(run.folder / ".lock").acquire(timeout=0)


def test_what_a_plugin_prints_is_kept_up_to_a_bound(opened: Opener, wanted: RunRecord) -> None:
    run = opened(wanted)
    run.keep_printed(b"words\n")
    run.keep_printed(b"x" * LARGEST_LOG)
    run.keep_printed(b"more")
    text = run.log.read_bytes()
    assert text.startswith(b"words\nxxx")
    assert text.endswith(b"x\n(the rest is left out)\n")
    assert LARGEST_LOG <= len(text) < LARGEST_LOG + 100


@pytest.fixture
def complete(finished: Run, outputs: Draw) -> Run:
    return timed_enough(finished, outputs)


def timed_enough(run: Run, outputs: Draw) -> Run:
    """With three timed trials."""
    run.keep_secret("1" * 32)
    while run.record.wants_time:
        run.keep_alone(run.record.next_timed, outputs(1), Measured(seconds=0.5, retraining=(5.0, 5.0)))
    return run


def test_names_are_no_patterns(opened: Opener, wanted: RunRecord, outputs: Draw) -> None:
    """Of a file called so, say."""
    odd = replace(wanted, method=replace(wanted.method, name="m[1]"))
    run = opened(odd)
    for stack in STACKS:
        run.keep_outputs(stack, outputs(4), MEASURED, 2.0)
    timed_enough(run, outputs)
    assert opened.store.with_same_trials(replace(odd, budget="40%")) == run.folder.name


def test_the_trials_of_another_budget_are_taken_over(opened: Opener, wanted: RunRecord, complete: Run) -> None:
    other = replace(wanted, budget="40%", allowance_seconds=2.0, environment={"torch": "3"})
    assert opened.store.with_same_trials(wanted) is None  # that would be itself
    assert opened.store.with_same_trials(other) == complete.folder.name
    run = opened(other)
    run.take_over(complete.folder.name)
    again = Run.read(run.folder)
    assert again.record.complete
    assert (again.record.budget, again.record.trials_of) == ("40%", complete.folder.name)
    assert again.record.environment == complete.record.environment
    assert again.record.timing.shares == complete.record.timing.shares
    again.check_outputs()
    assert again.again().outputs.digest() == complete.again().outputs.digest()


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"reference_id": "b" * 16}, {"method": {"hyper_parameters": {"a": 2}}}, {"method": {"source_hash": "1" * 64}}],
)
def test_other_trials_are_not(opened: Opener, wanted: RunRecord, complete: Run, changes: dict[str, Any]) -> None:
    method = replace(wanted.method, **changes.pop("method", {}))
    assert opened.store.with_same_trials(replace(wanted, budget="40%", method=method, **changes)) is None


def test_nor_are_those_of_a_run_that_is_damaged_or_not_complete(opened: Opener, wanted: RunRecord, complete: Run) -> None:
    other = replace(wanted, budget="40%")
    (complete.folder / "outputs-0000.npz").write_bytes(b"PK")
    assert opened.store.with_same_trials(other) is None
    complete.keep_timed([])
    assert opened.store.with_same_trials(other) is None
