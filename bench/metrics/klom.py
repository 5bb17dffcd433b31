"""KLOM: per forget example, the divergence between the margins of unlearned and of retrained models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from bench.hookspecs import hookimpl
from bench.metrics.metric import Metric, Quantity
from bench.metrics.resampling import Sample, Values
from bench.metrics.two_sample import TwoSample
from bench.outputs import Floats

BINS = 20
LARGEST_MARGIN = 100.0
SMALLEST_SHARE = 1e-5


def divergences(unlearned: ArrayLike, retrained: ArrayLike) -> Floats:
    """KL(unlearned || retrained) of binned margins, per example.

    Args:
        unlearned: margins [N, E], the logit-scaled confidences; clipped to +-100.
        retrained: margins [N', E].

    Returns:
        float64 [E] in nats, 0 to 11.5: 20 equal bins from the least to the largest margin of both sides, and shares of retrained
        models of at least 1e-5. Source: Georgiev et al. 2024, arXiv:2410.23232, with the constants of the public code.

    >>> divergences([[0.0], [1.0]], [[0.0], [1.0]]).tolist()
    [0.0]
    """
    from scipy.special import rel_entr

    sides = [np.clip(np.asarray(side, dtype=np.float64), -LARGEST_MARGIN, LARGEST_MARGIN) for side in (unlearned, retrained)]
    low = np.minimum(*(side.min(axis=0) for side in sides))
    high = np.maximum(*(side.max(axis=0) for side in sides))
    ours, theirs = (_shares(side, low, high) for side in sides)
    found: Floats = rel_entr(ours, np.maximum(theirs, SMALLEST_SHARE)).sum(axis=1)
    return found


def _shares(side: Floats, low: Floats, high: Floats) -> Floats:
    """Share of a side [N, E] in each bin [E, 20]; the last bin is closed."""
    width = np.where(high > low, high - low, 1.0)
    bins = np.minimum(((side - low) / width * BINS).astype(np.int64), BINS - 1)
    examples = side.shape[1]
    counts = np.bincount((bins + BINS * np.arange(examples)).ravel(), minlength=BINS * examples)
    return counts.reshape(examples, BINS) / len(side)


class KLOM(TwoSample):
    """KLOM: how different the distributions of an example's margin are between unlearned and retrained models.

    Kullback-Leibler divergence of unlearned from retrained margins (logit-scaled confidences, clipped to +-100, in 20 bins over
    their common range), per forget example; the median and the 95th percentile over examples, as in the source, and the median
    of the reverse, which is large where unlearned models miss what retrained ones do. Runs are compared by halves of their
    models, as retrained models are among themselves: the divergence of equal sides is far above 0 when models are few.
    Intervals: the variance of a jackknife over models plus that of resampled examples.
    """

    version = 2
    matched = quantile = True
    source = "Georgiev et al. 2024, arXiv:2410.23232; constants of RoyRin/data-unlearning-bench"
    pitfalls = (
        "An empty bin of retrained models costs up to 11.5 nats, so small N gives large values: compare with the retrained"
        " models' value. Values of N models here are those of N/2 in the literature."
    )
    quantities = (
        Quantity(
            "klom_median",
            "nats",
            "as retrained",
            0,
            11.6,
            "divergence of margins between models, median over forget examples",
            attack=True,
            family="attack",
            table="evidence",
            title="KLOM",
            folded=True,
        ),
        Quantity(
            "klom_95", "nats", "as retrained", 0, 11.6, "its 95th percentile over forget examples", attack=True, family="attack"
        ),
        Quantity(
            "klom_reverse_median",
            "nats",
            "as retrained",
            0,
            11.6,
            "the other direction, KL(retrained || unlearned), median over forget examples",
            attack=True,
            family="attack",
        ),
    )

    def compare(self, unlearned: Sample, retrained: Sample) -> Values:
        """Median and 95th percentile over examples, and the median of the other direction."""
        found = divergences(unlearned.confidence, retrained.confidence)
        reverse = divergences(retrained.confidence, unlearned.confidence)
        return {
            "klom_median": float(np.median(found)),
            "klom_95": float(np.percentile(found, 95)),
            "klom_reverse_median": float(np.median(reverse)),
        }


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register KLOM."""
    register(KLOM)
