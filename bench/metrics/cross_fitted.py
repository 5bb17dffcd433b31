"""Epsilon without the benefit of hindsight: thresholds chosen on half of the models, error rates from the other half."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bench.hookspecs import hookimpl
from bench.metrics.forgetting import DELTA
from bench.metrics.metric import Metric, Quantity
from bench.metrics.resampling import SPLITS, Sample, Values
from bench.metrics.two_sample import TwoSample
from bench.outputs import Floats

CUTS = 24
CONFIDENCE = 0.95

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Rules:
    """One interval per example, and the likelihood ratio that it is chosen for.

    Kinds: log a/b, log b/a, log (1-a)/(1-b), log (1-b)/(1-a), with a and b the shares of unlearned and of retrained models
    whose confidence lies in the interval. These are the challenge's two terms, for either guess.
    """

    low: Floats  # [E]
    high: Floats  # [E]
    kind: Counts  # [E]


def choose_rules(unlearned: Floats, retrained: Floats) -> Rules:
    """The interval of each example that tells confidences [n, E] from [n', E] best, among those between 24 quantiles."""
    pooled = np.sort(np.concatenate([unlearned, retrained]), axis=0)
    ranks = np.unique(np.linspace(0, len(pooled) - 1, min(CUTS, len(pooled))).round().astype(int))
    edge = np.full((1, pooled.shape[1]), np.inf)
    low, high = np.concatenate([-edge, pooled[ranks]]), np.concatenate([pooled[ranks], edge])
    start, end = np.triu_indices(len(low))
    ratios = _ratios(*(_shares_inside(side, low, high)[start, end] for side in (unlearned, retrained)))
    best = ratios.reshape(-1, pooled.shape[1]).argmax(axis=0)
    kind, pair = np.divmod(best, len(start))
    example = np.arange(pooled.shape[1])
    return Rules(low[start[pair], example], high[end[pair], example], kind)


def _shares_inside(side: Floats, low: Floats, high: Floats) -> Floats:
    """Smoothed share of a side [n, E] inside every interval [low_i, high_j]: [cuts, cuts, E]."""
    below = (side[:, None] < low).sum(axis=0)
    up_to = (side[:, None] <= high).sum(axis=0)
    return _smoothed(np.maximum(up_to[None] - below[:, None], 0), len(side))


def _smoothed(inside: Counts, models: int) -> Floats:
    """Shares that are never 0 or 1: half a model more on either side of the interval (Jeffreys)."""
    return np.asarray((inside + 0.5) / (models + 1.0), dtype=np.float64)


def _ratios(a: Floats, b: Floats) -> Floats:
    """The four log likelihood ratios [4, ...]."""
    inside, outside = np.log(a / b), np.log((1 - a) / (1 - b))
    return np.stack([inside, -inside, outside, -outside])


def _inside(side: Floats, rules: Rules) -> Counts:
    found: Counts = ((side >= rules.low) & (side <= rules.high)).sum(axis=0)
    return found


def held_out_epsilon(rules: Rules, unlearned: Floats, retrained: Floats) -> Floats:
    """Epsilon [E] of given rules on models [n, E] and [n', E] that had no part in choosing them; 0 on average for equal sides."""
    shares = [_smoothed(_inside(side, rules), len(side)) for side in (unlearned, retrained)]
    ratios: Floats = np.take_along_axis(_ratios(*shares), rules.kind[None], axis=0)[0]
    return ratios


def certified_epsilon(rules: Rules, unlearned: Floats, retrained: Floats) -> Floats:
    """Lower bound [E] of epsilon that holds with 95 %, per example: Clopper-Pearson intervals for both error rates.

    >>> rules = Rules(np.array([0.0]), np.array([np.inf]), np.array([0]))
    >>> certified_epsilon(rules, np.ones((64, 1)), -np.ones((64, 1))).round(2).tolist()
    [2.82]
    """
    bounds = [_clopper_pearson(_inside(side, rules), len(side)) for side in (unlearned, retrained)]
    (a_low, a_high), (b_low, b_high) = bounds
    with np.errstate(divide="ignore"):
        worst = np.stack(
            [
                np.log(np.maximum(a_low - DELTA, 0) / b_high),
                np.log(np.maximum(b_low - DELTA, 0) / a_high),
                np.log(np.maximum(1 - a_high - DELTA, 0) / (1 - b_low)),
                np.log(np.maximum(1 - b_high - DELTA, 0) / (1 - a_low)),
            ]
        )
    bound: Floats = np.maximum(np.take_along_axis(worst, rules.kind[None], axis=0)[0], 0.0)
    return bound


def _clopper_pearson(inside: Counts, models: int) -> tuple[Floats, Floats]:
    """Bounds of a share; two shares' bounds hold together with 95 %, since one end of each is used."""
    from scipy.stats import beta

    tail = (1 - CONFIDENCE) / 2
    counts = np.arange(models + 1)
    low = np.where(counts == 0, 0.0, beta.ppf(tail, np.maximum(counts, 1), models - counts + 1))
    high = np.where(counts == models, 1.0, beta.isf(tail, counts + 1, np.maximum(models - counts, 1)))
    return low[inside], high[inside]


def cross_fitted(unlearned: Sample, retrained: Sample) -> tuple[Floats, Floats]:
    """Held-out epsilons and certified bounds per example [E]: both ways, averaged over random halves."""
    parts = []
    for split, first in product(range(SPLITS), (True, False)):
        rules = choose_rules(*(side.half(split, first=first) for side in (unlearned, retrained)))
        rest = [side.half(split, first=not first) for side in (unlearned, retrained)]
        parts.append((held_out_epsilon(rules, *rest), certified_epsilon(rules, *rest)))
    epsilon, bound = np.mean(parts, axis=0)
    return epsilon, bound


class CrossFitted(TwoSample):
    """Epsilon from models that had no part in choosing the threshold, so that luck and exploits do not count.

    On one half of the models of both sides, the interval of confidences with the largest likelihood ratio is chosen per forget
    example; on the other half its smoothed ratio is measured. Both ways, averaged over random halves and over examples. Equal
    sides get 0 on average, and the constant models with one outlier that score 1.000 in the challenge get a large value. The
    certified bound takes Clopper-Pearson intervals of the held-out counts instead: per example and half, the true epsilon is
    larger with 95 %.
    """

    version = 2
    source = "cross-fitting: Chernozhukov et al. 2018; lower bounds: Jagielski et al. 2020, arXiv:2006.07709"
    pitfalls = (
        "With N/2 models no ratio above log(N + 1) can be measured: compare within a division only. The certified bound is"
        " conservative: at N = 16 it stays below .1 for anything short of complete separation."
    )
    quantities = (
        Quantity(
            "cross_fitted_epsilon",
            "nats",
            "as retrained",
            -np.inf,
            np.inf,
            "mean epsilon with thresholds from other models; 0 on average for equal sides",
            family="forgetting",
            table="evidence",
            title="held-out eps",
            folded=True,
        ),
        Quantity(
            "certified_epsilon",
            "nats",
            "as retrained",
            0,
            np.inf,
            "mean over examples and halves of bounds that hold with 95 % each",
            family="forgetting",
        ),
    )

    def compare(self, unlearned: Sample, retrained: Sample) -> Values:
        """Means over examples."""
        epsilon, bound = cross_fitted(unlearned, retrained)
        return {"cross_fitted_epsilon": float(epsilon.mean()), "certified_epsilon": float(bound.mean())}


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register the cross-fitted epsilon."""
    register(CrossFitted)
