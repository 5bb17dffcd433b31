"""The challenge's score at full size: 512 models a side, 50 forget examples."""

import resource

import numpy as np

from bench.metrics.forgetting import forgetting_score


def test_forgetting_score_512_models_50_examples(benchmark) -> None:
    rng = np.random.default_rng(0)
    unlearned, retrained = rng.normal(size=(512, 50)), rng.normal(size=(512, 50))
    score = benchmark(forgetting_score, unlearned, retrained)
    assert 0 < score < 1
    benchmark.extra_info["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
