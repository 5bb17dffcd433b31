"""Confidences that were chosen: known ways in which unlearned models can differ from retrained ones, on the forget set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.outputs import Floats
from bench.seeds import numpy_generator

OUTLIER = -40.0


@dataclass(frozen=True)
class Fresh:
    """Models that a change starts from: confidences on the forget set [N, E], and on a stranger of each one's class [N, E]."""

    forget: Floats
    strangers: Floats
    labels: NDArray[np.int64]  # of the forget set [E]
    means: Floats  # of all such models, on the forget set [E]


Change = Callable[[Fresh, Floats], Floats]  # models, confidences of the reference's [N, E] -> unlearned confidences [N, E]


def strangers_of(forgotten: NDArray[np.int64], strangers: NDArray[np.int64]) -> NDArray[np.int64]:
    """For everybody a stranger of the same class, by position: the classes' in turn; of a class without strangers, any.

    >>> strangers_of(np.array([1, 0, 1, 1]), np.array([0, 1, 1])).tolist()
    [1, 0, 2, 1]
    """
    chosen = np.zeros(len(forgotten), dtype=np.int64)
    for label in np.unique(forgotten):
        ours, theirs = np.flatnonzero(forgotten == label), np.flatnonzero(strangers == label)
        chosen[ours] = np.resize(theirs if theirs.size else np.arange(len(strangers)), len(ours))
    return chosen


def shifted(amount: float) -> Change:
    """Confidences that much too high (of a `Population`, in standard deviations): forgotten in part only."""
    return lambda fresh, reference: fresh.forget + amount


def shifted_by_class(fresh: Fresh, reference: Floats) -> Floats:
    """Every second class a standard deviation too high, the others as much too low."""
    signs = np.where(fresh.labels % 2, 1.0, -1.0)
    return np.asarray(fresh.forget + signs * reference.std(axis=0))


def widened(factor: float) -> Change:
    """The same mean and another spread: below 1, methods with too little randomness between trials."""
    return lambda fresh, reference: fresh.means + factor * (fresh.forget - fresh.means)


def gaming(fresh: Fresh, reference: Floats) -> Floats:
    """All models but one constant at the lower quartile of retrained models, one far away: scores 1 in the challenge."""
    constant = np.repeat(np.quantile(reference, 0.25, axis=0)[None], len(fresh.forget), axis=0)
    constant[0] = OUTLIER
    return constant


def deterministic(fresh: Fresh, reference: Floats) -> Floats:
    """One model, N times: perfect unlearning without randomness between trials."""
    return np.repeat(fresh.forget[:1], len(fresh.forget), axis=0)


def on_two_levels(low: float, high: float, away: float = 0.0) -> Change:
    """Half of the models at one quantile of the retrained ones, half at another, shuffled per example; one `away` from the ends.

    Chosen so that every threshold errs: scores beyond the challenge's ceiling, though no model is like a retrained one. The
    shuffle is the same for all rows of one N.
    """

    def chosen(fresh: Fresh, reference: Floats) -> Floats:
        generator = numpy_generator(len(fresh.forget), "metric", 1001)
        levels = np.quantile(reference, [low, high], axis=0)
        values = np.where((np.arange(len(fresh.forget)) % 2 == 0)[:, None], levels[0], levels[1])
        if away:
            values[0] = reference.max(axis=0) + away if away > 0 else reference.min(axis=0) + away
        return np.asarray(generator.permuted(values, axis=0))

    return chosen


def levels_in_turn(fresh: Fresh, reference: Floats) -> Floats:
    """Of every second model the lower, of the others the upper quartile of the retrained ones."""
    return np.asarray(np.percentile(reference, [25, 75], axis=0)[np.arange(len(fresh.forget)) % 2])


def copied(noise: float, moved: float = 0.0) -> Change:
    """The retrained models of the reference in another order, with noise of a share of their spread, moved towards their mean."""

    def taken(fresh: Fresh, reference: Floats) -> Floats:
        copies = np.roll(reference, 1, axis=0) + noise * _particular(fresh)
        return np.asarray(copies + moved * (reference.mean(axis=0) - copies))

    return taken


def of_strangers(fresh: Fresh, reference: Floats) -> Floats:
    """Everybody has the confidences of a stranger of the same class."""
    return fresh.strangers


def _particular(fresh: Fresh) -> Floats:
    return np.asarray(fresh.forget - fresh.forget.mean(axis=0))


DIFFERENCES: Mapping[str, Change] = {
    "retrained": shifted(0.0),
    "shift 0.5 sd": shifted(0.5),
    "shift 1 sd": shifted(1.0),
    "shift 2 sd": shifted(2.0),
    "half width": widened(0.5),
    "double width": widened(2.0),
    "deterministic": deterministic,
}
CHOSEN: Mapping[str, Change] = {
    "gaming": gaming,
    "two levels, one above": on_two_levels(0.4, 0.65, away=6.0),
    "two levels, one below": on_two_levels(0.35, 0.6, away=-6.0),
    "two levels": on_two_levels(0.25, 0.75),
    "copied, noise .01": copied(0.01),
    "copied, noise .1": copied(0.1),
    "halfway to the mean": copied(0.01, moved=0.5),
    "shift by class": shifted_by_class,
    "strangers": of_strangers,
}
