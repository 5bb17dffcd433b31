"""Excess epsilon: how much better single forgotten examples give unlearned models away than strangers do."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from bench.hookspecs import hookimpl
from bench.metrics.contrast import Side
from bench.metrics.cross_fitted import cross_fitted
from bench.metrics.memory_left import Grounds
from bench.metrics.metric import Baseline, Estimate, Estimates, Evidence, Findings, Metric, Models, Quantity
from bench.metrics.resampling import Sample

UPPER = 0.05  # the share of examples that give most away


def upper_mean(values: ArrayLike, weights: ArrayLike, share: float = UPPER) -> float:
    """Weighted mean of the largest values [n] that make up a share of the weight; the last one counts in part.

    >>> upper_mean([1.0, 5.0, 3.0, 4.0], [0.25, 0.25, 0.25, 0.25], share=0.375)
    4.666666666666667
    """
    each, weight = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    order = np.argsort(-each, kind="stable")
    up_to = np.minimum(np.cumsum(weight[order]), share * weight.sum())
    taken = np.diff(up_to, prepend=0.0)
    return float(taken @ each[order] / taken.sum())


def excess_epsilon(forgotten: ArrayLike, strangers: ArrayLike, weights: ArrayLike, share: float = UPPER) -> tuple[float, float]:
    """Mean epsilon of the forgotten less that of strangers, and the same of either side's upper 5 %.

    Args:
        forgotten: epsilon per forgotten example [E].
        strangers: epsilon per stranger's example [U].
        weights: of the strangers [U], so that their classes are as frequent; their sum is 1.
        share: that counts as upper.

    Returns:
        Both differences. Source: docs/reference/protocol.md, section 8.2.

    >>> excess_epsilon([0.0, 0.0, 0.0, 3.0], [0.0, 1.0], [0.5, 0.5], share=0.25)
    (0.25, 2.0)
    """
    ours, theirs = np.asarray(forgotten, dtype=np.float64), np.asarray(strangers, dtype=np.float64)
    weight = np.asarray(weights, dtype=np.float64)
    even = np.full(len(ours), 1 / len(ours))
    mean = float(ours.mean() - weight @ theirs)
    return mean, upper_mean(ours, even, share) - upper_mean(theirs, weight, share)


class ExcessEpsilon(Metric):
    """Excess epsilon: held-out epsilon on the forgotten less that on strangers of their classes; mean, and upper 5 % of each.

    Epsilons are those of `cross-fitted`, per example. Where memory left is a mean that some remembered people and some that are
    over-forgotten can cancel, this sees single examples.
    """

    quick = True
    source = "docs/reference/protocol.md, section 8.2; epsilons as in `cross-fitted`"
    pitfalls = (
        "A warning, not for ranking: drift uses up a scale that ends at log(N + 1), so that a small value proves nothing"
        " (fine-tuning, which remembers everybody, may get none in its upper 5 % at N = 16). At that N the upper 5 % of one in"
        " twenty sets of retrained models is above .23 (of 150 sets, the largest is .31); above .4 somebody is remembered."
        " Deterministic methods are points among clouds, for strangers, too, and get next to nothing whatever they remember."
    )
    quantities = (
        Quantity(
            "excess_epsilon",
            "nats",
            "as retrained",
            -math.inf,
            math.inf,
            "mean held-out epsilon on the forgotten less that on strangers of their classes",
            family="forgetting",
            table="results",
            title="excess eps",
            decimals=2,
        ),
        Quantity(
            "excess_epsilon_upper",
            "nats",
            "as retrained",
            -math.inf,
            math.inf,
            "the same of the twentieth of either side with the largest epsilons",
            family="forgetting",
            table="evidence",
            title="excess eps, worst",
            decimals=2,
        ),
    )

    def baseline(self, retrained: Models, original: Models) -> Baseline:
        """One half of the retrained models against the other; the one original is a point, of which strangers say as much."""
        grounds = Grounds.of(retrained)
        if not grounds.enough:
            return Baseline()
        side = grounds.side(retrained)
        forget, unseen = ([half.confidence for half in Sample.draw(each).halved()] for each in (side.forget, side.unseen))
        halves = [Side(*pair) for pair in zip(forget, unseen, strict=True)]
        return Baseline(_estimates(grounds, *halves))

    def score(self, evidence: Evidence) -> Findings:
        """Both differences; nothing where there is nobody to compare with."""
        grounds = Grounds.of(evidence.retrained)
        if not grounds.enough:
            return Findings()
        return Findings(_estimates(grounds, grounds.side(evidence.unlearned), grounds.yardstick.retrained))


def _estimates(grounds: Grounds, unlearned: Side, retrained: Side) -> Estimates:
    forgotten, strangers = (
        cross_fitted(Sample.draw(ours), Sample.draw(theirs))[0]
        for ours, theirs in ((unlearned.forget, retrained.forget), (unlearned.unseen, retrained.unseen))
    )
    mean, upper = excess_epsilon(forgotten[grounds.yardstick.matched], strangers, grounds.yardstick.weights)
    return {"excess_epsilon": Estimate(mean), "excess_epsilon_upper": Estimate(upper)}


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register excess epsilon."""
    register(ExcessEpsilon)
