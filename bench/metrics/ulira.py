"""U-LiRA: per forget example, is this confidence rather one of an unlearned or of a retrained model?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.hookspecs import hookimpl
from bench.metrics.membership import areas_under_curve, rates, true_positive_rate
from bench.metrics.metric import Metric, Quantity
from bench.metrics.resampling import SPLITS, Sample, Values
from bench.metrics.two_sample import TwoSample
from bench.outputs import Floats

NARROWEST = 0.1  # standard deviations are at least this share of the retrained models' typical one
MANY = 1000  # negatives that a rate of 0.1 % needs


def likelihood_ratios(values: Floats, unlearned: Floats, retrained: Floats, *, pooled: bool = False) -> Floats:
    """Log N(value; unlearned) - log N(value; retrained), Gaussians fitted per example.

    Args:
        values: confidences [n, E] to judge.
        unlearned: confidences [m, E] to fit on.
        retrained: confidences [m', E] to fit on.
        pooled: with one variance per side, the mean over examples, as LiRA has it for few models.

    Returns:
        float64 [n, E]; above 0: rather unlearned. Standard deviations are at least a tenth of the retrained models' root mean
        square one, so that few or equal models do not make a certainty.

    >>> sides = np.array([[1.0], [3.0]]), np.array([[-3.0], [-1.0]])
    >>> likelihood_ratios(np.array([[2.0], [0.0]]), *sides).tolist()
    [[8.0], [0.0]]
    """
    from scipy.stats import norm

    floor = max(NARROWEST * float(np.sqrt(retrained.var(axis=0).mean())), 1e-9)
    variances = [side.var(axis=0) for side in (unlearned, retrained)]
    spreads = [np.sqrt(each.mean() if pooled else each) for each in variances]
    sides = zip((unlearned, retrained), spreads, strict=True)
    logs = [norm.logpdf(values, side.mean(axis=0), np.maximum(spread, floor)) for side, spread in sides]
    ratios: Floats = logs[0] - logs[1]
    return ratios


def held_out_ratios(unlearned: Sample, retrained: Sample, split: int, *, pooled: bool = False) -> tuple[Floats, Floats]:
    """Likelihood ratios of all unlearned and all retrained models [N * E], each from Gaussians of the half it is not in."""
    ours, theirs = judged(unlearned, retrained, split, pooled=pooled)
    return ours.ravel(), theirs.ravel()


def judged(unlearned: Sample, retrained: Sample, split: int, *, pooled: bool = False) -> tuple[Floats, Floats]:
    """The same per model and example [N, E], models of the second half first."""
    parts = []
    for first in (True, False):
        fit = [side.half(split, first=first) for side in (unlearned, retrained)]
        rest = [side.half(split, first=not first) for side in (unlearned, retrained)]
        parts.append([likelihood_ratios(side, *fit, pooled=pooled) for side in rest])
    ours, theirs = (np.concatenate(each) for each in zip(*parts, strict=True))
    return ours, theirs


class ULiRA(TwoSample):
    """U-LiRA: an attacker who knows the distributions of both kinds of model guesses which kind one confidence comes from.

    Per forget example, Gaussians are fitted to the logit-scaled confidences of half of the unlearned and half of the retrained
    models; the other halves are told apart by the likelihood ratio, both ways, over four random halvings.
    Balanced accuracy at ratio 1, AUC and the true positive rate at 1 % false positives are over all held-out confidences.
    Equal sides get one half, one half and 1 %. `ulira_pooled_auc` is the same with one variance per side, the mean over examples,
    which few models tell better than one for each.
    """

    version = 3
    source = "Hayes et al. 2024, arXiv:2403.01218; Carlini et al. 2022, arXiv:2112.03570, for LiRA"
    pitfalls = (
        "Weaker at small N: at N = 16 each Gaussian has 8 models. It looks for differences of mean and spread only. One model N"
        " times, a deterministic method say, is told apart on any split."
    )
    quantities = (
        Quantity(
            "ulira_accuracy",
            "share",
            "as retrained",
            0,
            1,
            "balanced accuracy at likelihood ratio 1",
            attack=True,
            family="attack",
        ),
        Quantity(
            "ulira_auc",
            "probability",
            "as retrained",
            0,
            1,
            "an unlearned model's likelihood ratio is above a retrained one's",
            attack=True,
            family="attack",
            table="evidence",
            title="U-LiRA",
        ),
        *rates("ulira"),
        Quantity(
            "ulira_pooled_auc",
            "probability",
            "as retrained",
            0,
            1,
            "the same area with one variance per side, pooled over examples",
            attack=True,
            family="attack",
        ),
    )

    def compare(self, unlearned: Sample, retrained: Sample) -> Values:
        """Rates over all held-out confidences, averaged over splits."""
        parts = [_of_split(unlearned, retrained, split) for split in range(SPLITS)]
        return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}


def _of_split(unlearned: Sample, retrained: Sample, split: int) -> dict[str, float]:
    pooled = held_out_ratios(unlearned, retrained, split, pooled=True)
    return {**_rates(*held_out_ratios(unlearned, retrained, split)), "ulira_pooled_auc": _area(*pooled)}


def _area(ours: Floats, theirs: Floats) -> float:
    return float(areas_under_curve(ours[None], theirs[None])[0])


def _rates(ours: Floats, theirs: Floats) -> dict[str, float]:
    rates = {
        "ulira_accuracy": float(((ours > 0).mean() + (theirs <= 0).mean()) / 2),
        "ulira_auc": _area(ours, theirs),
        "ulira_tpr_1": true_positive_rate(ours, theirs, 0.01),
    }
    if theirs.size >= MANY:
        rates["ulira_tpr_01"] = true_positive_rate(ours, theirs, 0.001)
    return rates


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register U-LiRA."""
    register(ULiRA)
