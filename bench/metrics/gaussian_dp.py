"""How far apart the two sides are as Gaussians: by location, and by spread."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from bench.hookspecs import hookimpl
from bench.metrics.metric import Metric, Quantity
from bench.metrics.resampling import Sample, Values
from bench.metrics.two_sample import TwoSample
from bench.outputs import Floats

LARGEST_LOG_RATIO = 7.0  # a side without any spread


def areas_per_example(unlearned: ArrayLike, retrained: ArrayLike) -> Floats:
    """AUC per example: the probability that an unlearned model is more confident than a retrained one, ties by half.

    Args:
        unlearned: confidences [N, E].
        retrained: confidences [N', E].

    Returns:
        float64 [E] in [0, 1].

    >>> areas_per_example([[1.0], [3.0]], [[0.0], [2.0]]).tolist()
    [0.75]
    """
    from scipy.stats import rankdata

    ours, theirs = np.asarray(unlearned), np.asarray(retrained)
    ranks = rankdata(np.concatenate([ours, theirs]), axis=0)[: len(ours)]
    areas: Floats = (ranks.sum(axis=0) - len(ours) * (len(ours) + 1) / 2) / (len(ours) * len(theirs))
    return areas


def mu(areas: ArrayLike, pairs: int) -> Floats:
    """The mu [E] of Gaussian differential privacy whose trade-off curve has these AUCs [E], >= 0.

    mu = sqrt(2) * Phi^-1(AUC), from AUC = Phi(mu / sqrt(2)) for N(mu, 1) against N(0, 1) (Dong et al. 2022, arXiv:1905.02383),
    for the better of both guesses; complete separation counts as half a pair of `pairs` in the wrong order.

    >>> mu([0.5, 0.76], pairs=10_000).round(2).tolist()
    [0.0, 1.0]
    """
    from scipy.stats import norm

    values = np.asarray(areas, dtype=np.float64)
    best = np.minimum(np.maximum(values, 1 - values), 1 - 0.5 / pairs)
    found: Floats = np.sqrt(2.0) * norm.ppf(best)
    return found


def log_deviation_ratios(unlearned: Floats, retrained: Floats) -> Floats:
    """log(standard deviation of unlearned / of retrained) per example [E], at most 7 either way; 0 if neither side has any."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.log(unlearned.std(axis=0, ddof=1)) - np.log(retrained.std(axis=0, ddof=1))
    clipped: Floats = np.clip(np.nan_to_num(ratios, nan=0.0), -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
    return clipped


class GaussianDP(TwoSample):
    """The mu of Gaussian differential privacy from the AUC, and the log ratio of spreads, which mu is blind to.

    mu is the distance, in standard deviations, of two Gaussians that are as hard to tell apart by location as unlearned from
    retrained confidences: the mean over forget examples of sqrt(2) Phi^-1(AUC). The log ratio compares the standard deviations
    of the confidences, unlearned / retrained: below 0 methods vary too little between trials, above 0 too much. Runs are compared
    by halves of their models, as retrained models are among themselves: mu of equal sides is above 0 by chance.
    """

    version = 2
    matched = True
    source = "Dong, Roth and Su 2022, arXiv:1905.02383"
    pitfalls = (
        "mu sees a shift and nothing else: sides with one median and different spreads have mu near 0. Over- and"
        " under-dispersed examples cancel in the mean log ratio."
    )
    quantities = (
        Quantity(
            "gaussian_dp_mu", "standard deviations", "as retrained", 0, np.inf, "mean distance by location", family="forgetting"
        ),
        Quantity(
            "log_deviation_ratio",
            "nats",
            "as retrained",
            -7,
            7,
            "mean log of the spread between models, unlearned / retrained",
            family="forgetting",
            table="evidence",
            title="spread",
            folded=True,
        ),
    )

    def compare(self, unlearned: Sample, retrained: Sample) -> Values:
        """Means over examples."""
        areas = areas_per_example(unlearned.confidence, retrained.confidence)
        return {
            "gaussian_dp_mu": float(mu(areas, len(unlearned) * len(retrained)).mean()),
            "log_deviation_ratio": float(log_deviation_ratios(unlearned.confidence, retrained.confidence).mean()),
        }


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register mu and the log ratio of spreads."""
    register(GaussianDP)
