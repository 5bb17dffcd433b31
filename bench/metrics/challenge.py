"""The NeurIPS 2023 challenge's score: forgetting times the utility that is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from bench.hookspecs import hookimpl
from bench.metrics import ceiling, forgetting
from bench.metrics.approximation import approximate_score
from bench.metrics.metric import Baseline, Estimate, Evidence, Findings, Metric, Models, Quantity, controls
from bench.metrics.resampling import halves, resamples
from bench.metrics.utility import final_score
from bench.outputs import Integers, NoAnswersError

FINAL_SCORE = "final_score"
FINAL = "forgetting score times the retain and the test accuracy, each relative to retrained models"
FORGETTING = "mean points of the forget examples; under retrained: what further retrained models get, or else halves of the N"
COUNTED = {
    "capped": "epsilon is 50: peaky or separated",
    "peaky": "one side's range is below 1 % of the other's: epsilon 50",
    "separated": "a threshold makes no error: epsilon 50",
    "undecided": "no threshold counts: no points",
}


class Challenge(Metric):
    """The challenge's score, exactly: how hard unlearned models are to tell from retrained ones by one confidence.

    Per forget example, epsilon is the best that an attacker does who sees one logit-scaled confidence, guesses by a threshold or
    an interval whether the model was unlearned or retrained, and has error rates FPR and FNR over all models:
    max(log((1 - delta - FPR) / FNR), log((1 - delta - FNR) / FPR)), delta = 1e-5, at most 50. An example earns 2^-k points for
    epsilon in [k/2, (k+1)/2). The forgetting score is the mean over examples; the final score multiplies it by retain and
    test accuracy, each relative to retrained models and not capped at 1. Intervals: 1.96 standard deviations over
    bootstraps of the models (200 of N <= 64, 100 of more), with a finer search for thresholds in place of the grid; they hold the
    true value in 90 to 100 of 100 cases (docs/evidence/trust.md).

    >>> from bench.scoring.calibration import Population
    >>> population = Population.draw(20, seed=0)
    >>> retrained = population.retrained(8)
    >>> unlearned = population.retrained(1).select([0] * 8)
    >>> Challenge().score(Evidence(unlearned, retrained, None)).estimates["peaky_examples"].value
    20.0
    """

    quick = True
    version = 3
    further = 8
    source = "Triantafillou et al. 2024, arXiv:2406.09073; google-deepmind/unlearning_evaluation, metric.py"
    pitfalls = (
        "Retraining itself scores about .2, not 1: read the share of the ceiling. Scores at different N do not compare. N - 1"
        " constant models and one far away score 1.000: read flags and the cross-fitted epsilon. Deterministic methods score 0."
    )
    quantities = (
        Quantity(
            "final_score", "score", "higher", 0, np.inf, FINAL, family="forgetting", table="results", title="final", decimals=4
        ),
        Quantity(
            "forgetting_score",
            "score",
            "higher",
            0,
            1,
            FORGETTING,
            family="forgetting",
            table="results",
            title="forgetting",
            decimals=4,
            folded=True,
        ),
        *(
            Quantity(f"{name}_examples", "examples", "lower", 0, np.inf, meaning, family="forgetting", decimals=0)
            for name, meaning in COUNTED.items()
        ),
    )

    def baseline(self, retrained: Models, original: Models) -> Baseline:
        """The provisional ceiling: random halves of the retrained models against each other, as of N models."""
        found = Estimate(ceiling.of_halves(retrained.confidence))
        zero = Estimate(0.0)  # one model, N times: every example is peaky
        names = ("forgetting_score", "final_score")
        return Baseline(dict.fromkeys(names, found), dict.fromkeys(names, zero), controls=_halves_on_controls(retrained))

    def ceiling(self, retrained: Models, further: Sequence[Models]) -> Baseline:
        """The ceiling: the mean score of sets of N further retrained models, and how far that of one more may be from it."""
        scores = ceiling.of_sets([each.confidence for each in further], retrained.confidence)
        everyone = np.arange(len(retrained))
        finals = [score * _Utility(each, retrained).kept(everyone, everyone) for score, each in zip(scores, further, strict=True)]
        spread = ceiling.deviation(further[0].confidence, retrained.confidence)
        doubt = spread / math.sqrt(len(further))
        return Baseline(
            {
                name: Estimate(float(np.mean(each)), doubt)
                for name, each in (("forgetting_score", scores), ("final_score", finals))
            },
            details=dict(zip(ceiling.DETAILS, (scores, finals, [spread]), strict=True)),
        )

    def score(self, evidence: Evidence) -> Findings:
        """The score, its parts, epsilon per example, and the score on every resample of the models."""
        sides = evidence.unlearned.confidence, evidence.retrained.confidence
        epsilons = forgetting.epsilons(*sides)
        peaky, capped = forgetting.peaky(*sides), epsilons == forgetting.CAP
        forgotten = forgetting.points(epsilons, models=len(sides[0]))
        plan = resamples(len(sides[0]))
        again = [approximate_score(sides[0][ours], sides[1][theirs], len(sides[0])) for ours, theirs in plan]
        final = _final(evidence, forgotten, again)
        return Findings(
            estimates={
                **final.estimates,
                "forgetting_score": Estimate(forgotten, float(np.std(again, ddof=1))),
                "capped_examples": Estimate(float(capped.sum())),
                "peaky_examples": Estimate(float(peaky.sum())),
                "separated_examples": Estimate(float((capped & ~peaky).sum())),
                "undecided_examples": Estimate(float(np.isnan(epsilons).sum())),
            },
            details={
                "epsilons": [None if np.isnan(value) else float(value) for value in epsilons],
                "resampled_forgetting_score": again,
                **final.details,
            },
            notes=final.notes,
            controls={split: _on(split, evidence.unlearned, evidence.retrained) for split in controls(evidence.retrained)},
        )


def _final(evidence: Evidence, forgotten: float, again: Sequence[float]) -> Findings:
    """The final score, and on every resample of the models; of models whose retain accuracy nobody knows, a note."""
    if evidence.unlearned.outputs.on_retain is None:
        return Findings(notes=(f"the final score {NoAnswersError('retain')}",))
    utility = _Utility(evidence.unlearned, evidence.retrained)
    everyone = np.arange(len(evidence.unlearned))
    finals = [score * utility.kept(*rows) for score, rows in zip(again, resamples(len(everyone)), strict=True)]
    estimate = Estimate(forgotten * utility.kept(everyone, everyone), float(np.std(finals, ddof=1)))
    return Findings({FINAL_SCORE: estimate}, details={f"resampled_{FINAL_SCORE}": finals})


def _on(split: str, unlearned: Models, retrained: Models) -> dict[str, float]:
    """The forgetting score on people who are not forgotten, with the finer search for thresholds."""
    sides = unlearned.confidence_on(split), retrained.confidence_on(split)
    return {"forgetting_score": approximate_score(*sides, len(sides[0]))}


def _halves_on_controls(retrained: Models) -> dict[str, dict[str, float]]:
    one, other = halves(retrained.confidence)
    sides = retrained.select(one.tolist()), retrained.select(other[: len(one)].tolist())
    return {split: _on(split, *sides) for split in controls(retrained)}


class _Utility:
    """Retain and test accuracies of every model of both sides."""

    def __init__(self, unlearned: Models, retrained: Models) -> None:
        self._sides = [(side.outputs.retain_accuracy, side.accuracy("test")) for side in (unlearned, retrained)]

    def kept(self, ours: Integers, theirs: Integers) -> float:
        """Product of the two ratios, unlearned models `ours` against retrained models `theirs`."""
        means = [[accuracy[rows].mean() for accuracy in side] for side, rows in zip(self._sides, (ours, theirs), strict=True)]
        return final_score(1.0, means[0][0] / means[1][0], means[0][1] / means[1][1])


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register the challenge's score."""
    register(Challenge)
