"""Scorecards of stored runs: what is computed, kept, refused and blamed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.errors import BenchError
from bench.metrics.metric import Estimate, Evidence, Findings, Metric, Models, Quantity
from bench.outputs import Outputs
from bench.results import row
from bench.scoring import Named, Scorer, installed_metrics
from bench.store import DamagedFileError, read_record, write_record


class Fixed(Metric):
    """Answers what it is told to."""

    quantities = (Quantity("seven", "points", "higher", 0, 10, "always"),)
    source = pitfalls = "none"

    def __init__(self, **estimates: Estimate) -> None:
        self.estimates, self.calls = estimates, 0

    def score(self, evidence: Evidence) -> Findings:
        self.calls += 1
        return Findings(self.estimates)


def fixed(**estimates: Estimate) -> Named:
    return Named("fixed", Fixed(**estimates))


def _with_logits(models: Models, split: str, index: tuple[int, int, int], value: float) -> Models:
    logits = {name: array.copy() for name, array in models.outputs.logits.items()}
    logits[split][index] = value
    return replace(models, outputs=Outputs(logits, models.outputs.retain_accuracy))


LOSS_ATTACKS = ("starting_kit_accuracy", "unseen_accuracy")  # on one model and 30 examples a held-out tenth is 6 guesses


def test_every_installed_metric_scores_a_run(shared_drawn) -> None:
    run = shared_drawn.add("shifted", shared_drawn.shifted(1.0))
    scorer = Scorer.of(shared_drawn.store, run)
    metrics, problems = installed_metrics()
    assert not problems
    assert len(metrics) == 15
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
        assert measure.self_test in ((True, False) if name in LOSS_ATTACKS else (True,)), name
    assert row(run).scorecard == card
    assert json.loads((run.folder / "scorecard.json").read_text())["scorecard_version"] == 2


COUNTER = '''"""How many forget examples there are."""
from bench import hookimpl
from bench.metrics.metric import Estimate, Findings, Metric, Quantity

class Counter(Metric):
    """Counts."""
    quantities = (Quantity("{quantity}", "examples", "higher", 0, float("inf"), "forget examples"),)
    source = pitfalls = "none"

    def score(self, evidence):
        return Findings({{"{quantity}": Estimate(float(evidence.unlearned.confidence.shape[1]))}})

@hookimpl
def register_metrics(register):
    register(Counter)
'''


def test_a_third_party_metric_is_a_metric(install, drawn) -> None:
    install("third-counter", "counter", "third_counter", COUNTER.format(quantity="counted"), "bench.metrics")
    run = drawn.add("run", drawn.shifted(0.0))
    metrics = [item for item in installed_metrics()[0] if item.name == "counter"]
    Scorer.of(drawn.store, run).score(run, metrics)
    assert row(run).value("counted") == 30


def test_the_documented_metric_is_a_metric(install, drawn) -> None:
    page = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
    (source,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "register_metrics" in block]
    install("third-margin", "mean-margin", "third_margin", source, "bench.metrics")
    run = drawn.add("run", drawn.shifted(1.0))
    metrics = [item for item in installed_metrics()[0] if item.name == "mean-margin"]
    card = Scorer.of(drawn.store, run).score(run, metrics)
    assert card.measures["mean_margin"].gap == pytest.approx(1.0, abs=0.2)


def test_broken_and_clashing_metrics_cost_themselves_only(install) -> None:
    install("third-broken", "broken", "third_broken", '"""Breaks."""\nraise RuntimeError("at import")\n', "bench.metrics")
    install("third-clash", "clash", "third_clash", COUNTER.format(quantity="ulira_auc"), "bench.metrics")
    install("third-same", "klom", "third_same", COUNTER.format(quantity="x"), "bench.metrics")
    found, problems = installed_metrics()
    assert {"ulira", "clash"} & {item.name for item in found} == {"ulira"}
    assert "klom" not in {item.name for item in found}
    text = " ".join(map(str, problems))
    assert "broken (third-broken) fails to import" in text
    assert "metric clash is left out: it declares ulira_auc, which ulira answers" in text
    assert "two packages claim the metric 'klom'" in text


def test_quick_metrics_come_first() -> None:
    quick = [item.metric.quick for item in installed_metrics()[0]]
    assert quick == sorted(quick, reverse=True)
    assert any(quick)
    assert not all(quick)


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


def test_intervals_end_where_values_do(drawn) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    card = Scorer.of(drawn.store, run).score(run, [fixed(seven=Estimate(9.9, 5.0))])
    assert card.measures["seven"].interval == (pytest.approx(0.1, abs=0.01), 10.0)


@pytest.mark.parametrize(
    ("estimates", "reason"),
    [({"eight": Estimate(1.0)}, "eight is not among"), ({"seven": Estimate(float("nan"))}, "seven is nan")],
)
def test_a_wrong_answer_costs_its_metric_only(drawn, estimates, reason) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    good = Named("good", Fixed(seven=Estimate(1.0)))
    card = Scorer.of(drawn.store, run).score(run, [fixed(**estimates), good])
    assert reason in card.problems["fixed"]
    assert card.measures["seven"].value == 1.0


def test_a_metric_that_raises_costs_its_numbers_only(drawn) -> None:
    class Raises(Fixed):
        """Raises."""

        def score(self, evidence: Evidence) -> Findings:
            raise ZeroDivisionError("by zero")

    run = drawn.add("run", drawn.shifted(0.0))
    card = Scorer.of(drawn.store, run).score(run, [Named("raises", Raises())])
    assert card.problems == {"raises": "ZeroDivisionError: by zero"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_not_finite_name_trial_and_example(drawn, value) -> None:
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
    "content", ['{"schema_version": 1, "scorecard_version": 1, "measures": {}}', "{", '{"schema_version": 1}']
)
def test_older_and_damaged_scorecards_are_computed_again(drawn, content: str) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    (run.folder / "scorecard.json").write_text(content)
    Scorer.of(drawn.store, run).score(run, [fixed(seven=Estimate(1.0))])
    assert row(run).value("seven") == 1.0


def test_what_a_row_says_of_an_older_scorecard(drawn) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    write_record(run.folder / "scorecard.json", {"scorecard_version": 1})
    assert "not scored yet; `bench score` does it" in row(run).failure
    write_record(run.folder / "scorecard.json", {"scorecard_version": 99})
    with pytest.raises(BenchError, match="newer"):
        row(run)


def test_baselines_are_kept_with_the_reference(drawn) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    metrics = [item for item in installed_metrics()[0] if item.name in ("klom", "utility")]
    scorer = Scorer.of(drawn.store, run)
    scorer.prepare(metrics)
    again = Scorer.of(drawn.store, run)
    assert all(again.prepared(item) for item in metrics)
    cached, fresh = again._baseline(metrics[0]), metrics[0].metric.baseline(scorer.retrained, scorer.original)
    assert cached == fresh


def test_incomplete_runs_are_refused(drawn) -> None:
    run = drawn.add("run", drawn.shifted(0.0), solo=[])
    with pytest.raises(BenchError, match="is not complete"):
        Scorer.of(drawn.store, run).score(run, [])


@pytest.mark.parametrize(
    "harm",
    [
        lambda card: card.update(scorecard_version="2"),
        lambda card: card["sections"]["fixed"]["measures"]["seven"].update(value="7"),
        lambda card: card["sections"]["fixed"]["measures"]["seven"].update(value=None),
        lambda card: card["sections"]["fixed"]["measures"]["seven"].update(value=10**400),
        lambda card: card["sections"]["fixed"]["measures"]["seven"].update(interval=[1.0]),
        lambda card: card["sections"]["fixed"]["measures"]["seven"].update(retrained="x"),
        lambda card: card["sections"]["fixed"]["measures"]["seven"].update(better="sideways"),
        lambda card: card["sections"]["fixed"].update(flags=["a"]),
        lambda card: card["sections"]["fixed"].update(details=None),
        lambda card: card["sections"]["fixed"].update(details={"a": ["b"]}),
        lambda card: card.update(sections=[]),
        lambda card: card.pop("refused"),
    ],
)
def test_hostile_scorecards_are_damaged_files(drawn, harm) -> None:
    run, item = drawn.add("run", drawn.shifted(0.0)), fixed(seven=Estimate(7.0))
    path, scorer = run.folder / "scorecard.json", Scorer.of(drawn.store, run)
    scorer.score(run, [item])
    card = read_record(path)
    harm(card)
    write_record(path, card)
    with pytest.raises(DamagedFileError, match="`bench score` computes it again"):
        row(run)
    scorer.score(run, scorer.missing(run, [item]))
    assert row(run).value("seven") == 7.0


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"schema_version": 1, "scorecard_version": 2, "sections": {}, "refused": NaN}']
)
def test_scorecards_that_are_no_json(drawn, content: str) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    (run.folder / "scorecard.json").write_text(content)
    with pytest.raises(DamagedFileError):
        row(run)


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
    assert not Scorer.of(drawn.store, run).score(run, [Named("vandal", Vandal())]).problems


@pytest.mark.parametrize("flag", ["over budget", "control", "screening"])
def test_badges_of_the_record_are_not_a_metrics_to_raise(drawn, flag: str) -> None:
    class Forger(Fixed):
        """Raises a flag."""

        def score(self, evidence: Evidence) -> Findings:
            return Findings(flags={flag: "seen"})

    run = drawn.add("run", drawn.shifted(0.0))
    card = Scorer.of(drawn.store, run).score(run, [Named("forger", Forger())])
    assert f"the flag '{flag}' is not a metric's" in card.problems["forger"]


def test_over_budget_is_what_the_record_says(drawn) -> None:
    late = drawn.add("late", drawn.shifted(0.0), solo=[{"trial": 16 + n, "seconds": 1.5} for n in range(3)])
    Scorer.of(drawn.store, late).score(late, [fixed(seven=Estimate(1.0))])
    assert "over budget" in row(late).badges
    assert "over budget" not in row(drawn.add("early", drawn.shifted(0.0))).badges


def test_flags_are_printable(drawn) -> None:
    class Noisy(Fixed):
        """Colours the terminal."""

        def score(self, evidence: Evidence) -> Findings:
            return Findings(flags={"a\x1b[31m": "b\n\x07c"})

    run = drawn.add("run", drawn.shifted(0.0))
    assert Scorer.of(drawn.store, run).score(run, [Named("noisy", Noisy())]).flags == {"a[31m": "b c"}


def test_a_strangers_flags_are_printable(drawn) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    Scorer.of(drawn.store, run).score(run, [fixed(seven=Estimate(7.0))])
    card = read_record(run.folder / "scorecard.json")
    card["sections"]["fixed"]["flags"] = {"a\x1b[31m": "b\n\x07c"}
    write_record(run.folder / "scorecard.json", card)
    assert row(run).scorecard.flags == {"a[31m": "b c"}


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


def test_damaged_baselines_are_computed_again(drawn) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    (item,) = [item for item in installed_metrics()[0] if item.name == "klom"]
    good = Scorer.of(drawn.store, run).score(run, [item])
    path = drawn.references.folder / "reference.json"
    record = read_record(path)
    (kept,) = record["baselines"].values()
    kept["klom"]["retrained"]["klom_median"]["value"] = "x"
    write_record(path, record)
    assert Scorer.of(drawn.store, run).score(run, [item]) == good


def test_again_computes_baselines_too(drawn) -> None:
    run = drawn.add("run", drawn.shifted(0.0))
    (item,) = [item for item in installed_metrics()[0] if item.name == "klom"]
    good = Scorer.of(drawn.store, run).score(run, [item])
    path = drawn.references.folder / "reference.json"
    changed = path.read_text().replace(str(good.measures["klom_median"].retrained), "99.0")
    write_record(path, {name: value for name, value in json.loads(changed).items() if name != "sha256"})
    stale, fresh = Scorer.of(drawn.store, run), Scorer.of(drawn.store, run)
    assert stale.score(run, [item]).measures["klom_median"].retrained == 99.0
    fresh.forget_baselines([item])
    assert fresh.score(run, [item]) == good
