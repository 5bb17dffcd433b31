"""Metrics that are installed: ours and strangers', in which order, and what is wrong with the others."""

from __future__ import annotations

import re
from importlib.metadata import distribution
from pathlib import Path

import pytest

from bench.metrics.installed import installed_metrics
from bench.scoring.rows import row
from bench.scoring.scorer import Scorer

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


def test_every_metric_that_the_package_declares_is_installed() -> None:
    found, problems = installed_metrics()
    declared = distribution("unlearning-bench").entry_points.select(group="bench.metrics")
    assert {entry.name for entry in declared} == {item.name for item in found}
    assert problems == []


def test_a_third_party_metric_is_a_metric(install, drawn) -> None:
    install("third-counter", "counter", "third_counter", COUNTER.format(quantity="counted"), "bench.metrics")
    run = drawn.add("run", drawn.shifted(0.0))
    metrics = [item for item in installed_metrics()[0] if item.name == "counter"]
    Scorer.of(drawn.store, run).score(run, metrics)
    assert row(run).value("counted") == 30


def test_the_documented_metric_is_a_metric(install, drawn) -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "plugins.md").read_text(encoding="utf-8")
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
