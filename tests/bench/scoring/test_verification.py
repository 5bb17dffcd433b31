"""What a run claims is computed again from its outputs; whatever does not follow from them is found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from bench.errors import CheckResult
from bench.metrics.installed import InstalledMetric, installed_metrics
from bench.metrics.metric import Estimate, Evidence, Findings, Metric, Quantity
from bench.scoring.scorecard import Section, read_scorecard
from bench.scoring.scorer import Scorer
from bench.scoring.verification import verify
from bench.store.files import write_record
from bench.store.records import DeviceRecord, Pending
from bench.store.reference_records import ReferenceRecord
from bench.store.runs import Run

TASK = "f" * 64  # of drawn stores
Fields = dict[str, Any]
NAMES = ("challenge", "flags", "runtime", "utility")


class Stranger(Metric):
    """A metric that another package installed."""

    quantities = (Quantity("eleven", "points", "higher", 0, 11, "always"),)
    source = pitfalls = "none"

    def score(self, evidence: Evidence) -> Findings:
        return Findings({"eleven": Estimate(11.0)})


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> list[InstalledMetric]:
    """The quick ones, as if no others were installed."""
    found = [item for item in installed_metrics()[0] if item.name in NAMES]
    monkeypatch.setattr("bench.scoring.verification.installed_metrics", lambda: (found, []))
    return found


@pytest.fixture
def scored(drawn, metrics: list[InstalledMetric]) -> Run:
    """A run whose trials are all equal, which raises a flag."""
    equal = drawn.shifted(1.0).select([0] * 16)
    run = drawn.add("run", equal)
    Scorer.of(drawn.store, run).score(run, metrics)
    return run


@pytest.fixture
def forged(scored: Run, forger) -> Callable[[Callable[[Fields], object]], Run]:
    """Changes the sections of the scorecard, and signs it as if it were genuine."""

    def forge(change: Callable[[Fields], object]) -> Run:
        path = scored.folder / "scorecard.json"
        card = forger.read(path)
        change(card["sections"])
        forger.write(path, card)
        return scored

    return forge


def checked(drawn, run: Run) -> dict[str, CheckResult]:
    return {check.point: check for check in verify(drawn.store, run)}


def failed(drawn, run: Run) -> dict[str, str]:
    """Point -> what is wrong."""
    return {point: check.problem for point, check in checked(drawn, run).items() if not check.well}


def test_an_honest_run_is_well(drawn, scored: Run) -> None:
    points = checked(drawn, scored)
    assert all(check.well for check in points.values())
    assert list(points) == ["record", "budget", "outputs", "reference", *(f"metric {name}" for name in NAMES)]
    assert points["outputs"].seen == "16 trials, checksums and shapes fit"
    assert points["reference"].seen == f"{scored.record.reference_id}, 16 retrained models"


def test_who_verifies_may_have_further_retrained_models(drawn, scored: Run) -> None:
    """The ceiling is not the run's to say."""
    before = read_scorecard(scored)
    drawn.train_further(16)
    found: dict[str, Section] = {}
    assert all(check.well for check in verify(drawn.store, scored, found))
    ours, theirs = (sections["challenge"].measures["final_score"] for sections in (found, before.sections))
    assert ours.value == theirs.value
    assert ours.retrained != theirs.retrained


def test_what_was_computed_here_is_handed_out(drawn, forged) -> None:
    run = forged(lambda sections: sections["challenge"]["measures"]["final_score"].update(value=0.9))
    found: dict[str, Section] = {}
    assert not all(check.well for check in verify(drawn.store, run, found))
    assert found.keys() == set(NAMES)
    assert found["challenge"].measures["final_score"].value < 0.9
    assert found["utility"] == read_scorecard(run).sections["utility"]


@pytest.mark.parametrize(
    ("metric", "change", "told"),
    [
        ("challenge", lambda section: section["measures"]["final_score"].update(value=0.9), "final_score"),
        ("challenge", lambda section: section["measures"].pop("final_score"), "final_score"),
        ("utility", lambda section: section["measures"].update(other=section["measures"]["test_accuracy"]), "other"),
        ("utility", lambda section: section["measures"]["test_accuracy"].update(interval=[0.0, 0.1]), "test_accuracy"),
        ("utility", lambda section: section["measures"]["test_accuracy"].update(retrained=0.1), "test_accuracy"),
        ("utility", lambda section: section["measures"]["test_accuracy"].update(retrained=None), "test_accuracy"),
        ("utility", lambda section: section["measures"]["test_accuracy"].update(unit="shares"), "test_accuracy"),
        ("utility", lambda section: section["measures"]["test_accuracy"].update(original=0.0), "test_accuracy"),
        ("flags", lambda section: section["flags"].pop("deterministic"), "flags"),
        ("flags", lambda section: section["flags"].update(other="seen"), "flags"),
    ],
    ids=range(10),
)
def test_what_does_not_follow_from_the_outputs_is_found(
    drawn, forged, metric: str, change: Callable[[Fields], object], told: str
) -> None:
    run = forged(lambda sections: change(sections[metric]))
    assert failed(drawn, run) == {f"metric {metric}": f"{told} do not follow from the outputs"}


def test_rounding_is_no_forgery(drawn, forged) -> None:
    def rounded(sections: Fields) -> None:
        measure = sections["utility"]["measures"]["test_accuracy"]
        measure.update(value=measure["value"] * (1 + 1e-9), interval=[end * (1 - 1e-9) for end in measure["interval"]])

    assert failed(drawn, forged(rounded)) == {}


def test_a_better_score_by_a_thousandth_is_found(drawn, forged) -> None:
    run = forged(lambda sections: sections["utility"]["measures"]["test_accuracy"].update(value=1.001 * _accuracy(sections)))
    assert failed(drawn, run).keys() == {"metric utility"}


def _accuracy(sections: Fields) -> float:
    return sections["utility"]["measures"]["test_accuracy"]["value"]


def test_a_section_that_the_sender_had_too_is_missed(drawn, forged) -> None:
    run = forged(lambda sections: sections.pop("flags"))
    assert failed(drawn, run) == {"metric flags": "the scorecard lacks it"}


def test_a_metric_that_only_we_have_is_not_missed(drawn, scored: Run, metrics: list[InstalledMetric]) -> None:
    metrics.append(InstalledMetric("stranger", Stranger()))
    assert "metric stranger" not in checked(drawn, scored)


@pytest.mark.parametrize(
    "change", [lambda sections: sections.update(other=sections["flags"]), lambda sections: sections["flags"].update(version=99)]
)
def test_what_cannot_be_computed_here_is_not_believed(drawn, forged, change: Callable[[Fields], object]) -> None:
    ((point, problem),) = failed(drawn, forged(change)).items()
    assert point in ("metric other", "metric flags")
    assert problem == "not recomputed: this version of it is not installed"


def test_a_longer_allowance_is_found(drawn, metrics: list[InstalledMetric]) -> None:
    run = drawn.add("run", drawn.shifted(0.0), allowance_seconds=1e9)
    assert failed(drawn, run)["budget"] == "1000000000.0 s are allowed where it says 20%"


def test_damaged_outputs_end_it(drawn, scored: Run) -> None:
    (scored.folder / "outputs-0000.npz").write_bytes(b"PK")
    points = checked(drawn, scored)
    assert list(points) == ["record", "budget", "outputs"]
    assert "outputs-0000.npz (its checksum differs)" in points["outputs"].problem


def test_unfinished_runs_are_told(drawn, metrics: list[InstalledMetric]) -> None:
    assert failed(drawn, drawn.add("untimed", drawn.shifted(0.0), timed=())) == {"scorecard": "the run is not complete"}
    pending = (Pending(trials=tuple(range(16))),)
    assert failed(drawn, drawn.add("begun", drawn.shifted(0.0), chunks=pending)) == {"scorecard": "the run is not complete"}


def test_another_reference_is_told(drawn, metrics: list[InstalledMetric]) -> None:
    run = drawn.add("run", drawn.shifted(0.0), reference_id="0" * 16)
    assert "was compared with reference 0000000000000000" in failed(drawn, run)["reference"]


@pytest.mark.parametrize("kind", ["-cpu-", "(cpu)"])
def test_another_name_of_the_device_is_told(drawn, metrics: list[InstalledMetric], kind: str) -> None:
    """Even if it leads to the same folder, it would be a division of its own."""
    run = drawn.add("run", drawn.shifted(0.0), device=DeviceRecord(kind=kind))
    assert "reference" in failed(drawn, run)


def test_a_device_that_shares_the_folder_is_told(drawn, metrics: list[InstalledMetric]) -> None:
    folder = drawn.store.reference_folder(TASK, "NVIDIA A100")
    shutil.copytree(drawn.reference.folder, folder)
    record = replace(drawn.reference.record, device="NVIDIA A100")
    write_record(folder / ReferenceRecord.NAME, record)
    run = drawn.add("run", drawn.shifted(0.0), device=DeviceRecord(kind="nvidia-a100"))
    told = failed(drawn, run)["reference"]
    assert told == f"the run was computed on 'nvidia-a100', and the reference in {folder} on 'NVIDIA A100'"


def test_missing_and_older_scorecards_are_told(drawn, scored: Run, forger) -> None:
    path = scored.folder / "scorecard.json"
    for version in (1, 2):
        forger.write(path, {"scorecard_version": 1}, version)
        assert failed(drawn, scored) == {"scorecard": "there is none"}
    path.unlink()
    assert failed(drawn, scored) == {"scorecard": "there is none"}


def test_damaged_scorecards_are_told(drawn, forged) -> None:
    run = forged(lambda sections: sections["challenge"]["measures"]["final_score"].update(value="1"))
    assert "scorecard.json (Expected `float`, got `str`" in failed(drawn, run)["reference"]


def test_answers_that_are_not_finite_are_told_whatever_the_scorecard_says(drawn, scored: Run) -> None:
    models = drawn.shifted(0.0)
    logits = models.outputs.logits["forget"]
    logits[3, 17, 2] = np.nan
    run = drawn.add("run", models)
    assert "trial 3 answers nan for example 17 of forget" in failed(drawn, run)["reference"]
