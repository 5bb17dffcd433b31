"""Records of strangers: every field has a type, a size and a pattern. Records of our own: written if they can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from bench.errors import BenchError
from bench.store.files import DamagedFileError, read_record, write_record
from bench.store.records import (
    Failed,
    Finished,
    Killed,
    Measured,
    NotTimed,
    Pending,
    ReferenceRecord,
    RunRecord,
    Timed,
    whole_chunks,
)
from bench.store.runs import Run

Fields = dict[str, Any]
Harm = Callable[[Fields], object]


@pytest.fixture
def read_run(tmp_path: Path, forger) -> Callable[[Fields], RunRecord]:
    """What is made of a run's record that came from elsewhere."""

    def read(fields: Fields) -> RunRecord:
        forger.write(tmp_path / "run.json", fields)
        return Run.read(tmp_path).record

    return read


@pytest.fixture
def read_reference(tmp_path: Path, forger) -> Callable[[Fields], ReferenceRecord]:
    def read(fields: Fields) -> ReferenceRecord:
        forger.write(tmp_path / "reference.json", fields)
        return read_record(tmp_path / "reference.json", ReferenceRecord)

    return read


def refused(read: Callable[[Fields], object], fields: Fields) -> str:
    with pytest.raises(DamagedFileError) as caught:
        read(fields)
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    return message


def test_good_records_have_no_problem(read_run, read_reference, run_fields: Fields, reference_fields: Fields) -> None:
    run, reference = read_run(run_fields), read_reference(reference_fields)
    assert run.chunks == (
        Pending(trials=(0, 1, 2, 3)),
        Finished(trials=(7, 6, 5, 4), file="outputs-0004.npz", sha256="0" * 64),
    )
    assert run.timed == (Timed(trial=8, seconds=0.5),)
    assert reference.baselines["a" * 16]["klom"].baseline.retrained["klom"].value == 0.5


@pytest.mark.parametrize(
    ("harm", "reason", "place"),
    [
        (lambda record: record.pop("method"), "missing required field `method`", ""),
        (lambda record: record["method"].update(name="a\x1b[31m"), "characters that do not belong there", "$.method.name"),
        (lambda record: record["method"].update(name="a\n"), "characters that do not belong there", "$.method.name"),
        (lambda record: record["method"].update(summary="a\x9b2J"), "characters that do not belong there", "$.method.summary"),
        (lambda record: record["method"].update(name="x" * 201), "length <= 200", "$.method.name"),
        (lambda record: record["method"].update(control="no"), "Expected `bool`, got `str`", "$.method.control"),
        (lambda record: record["task"].update(key="../../etc"), "characters that do not belong there", "$.task.key"),
        (lambda record: record["device"].update(kind=""), "length >= 1", "$.device.kind"),
        (lambda record: record.update(models=10**9), "Expected `int` <= 100000", "$.models"),
        (lambda record: record.update(models="8"), "Expected `int`, got `str`", "$.models"),
        (lambda record: record.update(models=8.0), "Expected `int`, got `float`", "$.models"),
        (lambda record: record.update(models=True), "Expected `int`, got `bool`", "$.models"),
        (lambda record: record.update(seed=-1), "Expected `int` >= 0", "$.seed"),
        (lambda record: record.update(attempt=2**63), "Expected `int` <= 9223372036854775807", "$.attempt"),
        (lambda record: record.update(reference_id="A" * 16), "characters that do not belong there", "$.reference_id"),
        (lambda record: record.update(allowance_seconds=-1), "Expected `float` >= 0.0", "$.allowance_seconds"),
        (lambda record: record.update(retraining_seconds=2e9), "Expected `float` <= 1000000000.0", "$.retraining_seconds"),
        (lambda record: record["chunks"][1].update(file="../../outputs-0004.npz"), "do not belong", "$.chunks[1].file"),
        (lambda record: record["chunks"][1].update(file="/etc/passwd"), "do not belong", "$.chunks[1].file"),
        (lambda record: record["chunks"][1].update(file="outputs-0004.npz\n"), "do not belong", "$.chunks[1].file"),
        (lambda record: record["chunks"][1].update(file=f"outputs-{'0' * 100}.npz"), "length <= 100", "$.chunks[1].file"),
        (lambda record: record["chunks"][1].pop("sha256"), "missing required field `sha256`", "$.chunks[1]"),
        (lambda record: record["chunks"][1].update(peak_memory=10**400), "Expected `int` <=", "$.chunks[1].peak_memory"),
        (lambda record: record["chunks"][1].update(phases={"method": -1}), "Expected `float` >= 0.0", "$.chunks[1].phases[...]"),
        (lambda record: record["chunks"][0].update(state="done"), "Invalid value 'done'", "$.chunks[0].state"),
        (lambda record: record["chunks"][0].update(state="a\x1b[2J"), "Invalid value 'a\\x1b[2J'", "$.chunks[0].state"),
        (lambda record: record["chunks"][0].pop("state"), "missing required field `state`", "$.chunks[0]"),
        (lambda record: record["chunks"][0].update(trials=[]), "length >= 1", "$.chunks[0].trials"),
        (lambda record: record["chunks"][0].update(trials=[0, 1, 2, -3]), "Expected `int` >= 0", "$.chunks[0].trials[3]"),
        (lambda record: record["chunks"][0].update(trials=[0, 1, 2, 3.0]), "got `float`", "$.chunks[0].trials[3]"),
        (
            lambda record: record["chunks"][0].update(state="failed", failure=7),
            "Expected `str`, got `int`",
            "$.chunks[0].failure",
        ),
        (lambda record: record["chunks"][0].update(state="failed"), "missing required field `failure`", "$.chunks[0]"),
        (
            lambda record: record["timed"].append({"state": "timed", "trial": 9, "seconds": "1"}),
            "Expected `float`, got `str`",
            "$.timed[1].seconds",
        ),
        (
            lambda record: record["timed"].append({"state": "timed", "seconds": 1.0}),
            "missing required field `trial`",
            "$.timed[1]",
        ),
        (lambda record: record["timed"].append({"seconds": 1.0}), "missing required field `state`", "$.timed[1]"),
        (lambda record: record.update(timed=[{}] * 101), "length <= 100", "$.timed"),
        (lambda record: record.update(environment={"torch": ["2"]}), "Expected `str`, got `array`", "$.environment[...]"),
        (lambda record: record["method"].update(hyper_parameters=[]), "got `array`", "$.method.hyper_parameters"),
        (lambda record: record["method"].update(reference_models=["0"]), "got `str`", "$.method.reference_models[0]"),
    ],
    ids=range(39),
)
def test_runs_that_do_not_fit(read_run, run_fields: Fields, harm: Harm, reason: str, place: str) -> None:
    harm(run_fields)
    told = refused(read_run, run_fields)
    assert reason in told
    assert (f"at `{place}`" if place else "") in told


@pytest.mark.parametrize(
    "harm",
    [
        lambda record: record.update(models=9),
        lambda record: record["chunks"].pop(),
        lambda record: record["chunks"][0].update(trials=[0, 1, 2, 2]),
        lambda record: record["method"].update(control=True),
    ],
)
def test_runs_whose_chunks_do_not_hold_every_trial_once(read_run, run_fields: Fields, harm: Harm) -> None:
    harm(run_fields)
    assert "its chunks do not hold every trial once" in refused(read_run, run_fields)


def test_half_a_surrogate_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"schema_version": 2, "sha256": "", "run": "\\ud800"}')
    with pytest.raises(DamagedFileError) as caught:
        Run.read(tmp_path)
    assert "checksum" not in str(caught.value)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda record: record["files"].update({"../x.npz": "0" * 64}), "characters that do not belong there"),
        (
            lambda record: record["files"].update({"labels.npz": "0"}),
            "characters that do not belong there - at `$.files",
        ),
        (lambda record: record["retraining_times"].update(cpu=0), "Expected `float` > 0.0 - at `$.retraining_times"),
        (lambda record: record.update(baselines=[]), "Expected `object`, got `array` - at `$.baselines`"),
        (lambda record: record.update(baselines={"a": {"klom": {"version": 1}}}), "missing required field `baseline`"),
        (lambda record: record.update(stack_size=0), "Expected `int` >= 1 - at `$.stack_size`"),
        (lambda record: record.update(task={"name": "t", "key": "f"}), "- at `$.task.key`"),
    ],
    ids=range(7),
)
def test_references_that_do_not_fit(read_reference, reference_fields: Fields, harm: Harm, told: str) -> None:
    harm(reference_fields)
    assert told in refused(read_reference, reference_fields)


def test_fields_that_another_version_adds_are_not_looked_at(read_run, run_fields: Fields) -> None:
    expected = read_run(run_fields)
    for part in (run_fields, run_fields["method"], run_fields["task"], *run_fields["chunks"], *run_fields["timed"]):
        part["further"] = {"anything": [None, "\n"]}
    assert read_run(run_fields) == expected


def test_numbers_of_arrays_become_pythons_own(tmp_path: Path, run_record: RunRecord) -> None:
    given = {"rate": np.float32(0.5), "steps": [np.int64(3)], "on": np.bool_(True), "decay": np.float64(0.1)}
    method = replace(run_record.method, hyper_parameters=given)
    counted = replace(run_record, method=method, seed=np.int64(7), retraining_seconds=np.float64(2.5))
    write_record(tmp_path / "run.json", counted)
    found = read_record(tmp_path / "run.json", RunRecord)
    assert found == replace(
        run_record,
        method=replace(method, hyper_parameters={"rate": 0.5, "steps": [3], "on": True, "decay": 0.1}),
        seed=7,
        retraining_seconds=2.5,
    )
    assert type(found.method.hyper_parameters["on"]) is bool
    assert type(found.method.hyper_parameters["steps"][0]) is int


@pytest.mark.parametrize("number", [float("nan"), float("inf"), np.float32("-inf")])
@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda number: {"retraining_seconds": number}, "$.retraining_seconds"),
        (lambda number: {"timed": (Timed(trial=8, seconds=1.0), Timed(trial=9, seconds=number))}, "$.timed[1].seconds"),
        (
            lambda number: {"chunks": (Finished(trials=(0,), file="f", sha256="", phases={"io": number}),)},
            "$.chunks[0].phases.io",
        ),
    ],
)
def test_numbers_that_are_not_finite_are_not_written(
    tmp_path: Path, run_record: RunRecord, number: float, change: Callable[[float], Fields], place: str
) -> None:
    path = tmp_path / "run.json"
    with pytest.raises(BenchError) as caught:
        write_record(path, replace(run_record, **change(number)))
    assert str(caught.value) == f"{path} cannot be written: {float(number)} is not a finite number - at `{place}`"
    assert not path.exists()


def test_neither_are_those_in_hyper_parameters(tmp_path: Path, run_record: RunRecord) -> None:
    method = replace(run_record.method, hyper_parameters={"rates": [0.1, {"last": float("nan")}]})
    with pytest.raises(BenchError, match=r"nan is not a finite number - at `\$\.method\.hyper_parameters\.rates\[1\]\.last`"):
        write_record(tmp_path / "run.json", replace(run_record, method=method))


def _nested(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "told"),
    [(object(), "object cannot be recorded"), (np.zeros(3), "ndarray cannot be recorded"), (_nested(5000), "recursion")],
    ids=["object", "array", "nested"],
)
def test_what_is_no_json_is_not_written(tmp_path: Path, run_record: RunRecord, value: object, told: str) -> None:
    method = replace(run_record.method, hyper_parameters={"a": value})
    with pytest.raises(BenchError, match=told):
        write_record(tmp_path / "run.json", replace(run_record, method=method))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"models": 0}, "$.models"),
        ({"budget": "a\n"}, "$.budget"),
        ({"seed": 1.0}, "$.seed"),
        ({"chunks": (Finished(trials=(0,), file="../x", sha256="0" * 64),)}, "$.chunks[0].file"),
    ],
)
def test_what_could_not_be_read_is_not_written(tmp_path: Path, run_record: RunRecord, changes: Fields, place: str) -> None:
    with pytest.raises(BenchError) as caught:
        write_record(tmp_path / "run.json", replace(run_record, **changes))
    assert f"at `{place}`" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_largest_seed_is_written(tmp_path: Path, run_record: RunRecord) -> None:
    write_record(tmp_path / "run.json", replace(run_record, seed=2**200))
    assert read_record(tmp_path / "run.json", RunRecord).seed == 2**200


def _finished(*trials: int) -> Finished:
    return Finished(trials=trials, file="outputs-0000.npz", sha256="0" * 64, phases={"method": 1.0, "io": 0.5})


def _timed(*seconds: float) -> tuple[Timed, ...]:
    return tuple(Timed(trial=8 + index, seconds=each, phases={"method": each}) for index, each in enumerate(seconds))


@pytest.mark.parametrize(
    ("chunks", "timed", "complete"),
    [
        ((_finished(*range(8)),), _timed(1, 1, 1), True),
        ((_finished(*range(8)),), (*_timed(1, 1), Killed(trial=10, seconds=7.0, killed="after 7 s")), True),
        ((_finished(*range(8)),), _timed(1, 1), False),
        ((_finished(*range(8)),), (*_timed(1, 1), NotTimed(failure="no luck")), False),
        ((_finished(*range(4)), Pending(trials=(4, 5, 6, 7))), _timed(1, 1, 1), False),
        ((_finished(*range(4)), Failed(trials=(4, 5, 6, 7), failure="no luck", finished=4)), _timed(1, 1, 1), False),
    ],
)
def test_complete_runs_have_outputs_and_times(run_record: RunRecord, chunks: tuple, timed: tuple, complete: bool) -> None:
    assert replace(run_record, chunks=chunks, timed=timed).complete is complete


def test_how_far_a_run_came_and_why(run_record: RunRecord) -> None:
    chunks = (_finished(0, 1, 2), Failed(trials=(3, 4, 5), failure="no luck", finished=2), Pending(trials=(6, 7)))
    run = replace(run_record, chunks=chunks, timed=(NotTimed(failure="later"),))
    assert run.finished_chunks == [chunks[0]]
    assert run.finished_trials == 5
    assert run.failure == "no luck"
    assert replace(run, chunks=(chunks[0],)).failure == "later"
    assert replace(run, chunks=(chunks[0],), timed=()).failure == ""


def test_times_of_killed_trials_count(run_record: RunRecord) -> None:
    timed = (*_timed(0.5), Killed(trial=9, seconds=7.0, killed="after 7 s"), NotTimed(failure="no luck"))
    run = replace(run_record, timed=timed)
    assert run.runtimes == [0.5, 7.0]
    assert run.untimed == [10]


@pytest.mark.parametrize(
    ("seconds", "over"), [((), False), ((1.0, 1.0, 9.0), False), ((0.1, 1.1, 1.2), True), ((0.5, 1.5), False), ((0.6, 1.5), True)]
)
def test_the_median_time_decides_on_the_budget(run_record: RunRecord, seconds: tuple[float, ...], over: bool) -> None:
    assert replace(run_record, timed=_timed(*seconds)).over_budget is over


def test_control_rows_need_no_trials(run_record: RunRecord) -> None:
    method = replace(run_record.method, control=True, reference_models=(None,) * 8)
    control = replace(run_record, method=method, chunks=(), timed=())
    assert control.complete
    assert control.finished_trials == 8
    assert control.untimed == []
    assert control.chunk_problem == ""
    assert replace(control, chunks=run_record.chunks).chunk_problem == "its chunks do not hold every trial once"


def test_phases_add_up(run_record: RunRecord) -> None:
    run = replace(run_record, chunks=(_finished(0), _finished(1), Pending(trials=(2,))), timed=(*_timed(2), NotTimed(failure="")))
    assert run.phases == {"method": 4.0, "io": 1.0}


def test_hyper_parameters_that_were_given_are_known(run_record: RunRecord) -> None:
    assert run_record.method.has_own_options
    assert not replace(run_record.method, spec="m").has_own_options


def test_whole_chunks_hold_what_is_asked_for() -> None:
    assert whole_chunks([3, 4], 4) == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert whole_chunks([9, 8, 0], 2) == [(0, 1), (8, 9)]
    assert whole_chunks([], 4) == []


def test_available_models_are_counted_without_gaps() -> None:
    files = {ReferenceRecord.retrained_file(chunk): "0" * 64 for chunk in ((0, 1, 2, 3), (4, 5, 6, 7), (12, 13, 14, 15))}
    assert ReferenceRecord(files=files, stack_size=4).available == 8
    assert ReferenceRecord(files=files, stack_size=2).available == 0
    assert ReferenceRecord().available == 0


def test_measured_is_part_of_what_is_finished() -> None:
    assert set(Measured.__struct_fields__) < set(Finished.__struct_fields__)
