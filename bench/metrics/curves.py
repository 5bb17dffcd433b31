"""What the board draws: histograms of the loss, and the attackers' ROC curves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from bench.hookspecs import hookimpl
from bench.metrics.membership import roc_curve
from bench.metrics.metric import Baseline, Evidence, Findings, Metric, Models
from bench.metrics.resampling import SPLITS, Sample
from bench.metrics.rmia import chosen_offline, scores_against_test
from bench.metrics.ulira import held_out_ratios
from bench.outputs import Floats

LOSS_EDGES = np.logspace(-5, 2, 43)  # nats; six bins per decade, the same for every run
FALSE_POSITIVE_RATES = np.logspace(-3, 0, 31)

Numbers = list[float]


def histogram(values: ArrayLike) -> Floats:
    """Share of the values in each bin of `LOSS_EDGES`; the outer bins take what is beyond them.

    >>> shares = histogram([0.0, 1e-9, 1.1, 1e9])
    >>> shares[0], shares[-1], len(shares)
    (np.float64(0.5), np.float64(0.25), 42)
    """
    inside = np.clip(np.asarray(values, dtype=np.float64), LOSS_EDGES[0], LOSS_EDGES[-1])
    counts, _ = np.histogram(inside, LOSS_EDGES)
    shares: Floats = counts / counts.sum()
    return shares


class Curves(Metric):
    """What the leaderboard draws of a run; no number of its own.

    Histograms of the cross-entropy of forget and test examples over all models, in bins that are the same for every run. ROC
    curves at 31 false positive rates from 0.1 % to 1: of U-LiRA over all held-out confidences, averaged over its four random
    halvings, and of RMIA per model, averaged over models. Beside them what retrained models and the original get.
    """

    version = 2
    source = "U-LiRA: Hayes et al. 2024, arXiv:2403.01218; RMIA: Zarifzadeh et al. 2024, arXiv:2312.03262"
    pitfalls = "Below one false positive in the whole sample a curve shows a single threshold: read it from 1 / examples on."

    def baseline(self, retrained: Models, original: Models) -> Baseline:
        """Curves of the retrained models and of the original one."""
        halves = Sample.draw(retrained.confidence).halved()
        curves = {"ulira_roc.retrained": _ulira(*halves), "loss_edges": LOSS_EDGES, "false_positive_rates": FALSE_POSITIVE_RATES}
        offline = chosen_offline(original, retrained)
        curves |= _of(retrained, retrained, "retrained", offline) | _of(original, retrained, "original", offline)
        return Baseline(details=_plain(curves))

    def score(self, evidence: Evidence) -> Findings:
        """Curves of the unlearned models."""
        sides = [Sample.draw(side.confidence) for side in (evidence.unlearned, evidence.retrained)]
        offline = chosen_offline(evidence.original, evidence.retrained)
        curves = {"ulira_roc.unlearned": _ulira(*sides), **_of(evidence.unlearned, evidence.retrained, "unlearned", offline)}
        return Findings(details=_plain(curves))


def _of(models: Models, retrained: Models, side: str, offline: float) -> dict[str, Floats]:
    curves = {f"{split}_loss.{side}": histogram(models.loss(split)) for split in ("forget", "test")}
    scores = zip(*scores_against_test(models, retrained, offline), strict=True)
    return {**curves, f"rmia_roc.{side}": _mean(roc_curve(*rows, FALSE_POSITIVE_RATES) for rows in scores)}


def _ulira(unlearned: Sample, retrained: Sample) -> Floats:
    parts = (held_out_ratios(unlearned, retrained, split) for split in range(SPLITS))
    return _mean(roc_curve(*sides, FALSE_POSITIVE_RATES) for sides in parts)


def _mean(curves: Iterable[Floats]) -> Floats:
    mean: Floats = np.mean(list(curves), axis=0)
    return mean


def _plain(curves: Mapping[str, Floats]) -> dict[str, Numbers]:
    return {name: [round(float(value), 6) for value in curve] for name, curve in curves.items()}


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register the curves."""
    register(Curves)
