"""Whether two runs can be told apart: a permutation test that exchanges their trials."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.metrics.approximation import approximate_score
from bench.metrics.metric import Models
from bench.metrics.utility import final_score
from bench.outputs import Floats
from bench.seeds import numpy_generator

EXCHANGES = 199


def exchanged_differences(
    one: Models, other: Models, retrained: Models, exchanges: int = EXCHANGES, advance: Callable[[], None] = lambda: None
) -> Floats:
    """Absolute difference of two runs' final scores, as they are and with trials exchanged.

    Each exchange swaps the trials of both runs at a random choice of indices. If both methods gave their models the same
    distribution, no exchange would matter. Scores are those of `approximate_score`.

    Args:
        one: N models of one run.
        other: N models of the other run.
        retrained: the N retrained models that both are compared with.
        exchanges: how many exchanges to add.
        advance: called after each.

    Returns:
        float64 [1 + exchanges]: the runs' own difference first; `distinguishability.p_value` makes a p-value of it.

    >>> from bench.scoring.calibration import Population
    >>> models = Population.draw(20, seed=0).retrained(8)
    >>> exchanged_differences(models, models, models, exchanges=2).tolist()
    [0.0, 0.0, 0.0]
    """
    models = len(one)
    parts = [_parts(side) for side in (one, other)]
    reference = _parts(retrained)
    generator = numpy_generator(0, "metric", 101)
    swaps = [np.zeros(models, dtype=bool), *(generator.integers(2, size=models).astype(bool) for _ in range(exchanges))]
    found = []
    for swap in swaps:
        ours = [np.where(_along(swap, a), b, a) for a, b in zip(*parts, strict=True)]
        theirs = [np.where(_along(swap, a), a, b) for a, b in zip(*parts, strict=True)]
        found.append(abs(_score(ours, reference) - _score(theirs, reference)))
        advance()
    return np.array(found)


def _parts(models: Models) -> list[Floats]:
    """What the final score is made of, per model."""
    return [models.confidence, models.outputs.retain_accuracy, models.accuracy("test")]


def _along(swap: NDArray[np.bool_], part: Floats) -> NDArray[np.bool_]:
    return swap.reshape(-1, *[1] * (part.ndim - 1))


def _score(ours: list[Floats], reference: list[Floats]) -> float:
    forgetting = approximate_score(ours[0], reference[0], len(ours[0]))
    retain, test = (part.mean() / target.mean() for part, target in zip(ours[1:], reference[1:], strict=True))
    return final_score(forgetting, float(retain), float(test))
