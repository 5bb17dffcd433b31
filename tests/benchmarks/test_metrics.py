"""Scores at full size: 512 models a side, 50 forget examples; and every metric of a run at 512 x 500 and at 16 x 120."""

import resource
import sys
import tracemalloc

import numpy as np
import pytest

from bench.metrics.forgetting import forgetting_score
from bench.metrics.installed import installed_metrics
from bench.metrics.metric import Evidence, Timing
from bench.scoring.calibration import Population
from bench.scoring.constructions import shifted


def test_forgetting_score_512_models_50_examples(benchmark) -> None:
    rng = np.random.default_rng(0)
    unlearned, retrained = rng.normal(size=(512, 50)), rng.normal(size=(512, 50))
    score = benchmark(forgetting_score, unlearned, retrained)
    assert 0 < score < 1
    tracemalloc.start()
    forgetting_score(unlearned, retrained)
    benchmark.extra_info["peak_mb"] = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()


@pytest.mark.parametrize(("models", "examples"), [(16, 120), (512, 500)])
def test_all_metrics_of_a_run(benchmark, models: int, examples: int) -> None:
    """The reference's own values are cached in practice and not counted. Peak memory is that of the process so far."""
    population = Population.draw(examples, seed=0)
    retrained, original, timing = population.retrained(models), population.original(), Timing([1.0], [(5.0, 5.0)], 0.2, 5.0)
    metrics = installed_metrics()[0]

    def score() -> int:
        evidence = Evidence(population.case(shifted(1.0), retrained), retrained, timing, original=original)
        return sum(len(item.metric.score(evidence).estimates) for item in metrics)

    assert benchmark.pedantic(score, rounds=3, warmup_rounds=1 if models < 100 else 0) > 40
    unit = 1 if sys.platform == "darwin" else 1024
    benchmark.extra_info["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


@pytest.mark.parametrize("name", [item.name for item in installed_metrics()[0]])
def test_baseline_of_a_metric(benchmark, name: str) -> None:
    """What is computed once per reference, at 512 models and 500 examples."""
    population = Population.draw(500, seed=0)
    retrained, original = population.retrained(512), population.original()
    (metric,) = [item.metric for item in installed_metrics()[0] if item.name == name]
    benchmark.pedantic(metric.baseline, (retrained, original), rounds=1)
