"""Scorecards of stored runs: what is computed, kept, refused and blamed."""

from __future__ import annotations

import dataclasses
from importlib.metadata import entry_points

import numpy as np
import pytest

from bench.errors import BenchError
from bench.metrics.forgetting import forgetting_score
from bench.metrics.installed import InstalledMetric, installed_metrics
from bench.metrics.metric import Baseline, Estimate, Evidence, Findings, Metric, Models, Quantity
from bench.outputs import Outputs
from bench.scoring.ceilings import ceiling
from bench.scoring.rows import row
from bench.scoring.scorecard import Scorecard
from bench.scoring.scorer import Scorer, check_models
from bench.store.files import DamagedFileError, read_record
from bench.store.references import Reference


class Fixed(Metric):
    """Answers what it is told to."""

    quantities = (Quantity("seven", "points", "higher", 0, 10, "always"),)
    source = pitfalls = "none"

    def __init__(self, **estimates: Estimate) -> None:
        self.estimates, self.calls = estimates, 0

    def score(self, evidence: Evidence) -> Findings:
        self.calls += 1
        return Findings(self.estimates)


def fixed(**estimates: Estimate) -> InstalledMetric:
    return InstalledMetric("fixed", Fixed(**estimates))


def _with_logits(models: Models, split: str, index: tuple[int, int, int], value: float) -> Models:
    logits = {name: array.copy() for name, array in models.outputs.logits.items()}
    logits[split][index] = value
    return dataclasses.replace(models, outputs=Outputs(logits, models.outputs.retain_accuracy))


# On one model and 30 examples a held-out tenth is 6 guesses; bins of margins hold none of 8 retrained models.
MAY_BE_BLIND = ("starting_kit_accuracy", "unseen_accuracy", "klom_median")


def test_every_installed_metric_scores_a_run(shared_drawn) -> None:
    run = shared_drawn.add("shifted", shared_drawn.shifted(1.0))
    scorer = Scorer.of(shared_drawn.store, run)
    metrics, problems = installed_metrics()
    assert not problems
    assert {item.name for item in metrics} == {entry.name for entry in entry_points(group="bench.metrics")}
    card = scorer.score(run, metrics)
    assert not card.problems
    assert scorer.missing(run, metrics) == []
    declared = {quantity.name for item in metrics for quantity in item.metric.quantities}
    seen = {name.partition(".")[0] for name in card.measures}
    assert declared - seen == {"peak_memory", "rmia_tpr_01", "ulira_tpr_01"}  # not recorded, too few negatives
    for name in ("ulira_auc", "rmia_auc", "starting_kit_accuracy", "unseen_accuracy", "confidence_members", "klom_median"):
        measure = card.measures[name]
        assert measure.retrained is not None
        assert measure.gap == pytest.approx(measure.value - measure.retrained)
        assert measure.gap_interval[0] < measure.gap < measure.gap_interval[1]
        assert measure.self_test in ((True, False) if name in MAY_BE_BLIND else (True,)), name
    assert row(run).scorecard == card
    assert read_record(run.folder / "scorecard.json", Scorecard) == card


def test_only_what_is_missing_is_computed(drawn) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    scorer, item = Scorer.of(drawn.store, run), fixed(seven=Estimate(7.0, 0.5))
    scorer.score(run, scorer.missing(run, [item]))
    scorer.score(run, scorer.missing(run, [item]))
    assert item.metric.calls == 1
    item.metric.version = 2  # type: ignore[misc]
    scorer.score(run, scorer.missing(run, [item]))
    assert item.metric.calls == 2
    measure = row(run).measure("seven")
    assert (measure.value, measure.unit, measure.better) == (7.0, "points", "higher")
    assert measure.interval == pytest.approx((7 - 1.959964 * 0.5, 7 + 1.959964 * 0.5))


@pytest.mark.parametrize(
    ("estimates", "reason"),
    [({"eight": Estimate(1.0)}, "eight is not among"), ({"seven": Estimate(float("nan"))}, "seven is nan")],
)
def test_a_wrong_answer_costs_its_metric_only(drawn, estimates: dict[str, Estimate], reason: str) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    good = InstalledMetric("good", Fixed(seven=Estimate(1.0)))
    card = Scorer.of(drawn.store, run).score(run, [fixed(**estimates), good])
    assert reason in card.problems["fixed"]
    assert card.measures["seven"].value == 1.0


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (SystemExit(3), "SystemExit: 3"),
        (ValueError("a\x1b[31m\nb"), "ValueError: a[31m b"),
        (ValueError("x" * 10**6), f"ValueError: {'x' * 288}..."),
    ],
    ids=range(4),
)
def test_a_metric_that_raises_costs_its_numbers_only(drawn, raised: BaseException, told: str) -> None:
    class Raises(Fixed):
        """Raises."""

        def score(self, evidence: Evidence) -> Findings:
            raise raised

    run = drawn.add("run", drawn.shifted(0.0))
    card = Scorer.of(drawn.store, run).score(run, [InstalledMetric("raises", Raises()), fixed(seven=Estimate(1.0))])
    assert card.problems == {"raises": told}
    assert row(run).value("seven") == 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_not_finite_name_trial_and_example(drawn, value: float) -> None:
    run = drawn.add("run", _with_logits(drawn.shifted(0.0), "forget", (3, 17, 2), value))
    Scorer.of(drawn.store, run).score(run, installed_metrics()[0])
    found = row(run)
    assert found.scorecard is None
    assert found.failure == f"trial 3 answers {value} for example 17 of forget"


def test_fewer_than_eight_models_are_refused(drawn) -> None:
    run = drawn.add("few", drawn.shifted(0.0).select(range(7)))
    with pytest.raises(BenchError, match="7 models are too few"):
        Scorer.of(drawn.store, run)


def test_a_reference_with_fewer_models_is_refused(drawn) -> None:
    twice = drawn.shifted(0.0).select([*range(16), *range(16)])
    run = drawn.add("many", twice)
    with pytest.raises(BenchError, match="has 16 retrained models, the run needs 32"):
        Scorer.of(drawn.store, run)


def test_another_reference_is_refused(drawn) -> None:
    run = drawn.add("run", drawn.shifted(0.0), reference_id="0" * 16)
    with pytest.raises(BenchError, match="compared with reference 0000"):
        Scorer.of(drawn.store, run)


@pytest.mark.parametrize(
    "content",
    ["{", '{"schema_version": 1}', '{"schema_version": 1, "scorecard_version": 1, "measures": {}}', '{"schema_version": 2}'],
)
def test_older_and_damaged_scorecards_are_computed_again(drawn, content: str) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    (run.folder / "scorecard.json").write_text(content)
    Scorer.of(drawn.store, run).score(run, [fixed(seven=Estimate(1.0))])
    assert row(run).value("seven") == 1.0


@pytest.mark.parametrize(("version", "fields"), [(2, {"scorecard_version": 1, "sections": []}), (1, {"scorecard_version": 1})])
def test_scorecards_of_an_older_form_are_computed_again(drawn, forger, version: int, fields: dict) -> None:
    run, item = drawn.add("run", drawn.shifted(0.0)), fixed(seven=Estimate(1.0))
    forger.write(run.folder / "scorecard.json", fields, version)
    scorer = Scorer.of(drawn.store, run)
    assert scorer.missing(run, [item]) == [item]
    scorer.score(run, [item])
    assert row(run).value("seven") == 1.0


@pytest.mark.parametrize(("version", "fields"), [(2, {"scorecard_version": 99, "sections": []}), (99, {})])
def test_scorecards_of_a_newer_form_stay_as_they_are(drawn, forger, version: int, fields: dict) -> None:
    run, item = drawn.add("run", drawn.shifted(0.0)), fixed(seven=Estimate(1.0))
    forger.write(run.folder / "scorecard.json", fields, version)
    before, scorer = (run.folder / "scorecard.json").read_bytes(), Scorer.of(drawn.store, run)
    for look in (lambda: scorer.missing(run, [item]), lambda: scorer.score(run, [item])):
        with pytest.raises(BenchError, match="was written by a newer bench"):
            look()
    assert (run.folder / "scorecard.json").read_bytes() == before
    assert item.metric.calls == 0


def test_a_scorecard_of_another_run_is_computed_again(drawn) -> None:
    run, other = drawn.add("run", drawn.shifted(0.0)), drawn.add("other", drawn.shifted(0.0))
    Scorer.of(drawn.store, run).score(run, [fixed(seven=Estimate(1.0))])
    (other.folder / "scorecard.json").write_bytes((run.folder / "scorecard.json").read_bytes())
    Scorer.of(drawn.store, other).score(other, [fixed(seven=Estimate(2.0))])
    assert row(other).value("seven") == 2.0


def test_what_was_refused_once_is_not_refused_for_ever(drawn) -> None:
    run = drawn.add("run", _with_logits(drawn.shifted(0.0), "forget", (3, 17, 2), np.nan))
    Scorer.of(drawn.store, run).score(run, [fixed(seven=Estimate(1.0))])
    assert row(run).failure.startswith("trial 3 answers nan")
    again = drawn.add("run", drawn.shifted(0.0))
    card = Scorer.of(drawn.store, again).score(again, [fixed(seven=Estimate(1.0))])
    assert card.refused == ""
    assert row(again).scorecard == card


def test_baselines_are_kept_with_the_reference(drawn) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    metrics = [item for item in installed_metrics()[0] if item.name in ("klom", "utility")]
    scorer = Scorer.of(drawn.store, run)
    scorer.prepare(metrics)
    again = Scorer.of(drawn.store, run)
    assert all(again.prepared(item) for item in metrics)
    cached, fresh = again._baseline(metrics[0]).baseline, metrics[0].metric.baseline(scorer.retrained, scorer.original)
    assert cached == fresh


def test_further_retrained_models_tell_the_ceiling(drawn) -> None:
    """As soon as there are any; before, halves of those that everybody is compared with do."""
    challenge = [item for item in installed_metrics()[0] if item.name == "challenge"]
    run = drawn.add("run", drawn.shifted(0.0))
    before = Scorer.of(drawn.store, run)
    card = before.score(run, challenge)
    assert ceiling([row(run)]).provisional
    assert before.prepared(challenge[0])
    further = [drawn.train_further(16), drawn.train_further(16)]
    after = Scorer.of(drawn.store, run)
    assert not after.prepared(challenge[0])
    assert after.missing(run, challenge) == challenge
    scores = [forgetting_score(each.confidence, drawn.retrained.confidence) for each in further]
    found = after.score(run, challenge)
    assert found.measures["forgetting_score"].value == card.measures["forgetting_score"].value
    assert found.measures["forgetting_score"].retrained == pytest.approx(np.mean(scores))
    top = ceiling([row(run)])
    assert (top.value, top.sets) == (pytest.approx(np.mean(scores)), 2)


def test_incomplete_runs_are_refused(drawn) -> None:
    run = drawn.add("run", drawn.shifted(0.0), timed=())
    with pytest.raises(BenchError, match="is not complete"):
        Scorer.of(drawn.store, run).score(run, [])


def test_a_metric_cannot_change_what_others_see(drawn) -> None:
    class Vandal(Fixed):
        """Writes into what it is handed."""

        def score(self, evidence: Evidence) -> Findings:
            for array in (
                evidence.retrained.confidence,
                evidence.unlearned.outputs.logits["test"],
                evidence.unlearned.labels["test"],
            ):
                try:
                    array[:] = 0
                except ValueError:
                    continue
                raise AssertionError("it could be written")
            return Findings()

    run = drawn.add("run", drawn.shifted(0.0))
    assert not Scorer.of(drawn.store, run).score(run, [InstalledMetric("vandal", Vandal())]).problems


def test_what_failed_is_tried_again(drawn) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    scorer, item = Scorer.of(drawn.store, run), fixed(eight=Estimate(1.0))
    assert scorer.score(run, [item]).problems
    item.metric.estimates = {"seven": Estimate(1.0)}
    assert [missing.name for missing in scorer.missing(run, [item])] == ["fixed"]
    assert not scorer.score(run, [item]).problems


def test_strict_raises_what_a_metric_raises(drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    monkeypatch.setenv("BENCH_STRICT", "1")
    with pytest.raises(ValueError, match="eight"):
        Scorer.of(drawn.store, run).score(run, [fixed(eight=Estimate(1.0))])


def test_a_damaged_baseline_damages_its_record_which_has_a_copy(drawn, forger) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    (item,) = [item for item in installed_metrics()[0] if item.name == "klom"]
    good = Scorer.of(drawn.store, run).score(run, [item])
    path = drawn.reference.folder / "reference.json"
    record = forger.read(path)
    (kept,) = record["baselines"].values()
    kept["klom"]["baseline"]["retrained"]["klom_median"]["value"] = "x"
    forger.write(path, record)
    with pytest.raises(DamagedFileError, match=r"Expected `float`, got `str` - at `\$\.baselines"):
        Scorer.of(drawn.store, run)
    notes: list[str] = []
    Reference.opened(drawn.reference.folder, notes.append)
    assert notes == [f"damaged file {path}: set aside, its copy is used"]
    scorer = Scorer.of(drawn.store, run)
    assert scorer.prepared(item)
    assert scorer.score(run, [item]) == good


def test_again_computes_baselines_too(drawn, forger) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    (item,) = [item for item in installed_metrics()[0] if item.name == "klom"]
    good = Scorer.of(drawn.store, run).score(run, [item])
    path = drawn.reference.folder / "reference.json"
    record = forger.read(path)
    (kept,) = record["baselines"].values()
    kept["klom"]["baseline"]["retrained"]["klom_median"]["value"] = 99.0
    forger.write(path, record)
    stale, fresh = Scorer.of(drawn.store, run), Scorer.of(drawn.store, run)
    assert stale.score(run, [item]).measures["klom_median"].retrained == 99.0
    fresh.forget_baselines([item])
    assert fresh.score(run, [item]) == good


def test_baselines_of_another_version_are_computed_again(drawn) -> None:
    run, item = drawn.add("run", drawn.shifted(0.0)), fixed(seven=Estimate(7.0))
    scorer = Scorer.of(drawn.store, run)
    assert not scorer.prepared(item)
    scorer.prepare([item])
    assert scorer.prepared(item)
    item.metric.version = 2  # type: ignore[misc]
    assert not scorer.prepared(item)


class Unbounded(Fixed):
    """Its retrained models get infinity."""

    def baseline(self, retrained: Models, original: Models) -> Baseline:
        return Baseline(retrained={"seven": Estimate(float("inf"))})


def test_a_baseline_that_is_not_finite_costs_its_metric_only(drawn) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    scorer, bad = Scorer.of(drawn.store, run), InstalledMetric("unbounded", Unbounded(seven=Estimate(1.0)))
    for _ in range(2):
        card = scorer.score(run, [bad, fixed(seven=Estimate(2.0))])
        assert "inf is not a finite number" in card.problems["unbounded"]
        assert card.measures["seven"].value == 2.0
    assert not scorer.prepared(bad)
    assert not Scorer.of(drawn.store, run).prepared(bad)


class Odd(Fixed):
    """A metric whose baseline is something else."""

    def baseline(self, retrained: Models, original: Models) -> dict:  # type: ignore[override]
        """Wrong."""
        return {"score": 1}


def test_a_baseline_of_another_kind_costs_its_metric_only_however_often_it_is_asked(drawn) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    for _ in range(2):
        item = InstalledMetric("odd", Odd(seven=Estimate(7.0)))
        card = Scorer.of(drawn.store, run).score(run, [item])
        assert card.problems["odd"] == "TypeError: baseline must answer a Baseline, not dict"


def test_more_models_than_a_record_holds_are_refused() -> None:
    with pytest.raises(BenchError, match="200000 models are too many; use --models 100000 or fewer"):
        check_models(200_000)


class Asking(Metric):
    """Wants answers on a split, and says how many examples of it everybody has."""

    quantities = (Quantity("seven", "points", "higher", 0, 1000, "examples"),)
    source = pitfalls = "none"

    def __init__(self, split: str) -> None:
        self.split = split

    def baseline(self, retrained: Models, original: Models) -> Baseline:
        return Baseline({"seven": Estimate(float(retrained.outputs.logits[self.split].shape[1]))})

    def score(self, evidence: Evidence) -> Findings:
        return Findings({"seven": Estimate(float(evidence.unlearned.confidence_on(self.split).shape[1]))})


def test_what_models_from_elsewhere_do_not_answer_costs_what_asks_for_it(drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retrained models are asked for no more than they are; what is known of these without it stays as it is."""
    monkeypatch.setenv("BENCH_STRICT", "1")  # nothing has gone wrong
    models = drawn.shifted(1.0)
    few = Outputs({name: models.outputs.logits[name] for name in ("forget", "test")}, None)
    whole = drawn.add("whole", models)
    run = drawn.add("few", dataclasses.replace(models, outputs=few), self_reported=True, timed=(), secret="")
    scorer = Scorer.of(drawn.store, run)
    metrics = [InstalledMetric(split, Asking(split)) for split in ("unseen", "test")]
    assert scorer.score(whole, metrics).measures["seven"].retrained == 200
    card = scorer.score(run, metrics)
    assert card.notes == {"unseen": ["needs answers on unseen, which these models came without"]}
    assert (card.measures["seven"].value, card.measures["seven"].retrained) == (200, 200)
    assert scorer.missing(run, metrics) == []
    assert dict(scorer.recomputed(run, metrics))["unseen"].notes == card.notes["unseen"]
    assert dict(scorer.recomputed(whole, metrics))["unseen"].measures["seven"].value == 200
    with pytest.raises(DamagedFileError, match="it lacks forget_people"):
        drawn.add("no-excuse", dataclasses.replace(models, outputs=few), timed=()).outputs(drawn.reference)


def test_every_metric_does_with_what_models_from_elsewhere_answer(drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_STRICT", "1")
    models = drawn.shifted(1.0)
    metrics, _ = installed_metrics()
    for absent in (["retain_sample"], ["unseen", "forget_people"], ["validation", "retain_sample", "unseen"]):
        answers = dataclasses.replace(models, outputs=Outputs(models.outputs.without(absent).logits, None))
        run = drawn.add("-".join(absent), answers, self_reported=True, timed=(), secret="")
        card = Scorer.of(drawn.store, run).score(run, metrics)
        assert not card.problems
        assert {"memory_left", "forgetting_score", "rmia_auc", "test_accuracy"} <= set(card.measures), absent
        assert not {"final_score", "retain_accuracy", "tow", "runtime"} & set(card.measures)
        told = [note for notes in card.notes.values() for note in notes]
        assert sum("needs answers on retain, which these models came without" in note for note in told) == 3
        assert {flag for flag in card.flags if flag == "utility-collapse"} == set()
