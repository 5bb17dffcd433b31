"""Whether unlearned models can be told from retrained ones at all: a permutation test over whole models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.hookspecs import hookimpl
from bench.metrics.metric import Estimate, Evidence, Findings, Metric, Quantity
from bench.metrics.quantity import P_VALUE
from bench.metrics.resampling import ranked_models, seed_of_values
from bench.outputs import Floats
from bench.seeds import numpy_generator

PERMUTATIONS = 199
EXCHANGED = "mean distance with models exchanged: what equal sides get"


def exchanged_distances(unlearned: ArrayLike, retrained: ArrayLike, permutations: int = PERMUTATIONS) -> Floats:
    """Mean Kolmogorov-Smirnov distance between sides, as they are and with models exchanged at random.

    Args:
        unlearned: confidences [N, E].
        retrained: confidences [N, E].
        permutations: how many random divisions of all models into two sides to add.

    Returns:
        float64 [1 + permutations] in [0, 1]: the sides' own distance first.

    >>> sides = np.random.default_rng(0).normal(size=(2, 8, 30))
    >>> float(exchanged_distances(sides[0] + 9, sides[1])[0])
    1.0
    """
    sides = np.asarray(unlearned, dtype=np.float64), np.asarray(retrained, dtype=np.float64)
    pooled = np.concatenate(sides)
    ranked = ranked_models(pooled)  # so that the order of models does not matter
    pooled, signs = pooled[ranked], np.repeat(np.array([1, -1], dtype=np.int16), [len(side) for side in sides])[ranked]
    order = np.argsort(pooled, axis=0)
    ordered = np.take_along_axis(pooled, order, axis=0)
    last = np.concatenate([ordered[1:] > ordered[:-1], np.ones((1, pooled.shape[1]), dtype=bool)])  # of equal confidences
    generator = numpy_generator(seed_of_values(pooled.sum(axis=1)), "metric", 100)
    draws = [signs, *(generator.permutation(np.sort(signs)) for _ in range(permutations))]
    return np.array([_mean_distance(draw[order], last) for draw in draws]) / len(sides[0])


def _mean_distance(signs: NDArray[np.int16], last: NDArray[np.bool_]) -> float:
    """Mean over examples of the largest difference between counts of both sides up to a confidence."""
    return float(np.abs(np.cumsum(signs, axis=0, dtype=np.int16) * last).max(axis=0).mean())


def p_value(distances: ArrayLike) -> float:
    """Share of distances that are as large as the first one, itself included (Phipson and Smyth 2010: never 0).

    >>> p_value([0.9, 0.1, 0.2, 0.9])
    0.5
    """
    values = np.asarray(distances)
    return float(np.mean(values >= values[0] - 1e-12))  # sums of equal distances can differ in the last bit


class Distinguishability(Metric):
    """Can these models be told from retrained ones? A permutation test whose level holds whatever the confidences look like.

    The statistic is the mean over forget examples of the two-sample Kolmogorov-Smirnov distance of confidences. Whole models
    are exchanged between the sides at random, 199 times, which keeps examples of one model together. A p-value below .05 says
    that the sides differ; above it, that these N models do not show it.
    """

    source = "Kolmogorov-Smirnov statistic; p-value of Phipson and Smyth 2010"
    pitfalls = (
        "A large p-value is no proof of forgetting: with few models nothing can be told from anything. `bench calibrate` shows"
        " which shifts the test sees at your N. A tiny p-value says that sides differ, not by how much."
    )
    quantities = (
        Quantity(
            "p_value",
            P_VALUE,
            "higher",
            1 / (PERMUTATIONS + 1),
            1,
            "how often exchanged models differ as much; below .05 these models can be told from retrained ones",
            family="forgetting",
            table="evidence",
            title="p-value",
        ),
        Quantity(
            "ks_distance", "probability", "lower", 0, 1, "mean distance between the sides' distributions", family="forgetting"
        ),
        Quantity("ks_distance_exchanged", "probability", "lower", 0, 1, EXCHANGED, family="forgetting"),
    )

    def score(self, evidence: Evidence) -> Findings:
        """The test on forget examples."""
        distances = exchanged_distances(evidence.unlearned.confidence, evidence.retrained.confidence)
        return Findings(
            {
                "p_value": Estimate(p_value(distances)),
                "ks_distance": Estimate(float(distances[0])),
                "ks_distance_exchanged": Estimate(float(distances[1:].mean())),
            }
        )


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register the permutation test."""
    register(Distinguishability)
