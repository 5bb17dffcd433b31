"""The challenge's score at full size: 512 models a side, 50 forget examples."""

import tracemalloc

import numpy as np

from bench.metrics.forgetting import forgetting_score


def test_forgetting_score_512_models_50_examples(benchmark) -> None:
    rng = np.random.default_rng(0)
    unlearned, retrained = rng.normal(size=(512, 50)), rng.normal(size=(512, 50))
    score = benchmark(forgetting_score, unlearned, retrained)
    assert 0 < score < 1
    tracemalloc.start()
    forgetting_score(unlearned, retrained)
    benchmark.extra_info["peak_mb"] = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
