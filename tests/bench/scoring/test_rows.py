"""Rows of a board: what is said of a run that has a scorecard, and of one that has none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from bench.errors import BenchError
from bench.metrics.metric import Models
from bench.scoring.rows import Row, row, rows
from bench.scoring.scorecard import Measure, Scorecard, Section, keep_scorecard
from bench.store.files import DamagedFileError
from bench.store.records import Failed, Finished, Killed, NotTimed, Pending
from bench.store.runs import Run

CARD = Scorecard(
    sections={
        "points": Section(
            version=1,
            measures={"seven": Measure(value=7.0, unit="points", better="higher")},
            flags={"deterministic": "all models are equal"},
            details={"per_example": [0.5, None]},
        )
    }
)
NO_OUTPUTS = Pending(trials=tuple(range(8, 16)))


@pytest.fixture
def scored(drawn) -> Callable[..., Run]:
    """A run with a scorecard."""

    def make(name: str = "run", models: Models | None = None, **changes: object) -> Run:
        run = drawn.add(name, drawn.shifted(0.0) if models is None else models, **changes)
        keep_scorecard(run, CARD)
        return run

    return make


def retimed(run: Run, *seconds: float, **about: object) -> Row:
    """The row of a run whose timed trials took so long."""
    known = [replace(each, seconds=took, **about) for each, took in zip(run.record.timed, seconds, strict=True)]
    run.keep_timed(known)
    return row(Run.read(run.folder))


def test_a_row_has_what_its_scorecard_has(scored) -> None:
    found = row(scored())
    assert (found.failure, found.control) == ("", False)
    assert found.value("seven") == 7.0
    assert found.measure("seven").unit == "points"
    assert found.details("points") == {"per_example": [0.5, None]}
    for nothing in (found.value("eight"), found.measure("eight")):
        assert nothing is None
    assert found.details("another") == {}


def test_a_row_without_a_scorecard_has_nothing(scored) -> None:
    without = Row(scored().folder, scored().record, None, "no luck")
    assert without.value("seven") is None
    assert without.details("points") == {}
    assert without.badges == []


@pytest.mark.parametrize(
    ("chunks", "failure"),
    [
        ((NO_OUTPUTS,), "8/16 trials: interrupted; the same command resumes it"),
        ((Failed(trials=NO_OUTPUTS.trials, failure="no luck"),), "8/16 trials: no luck"),
        ((Failed(trials=NO_OUTPUTS.trials, failure="no luck", finished=3),), "11/16 trials: no luck"),
    ],
)
def test_how_far_an_unfinished_run_came(scored, chunks: tuple, failure: str) -> None:
    run = scored()
    first = Finished(trials=tuple(range(8)), file="outputs-0000.npz", sha256="0" * 64)
    found = row(Run(run.folder, replace(run.record, chunks=(first, *chunks))))
    assert found.scorecard is None
    assert found.failure == failure


def test_runs_whose_times_are_missing_say_why(scored) -> None:
    run = scored(timed=(NotTimed(failure="no luck"),))
    assert row(run).failure == "16/16 trials: no luck"


def test_what_a_row_says_of_a_run_without_a_scorecard(scored) -> None:
    run = scored()
    (run.folder / "scorecard.json").unlink()
    assert row(run).failure == "16/16 trials: not scored yet; `bench score` does it"
    keep_scorecard(run, Scorecard())
    assert row(run).failure == "16/16 trials: not scored yet; `bench score` does it"
    keep_scorecard(run, Scorecard(refused="trial 3 answers nan"))
    assert row(run).failure == "trial 3 answers nan"


def test_what_a_row_says_of_an_older_scorecard(scored, forger) -> None:
    run = scored()
    path = run.folder / "scorecard.json"
    forger.write(path, {"scorecard_version": 1})
    assert "scored by an earlier bench; `bench score` does it" in row(run).failure
    forger.write(path, {"scorecard_version": 2}, version=1)
    assert "scored by an earlier bench; `bench score` does it" in row(run).failure
    forger.write(path, {"scorecard_version": 99})
    with pytest.raises(BenchError, match="newer"):
        row(run)


def test_damaged_scorecards_are_told(scored) -> None:
    run = scored()
    (run.folder / "scorecard.json").write_text("{")
    with pytest.raises(DamagedFileError, match="`bench score` computes it again"):
        row(run)


def test_a_scorecard_of_another_run_is_told(scored) -> None:
    run, other = scored(), scored("other")
    (other.folder / "scorecard.json").write_bytes((run.folder / "scorecard.json").read_bytes())
    with pytest.raises(DamagedFileError, match="it belongs to another run"):
        row(other)


def test_over_budget_is_what_the_record_says(scored) -> None:
    assert "over budget" in retimed(scored("late"), 1.5, 1.4, 1.6).badges
    assert "over budget" not in row(scored("early")).badges
    run = scored("killed")
    trials = [each.trial for each in run.record.known_times]
    run.keep_timed([Killed(trial=trial, seconds=7.0, retraining=(5.0, 5.0), killed="after 7 s") for trial in trials])
    assert "over budget" in row(Run.read(run.folder)).badges


@pytest.mark.parametrize(("seconds", "borderline"), [(0.89, False), (0.91, True), (1.09, True), (1.11, False)])
def test_what_is_within_a_tenth_of_the_budget_is_at_its_border(scored, seconds: float, borderline: bool) -> None:
    assert ("borderline" in retimed(scored(), *[seconds] * 3).badges) == borderline


@pytest.mark.parametrize(("busy", "told"), [(0.4, False), (0.6, True)])
def test_a_busy_machine_is_told(scored, busy: float, told: bool) -> None:
    assert ("timed on a busy machine" in retimed(scored(), *[0.5] * 3, busy=busy).badges) == told


def test_badges_say_what_a_run_is_worth(drawn, scored) -> None:
    run = scored()
    assert row(run).badges == ["screening", "deterministic"]
    twice = drawn.shifted(0.0).select([*range(16), *range(16)])
    assert row(scored("many", twice)).badges == ["deterministic"]
    method = replace(run.record.method, uses_clock=True, control=True, reference_models=(None,) * 16)
    record = replace(run.record, method=method, backed_off=True, chunks=(), timed=())
    found = row(Run(run.folder, record))
    assert found.control
    assert found.badges == ["screening", "control", "uses clock", "smaller stacks", "deterministic"]


@pytest.mark.parametrize("flags", [{}, {"deterministic": "all trials gave the same model"}])
def test_badges_say_what_a_method_says_of_itself(scored, flags: dict[str, str]) -> None:
    """What is seen and said stands there once."""
    run = scored()
    card = Scorecard(sections={"flags": Section(version=1, flags=flags)})
    assert Row(run.folder, run.record, card, "").badges == ["screening", *flags]
    said = replace(run.record.method, deterministic=True, reconstruction="the rate could not be read")
    assert Row(run.folder, replace(run.record, method=said), card, "").badges == ["screening", "reconstruction", "deterministic"]


@pytest.mark.parametrize(
    ("name", "spec", "label"),
    [
        ("scrub", "scrub", "scrub"),
        ("scrub", "scrub[lr=0.1]", "scrub[lr=0.1]"),
        ("mine", "/home/me/mine.py[lr=0.1]", "mine[lr=0.1]"),
        ("a\u202eb", "a\u202eb", "ab"),
    ],
)
def test_labels_name_methods_and_their_options(scored, name: str, spec: str, label: str) -> None:
    found = row(scored())
    method = replace(found.record.method, name=name, spec=spec)
    assert Row(found.folder, replace(found.record, method=method), found.scorecard, "").label == label


def test_runs_that_cannot_be_read_cost_themselves_only(drawn, scored, forger) -> None:
    good, damaged, older, card = (scored(name) for name in ("good", "damaged", "older", "card"))
    (damaged.folder / "run.json").write_text("{")
    forger.write(older.folder / "run.json", {}, version=1)
    (card.folder / "scorecard.json").write_text("{")
    found, problems = rows(drawn.store)
    assert [each.folder for each in found] == [good.folder]
    told = " ".join(map(str, problems))
    assert len(problems) == 3
    assert all(run.folder.name in told for run in (damaged, older, card))
    assert "was written by an earlier bench" in told
