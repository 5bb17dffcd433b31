"""Tails: how well the forgotten examples that are given away most are told, and those that were memorised."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.hookspecs import hookimpl
from bench.metrics.cross_fitted import cross_fitted
from bench.metrics.excess_epsilon import upper_mean
from bench.metrics.membership import areas_under_curve
from bench.metrics.metric import Baseline, Estimate, Estimates, Evidence, Findings, Metric, Models, Quantity
from bench.metrics.resampling import SPLITS, Sample, Values
from bench.metrics.ulira import judged
from bench.outputs import Floats

MEMORISED = 1 / 3  # of the forgotten examples


def most_memorised(original: ArrayLike, retrained: ArrayLike) -> NDArray[np.bool_]:
    """The third of the examples [E] whose probability of the true class fell most when they were left out of training.

    Args:
        original: of one or several models that were trained on them [M, E].
        retrained: of models that were not [N, E].

    Returns:
        Memorisation is the difference of both means. Source: Feldman 2020, arXiv:1906.05271.

    >>> most_memorised([[0.9, 0.9, 0.9]], [[0.8, 0.1, 0.7]]).tolist()
    [False, True, False]
    """
    fallen = np.asarray(original).mean(axis=0) - np.asarray(retrained).mean(axis=0)
    chosen = np.zeros(len(fallen), dtype=bool)
    chosen[np.argsort(-fallen, kind="stable")[: max(round(len(fallen) * MEMORISED), 1)]] = True
    return chosen


def example_areas(unlearned: Sample, retrained: Sample) -> Floats:
    """U-LiRA's area under the curve for every example alone [E], by Gaussians of the halves that models are not in."""
    parts = [judged(unlearned, retrained, split) for split in range(SPLITS)]
    areas: Floats = np.mean([areas_under_curve(ours.T, theirs.T) for ours, theirs in parts], axis=0)
    return areas


class Tails(Metric):
    """Tails: held-out epsilon and U-LiRA's area where they are worst, and by whether an example was memorised.

    Per forget example, epsilon is that of `cross-fitted`, and the area is U-LiRA's among the models' confidences on that example
    alone. The worst twentieth is a mean over the examples with the largest values. Memorised is the third of the examples whose
    probability of the true class is most above that under retrained models in the original. A mean over all hides both. Runs are
    compared by halves, as retrained models are.
    """

    source = "Carlini et al. 2022, arXiv:2112.03570, for single examples; Feldman 2020, arXiv:1906.05271, for memorisation"
    pitfalls = (
        "The largest of many uncertain values are large for equal sides, too: only the distance to what retrained models get says"
        " something. At N = 16 each half has eight models."
    )
    quantities = tuple(
        Quantity(
            f"{name}_{part}",
            unit,
            "as retrained",
            -np.inf if unit == "nats" else 0,
            np.inf if unit == "nats" else 1,
            f"{what} {where}",
            family="attack",
        )
        for name, unit, what in (("epsilon", "nats", "held-out epsilon"), ("ulira_area", "probability", "U-LiRA's area"))
        for part, where in (
            ("worst", "of the twentieth of the forget examples where it is largest"),
            ("memorised", "of the third of the forget examples that the original has memorised most"),
            ("unmemorised", "of the others"),
        )
    )

    def baseline(self, retrained: Models, original: Models) -> Baseline:
        """One half of the retrained models against the other."""
        halves = Sample.draw(retrained.confidence).halved()
        return Baseline(_estimates([halves, halves[::-1]], _memorised(original, retrained)))

    def score(self, evidence: Evidence) -> Findings:
        """Halves of unlearned against halves of retrained models."""
        if evidence.original is None:
            return Findings()
        ours, theirs = (Sample.draw(side.confidence).halved() for side in (evidence.unlearned, evidence.retrained))
        pairs = [(one, other) for one in ours for other in theirs]
        return Findings(_estimates(pairs, _memorised(evidence.original, evidence.retrained)))


def _memorised(original: Models, retrained: Models) -> NDArray[np.bool_]:
    return most_memorised(*(np.exp(-models.loss("forget")) for models in (original, retrained)))


def _estimates(pairs: Sequence[tuple[Sample, Sample]], memorised: NDArray[np.bool_]) -> Estimates:
    parts = [_tails(*pair, memorised) for pair in pairs]
    return {name: Estimate(float(np.mean([part[name] for part in parts]))) for name in parts[0]}


def _tails(unlearned: Sample, retrained: Sample, memorised: NDArray[np.bool_]) -> Values:
    found = {"epsilon": cross_fitted(unlearned, retrained)[0], "ulira_area": example_areas(unlearned, retrained)}
    even = np.full(len(memorised), 1 / len(memorised))
    chosen = {"memorised": memorised, "unmemorised": ~memorised}
    return {
        **{f"{name}_worst": upper_mean(values, even) for name, values in found.items()},
        **{
            f"{name}_{part}": float(values[which].mean())
            for name, values in found.items()
            for part, which in chosen.items()
            if which.any()
        },
    }


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register tails."""
    register(Tails)
