"""The challenge's ceiling: what retraining itself scores, by further retrained models or, before there are any, by halves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.metrics.approximation import approximate_score
from bench.metrics.forgetting import forgetting_score
from bench.metrics.resampling import FEW_MODELS, halves, ranked_models
from bench.outputs import Floats
from bench.seeds import numpy_generator

DETAILS = ("ceiling_scores", "ceiling_finals", "ceiling_deviation")  # of a scorecard: of every set, and of the first
HALVINGS = 2  # .5 s each at N = 16 on the embedded task
DRAWS = 10  # of normal models, whose scores tell how much of it is their number
RESAMPLES = 40  # of the models of a set


def of_sets(further: Sequence[Floats], retrained: Floats) -> list[float]:
    """Forgetting scores of sets of N further retrained models [N, E] in place of unlearned ones, against the N of all rows."""
    return [forgetting_score(each, retrained) for each in further]


def deviation(further: Floats, retrained: Floats) -> float:
    """By how much the score of one set moves: the standard deviation over 40 bootstraps of its models, with a finer search.

    On the embedded task this is .012 at N = 16, and the scores of sets differ by .007: bootstraps repeat models.
    """
    generator, models = numpy_generator(0, "metric", 103), len(further)
    draws = ranked_models(further)[generator.integers(models, size=(RESAMPLES, models))]
    return float(np.std([approximate_score(further[drawn], retrained, models) for drawn in draws], ddof=1))


def of_halves(retrained: Floats) -> float:
    """The mean score of random halves [N/2, E] of N retrained models against each other, as of N models.

    Few models are told apart less, so halves of eight score .25 where eight against eight score .2. So it is multiplied with what
    the number of models does to scores of normal models of the same means and deviations; beyond 64 models that is nothing.

    >>> rng = np.random.default_rng(0)
    >>> one, other = rng.normal(size=(2, 8, 400))
    >>> bool(abs(of_halves(one) - forgetting_score(one, other)) < 0.03)
    True
    """
    splits = [halves(retrained, split) for split in range(HALVINGS)]
    found = float(np.mean([forgetting_score(retrained[one], retrained[other[: len(one)]]) for one, other in splits]))
    models, half = len(retrained), len(splits[0][0])
    if models > FEW_MODELS:
        return found
    generator = numpy_generator(0, "metric", 104)

    mean, spread = retrained.mean(axis=0), retrained.std(axis=0, ddof=1)
    order = np.lexsort((spread, mean))  # so that the order of examples does not matter

    def drawn(count: int) -> float:
        sides = generator.normal(mean[order], spread[order], size=(DRAWS, 2, count, len(mean)))
        return float(np.mean([approximate_score(one, other, count) for one, other in sides]))

    of_half = drawn(half)  # 0 where so few models earn no points
    return found * drawn(models) / of_half if of_half else found
