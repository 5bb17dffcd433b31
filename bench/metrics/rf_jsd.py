"""RF-JSD: forgotten photos under unlearned models against strangers' under the original, without any retrained model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from bench.hookspecs import hookimpl
from bench.metrics.metric import CONTROLS, Baseline, Estimate, Evidence, Findings, Metric, Models, Quantity
from bench.metrics.resampling import jackknife
from bench.outputs import Floats


def divergence(one: ArrayLike, other: ArrayLike) -> float:
    """Jensen-Shannon divergence of two distributions [K], in bits: 0 to 1.

    >>> divergence([1.0, 0.0], [0.0, 1.0]), divergence([0.5, 0.5], [0.5, 0.5])
    (1.0, 0.0)
    """
    from scipy.special import rel_entr

    ours, theirs = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    middle = (ours + theirs) / 2
    return float((rel_entr(ours, middle).sum() + rel_entr(theirs, middle).sum()) / 2 / np.log(2))


class RFJSD(Metric):
    """RF-JSD: do unlearned models answer on the forgotten as the original does on strangers of the same class?

    Per class, the Jensen-Shannon divergence, in bits, between the mean probabilities that unlearned models give on forget photos
    and those that the original gives on unseen people (test, where a task has none); the mean over classes that both have. It
    needs no retrained model; here their value stands beside it. Intervals: a jackknife over models.
    """

    source = "Spartalis et al. 2025, arXiv:2503.18314"
    pitfalls = (
        "Means of probabilities only: neither single photos nor the spread between trials count. Its target is not 0, but what"
        " retrained models get."
    )
    quantities = (
        Quantity(
            "rf_jsd",
            "bits",
            "as retrained",
            0,
            1,
            "divergence of answers on forget from the original's on strangers, mean over classes",
            family="forgetting",
        ),
    )

    def baseline(self, retrained: Models, original: Models) -> Baseline:
        """Retrained models, and the original itself."""
        return Baseline(_estimated(retrained, original), _estimated(original, original))

    def score(self, evidence: Evidence) -> Findings:
        """Unlearned models; nothing without the original."""
        return Findings(_estimated(evidence.unlearned, evidence.original)) if evidence.original else Findings()


def _estimated(models: Models, original: Models) -> dict[str, Estimate]:
    """Nothing if the forgotten and strangers have no class in common; of one model without a deviation."""
    answers, strangers = _by_class(models, "forget"), next(split for split in CONTROLS if original.labels[split].size)
    theirs = _by_class(original, strangers)[0]
    both = np.flatnonzero(np.isfinite(answers[0]).all(axis=1) & np.isfinite(theirs).all(axis=1))
    if not both.size:
        return {}

    def value(some: Floats) -> dict[str, float]:
        means = some.mean(axis=0)
        return {"rf_jsd": float(np.mean([divergence(means[label], theirs[label]) for label in both]))}

    if len(answers) == 1:
        return {name: Estimate(single) for name, single in value(answers).items()}
    return {name: Estimate(single, sd) for name, (single, sd) in jackknife(value, answers).items()}


def _by_class(models: Models, split: str) -> Floats:
    """Mean probabilities that each model gives on a split's photos of each class: [M, class, K]; NaN of classes that it lacks."""
    from scipy.special import softmax

    answers = softmax(models.outputs.logits[split].astype(np.float64), axis=-1)
    member = (models.labels[split][:, None] == np.arange(answers.shape[-1])).astype(np.float64)
    counts = member.sum(axis=0)
    shares = np.divide(member, counts, out=np.full_like(member, np.nan), where=counts > 0)
    return np.asarray(np.einsum("mnk,nc->mck", answers, shares))


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register RF-JSD."""
    register(RFJSD)
