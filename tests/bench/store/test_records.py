"""Records of strangers: every field has a type, a size and a pattern. Records of our own: written if they can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from bench.budget import Budget
from bench.errors import BenchError
from bench.store.files import DamagedFileError, read_record, write_record
from bench.store.records import Failed, Finished, Killed, Measured, NotTimed, Pending, RunRecord, Timed
from bench.store.runs import Run

MakeTimed = Callable[..., tuple[Timed, ...]]
Fields = dict[str, Any]
Harm = Callable[[Fields], object]


@pytest.fixture
def read_run(tmp_path: Path, forger) -> Callable[[Fields], RunRecord]:
    """What is made of a run's record that came from elsewhere."""

    def read(fields: Fields) -> RunRecord:
        forger.write(tmp_path / "run.json", fields)
        return Run.read(tmp_path).record

    return read


def test_a_good_record_has_no_problem(read_run, run_fields: Fields) -> None:
    run = read_run(run_fields)
    assert run.chunks == (
        Pending(trials=(0, 1, 2, 3)),
        Finished(trials=(7, 6, 5, 4), file="outputs-0004.npz", sha256="0" * 64),
    )
    assert [(type(each), each.seconds) for each in run.known_times] == [(Timed, 0.5)]


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
        (lambda record: record.update(timed=[{}] * 100_001), "length <= 100000", "$.timed"),
        (lambda record: record["timed"][0].update(file="../x.npz"), "do not belong", "$.timed[0].file"),
        (lambda record: record["timed"][0].update(retraining=[0, 1]), "Expected `float` > 0.0", "$.timed[0].retraining[0]"),
        (lambda record: record["timed"][0].update(busy=1.5), "Expected `float` <= 1.0", "$.timed[0].busy"),
        (lambda record: record.update(secret="0"), "do not belong", "$.secret"),
        (lambda record: record.update(budget="0%"), "do not belong", "$.budget"),
        (lambda record: record.update(budget="twenty"), "do not belong", "$.budget"),
        (lambda record: record.update(retraining_seconds=0), "Expected `float` > 0.0", "$.retraining_seconds"),
        (lambda record: record.update(environment={"torch": ["2"]}), "Expected `str`, got `array`", "$.environment[...]"),
        (lambda record: record["method"].update(hyper_parameters=[]), "got `array`", "$.method.hyper_parameters"),
        (lambda record: record["method"].update(reference_models=["0"]), "got `str`", "$.method.reference_models[0]"),
    ],
    ids=range(46),
)
def test_runs_that_do_not_fit(refused, read_run, run_fields: Fields, harm: Harm, reason: str, place: str) -> None:
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
def test_runs_whose_chunks_do_not_hold_every_trial_once(refused, read_run, run_fields: Fields, harm: Harm) -> None:
    harm(run_fields)
    assert "its chunks do not hold every trial once" in refused(read_run, run_fields)


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ("020%", "its budget 020% is written 20%"),
        ("20.0%", "its budget 20.0% is written 20%"),
        ("20.00000000000000000001%", "is written 20%"),
        ("00.5s", "is written 0.5s"),
        ("\u0662\u0660%", "do not belong there - at `$.budget`"),
        ("\uff12\uff10%", "do not belong there - at `$.budget`"),
        (" 20%", "do not belong there - at `$.budget`"),
        ("20%\n", "do not belong there - at `$.budget`"),
        ("2e1%", "do not belong there - at `$.budget`"),
        ("+20%", "do not belong there - at `$.budget`"),
    ],
)
def test_a_budget_has_one_form(refused, read_run, run_fields: Fields, budget: str, told: str) -> None:
    """Others would open a division of their own."""
    run_fields["budget"] = budget
    assert told in refused(read_run, run_fields)


@pytest.mark.parametrize("budget", ["0.000001%", "20%", "7.5s", "100000%"])
def test_what_bench_writes_is_that_form(read_run, run_fields: Fields, budget: str) -> None:
    run_fields["budget"] = str(Budget.parse(budget))
    assert read_run(run_fields).budget == budget


@pytest.mark.parametrize("kind", ["CPU", "Cpu", "cpu ", " cpu", "\tcpu", "NVIDIA H200 ", "\u00a0cpu"])
def test_a_device_has_one_name(refused, read_run, run_fields: Fields, kind: str) -> None:
    run_fields["device"]["kind"] = kind
    assert "do not belong there - at `$.device.kind`" in refused(read_run, run_fields)


@pytest.mark.parametrize("kind", ["cpu", "NVIDIA H100 80GB HBM3", "CPU-like", "N"])
def test_names_of_devices_are_free_otherwise(read_run, run_fields: Fields, kind: str) -> None:
    run_fields["device"]["kind"] = kind
    assert read_run(run_fields).device.kind == kind


@pytest.mark.parametrize(
    ("control", "models"), [(False, list(range(8, 16))), (False, [None]), (True, []), (True, [8]), (True, list(range(9)))]
)
def test_reference_models_are_those_of_control_rows(
    refused, read_run, run_fields: Fields, control: bool, models: list[int | None]
) -> None:
    run_fields["method"] |= {"control": control, "reference_models": models}
    if control:
        run_fields |= {"chunks": [], "timed": []}
    assert "reference models stand in for the trials of a control row" in refused(read_run, run_fields)


def test_nobody_is_killed_in_time(refused, read_run, run_fields: Fields) -> None:
    """Of a trial that was killed there are no outputs to look at, so it must not be within the budget."""
    trial = run_fields["timed"][0]
    trial |= {"state": "killed", "killed": "after 7 s", "seconds": 0.9}
    assert "killed before its time was over" in refused(read_run, run_fields)
    trial["seconds"] = 7.0
    assert read_run(run_fields).known_times[0].seconds == 7.0


def test_half_a_surrogate_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"schema_version": 2, "sha256": "", "run": "\\ud800"}')
    with pytest.raises(DamagedFileError) as caught:
        Run.read(tmp_path)
    assert "checksum" not in str(caught.value)


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


ALL = (_finished(*range(8)),)


def test_complete_runs_have_outputs_and_times(run_record: RunRecord, timed: MakeTimed) -> None:
    run = replace(run_record, chunks=ALL, timed=timed(0.5, 0.5, 0.5))
    assert run.complete
    first, second, third = run.timed
    killed = Killed(trial=third.trial, seconds=0.5, retraining=(5.0, 5.0), killed="after 7 s")
    assert replace(run, timed=(first, second, killed)).complete
    assert not replace(run, timed=(first, second)).complete
    assert not replace(run, timed=(first, second, NotTimed(failure="no luck"))).complete
    for other in (Pending(trials=(4, 5, 6, 7)), Failed(trials=(4, 5, 6, 7), failure="no luck", finished=4)):
        assert not replace(run, chunks=(_finished(*range(4)), other)).complete


@pytest.mark.parametrize(
    ("seconds", "enough"),
    [
        ((0.5, 0.5), False),
        ((0.5, 0.5, 0.5), True),
        ((2.0, 2.0, 2.0), True),
        ((0.5, 0.9, 1.5), False),  # what is allowed, 1 s, may be more or less
        ((0.5, 0.9, 1.5, 0.5, 0.5, 0.5, 0.5, 0.5), True),
    ],
)
def test_times_are_enough_when_they_decide(run_record: RunRecord, timed: MakeTimed, seconds: tuple, enough: bool) -> None:
    assert replace(run_record, chunks=ALL, timed=timed(*seconds)).complete == enough


def test_no_more_than_nine_are_wanted(run_record: RunRecord) -> None:
    chunks = (_finished(*range(64)),)
    run = replace(run_record, models=64, chunks=chunks, timed=())
    for count in range(9):
        assert run.wants_time, count
        seconds = 1.0 + 0.5 * (-1) ** count
        killed = Killed(trial=run.next_timed, seconds=seconds, retraining=(5.0, 5.0), killed="")
        run = replace(run, timed=(*run.timed, killed))
    assert not run.wants_time
    assert len({each.trial for each in run.timed}) == 9


def test_how_far_a_run_came_and_why(run_record: RunRecord) -> None:
    chunks = (_finished(0, 1, 2), Failed(trials=(3, 4, 5), failure="no luck", finished=2), Pending(trials=(6, 7)))
    run = replace(run_record, chunks=chunks, timed=(NotTimed(failure="later"),))
    assert run.finished_chunks == [chunks[0]]
    assert run.finished_trials == 5
    assert run.failure == "no luck"
    assert replace(run, chunks=(chunks[0],)).failure == "later"
    assert replace(run, chunks=(chunks[0],), timed=()).failure == ""


def test_shares_compare_trials_with_what_was_beside_them(run_record: RunRecord, timed: MakeTimed) -> None:
    first, second = timed(0.5, 1.2)
    killed = Killed(trial=7, seconds=7.0, retraining=(8.0, 6.0), killed="after 7 s", busy=0.7)
    run = replace(run_record, timed=(replace(first, peak_memory=5), replace(second, retraining=(4.0, 8.0)), killed))
    assert run.timing.shares == pytest.approx([0.1, 0.2, 1.0])
    assert (run.timing.allowed, run.timing.retraining) == (0.2, 4.0)  # the fastest that was seen
    assert list(run.timing.busy) == [0.0, 0.0, 0.7]
    assert list(run.timing.peak_memory) == [5]
    assert replace(run, budget="1s").timing.allowed == 0.25


def test_what_is_no_time_does_not_count(run_record: RunRecord) -> None:
    earlier = Timed(trial=8, seconds=0.5), Killed(trial=9, seconds=7.0, killed="after 7 s")  # as earlier versions wrote them
    run = replace(run_record, timed=(*earlier, NotTimed(failure="no luck")))
    assert run.timing.shares == []
    assert run.wants_time
    assert run.problem == ""


def test_a_trial_has_its_part_of_its_stack(run_record: RunRecord) -> None:
    run = replace(run_record, chunks=(_finished(0, 1, 2, 3), replace(_finished(4, 5, 6, 7), seconds=1.0)))
    assert run.scored_seconds(5) == 0.25
    assert run.scored_seconds(0) == 0.0


def test_control_rows_need_no_trials(run_record: RunRecord) -> None:
    method = replace(run_record.method, control=True, reference_models=(None,) * 8)
    control = replace(run_record, method=method, chunks=(), timed=())
    assert control.complete
    assert control.finished_trials == 8
    assert not control.wants_time
    assert control.problem == ""
    assert replace(control, chunks=run_record.chunks).problem == "its chunks do not hold every trial once"


@pytest.mark.parametrize("forge", [lambda timed: (*timed, timed[0]), lambda timed: (replace(timed[0], trial=8),)])
def test_trials_that_somebody_chose_to_be_timed_are_found(run_record: RunRecord, timed: MakeTimed, forge: Callable) -> None:
    run = replace(run_record, chunks=ALL, timed=timed(0.5, 0.5, 0.5))
    assert run.problem == ""
    assert replace(run, timed=forge(run.timed)).problem == "its secret names other trials to be timed"
    assert replace(run, secret="").problem == "its secret names other trials to be timed"


def test_phases_add_up(run_record: RunRecord) -> None:
    timed = Killed(trial=0, seconds=2.0, killed="", phases={"method": 2.0}), NotTimed(failure="")
    run = replace(run_record, chunks=(_finished(0), _finished(1), Pending(trials=(2,))), timed=timed)
    assert run.phases == {"method": 4.0, "io": 1.0}


def test_hyper_parameters_that_were_given_are_known(run_record: RunRecord) -> None:
    assert run_record.method.has_own_options
    assert not replace(run_record.method, spec="m").has_own_options


def test_measured_is_part_of_what_is_finished() -> None:
    assert set(Measured.__struct_fields__) < set(Finished.__struct_fields__)


def test_models_from_elsewhere_are_one_chunk_without_times(run_record: RunRecord, timed: MakeTimed) -> None:
    chunk = _finished(*range(run_record.models))
    elsewhere = replace(run_record, self_reported=True, chunks=(chunk,), timed=(), secret="")
    assert elsewhere.complete
    assert not elsewhere.wants_time
    assert elsewhere.problem == ""
    clock = replace(elsewhere.method, uses_clock=True)
    odd = (
        replace(elsewhere, chunks=(_finished(0, 1, 2, 3), _finished(4, 5, 6, 7))),
        replace(elsewhere, method=clock),
        replace(elsewhere, secret=run_record.secret, timed=timed(0.5)),
        replace(elsewhere, method=replace(elsewhere.method, control=True), chunks=()),
    )
    assert {each.problem for each in odd} == {"it is self-reported, and has trials as of a run"}
