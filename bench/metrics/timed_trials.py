"""Whether what is timed is what is scored: timed trials against the scored trials of the same seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bench.hookspecs import hookimpl
from bench.metrics.flags import EQUAL
from bench.metrics.metric import Again, Estimate, Evidence, Findings, Metric, Models, Quantity
from bench.metrics.timing import SLACK
from bench.outputs import Floats, Outputs

TIMED_DIFFERENTLY = "timed differently"
NEAR = 0.6  # of the distance between seeds; a model in the middle of all seeds comes to .7
WIDEST = 1.5  # of the distance between retrained models: more between seeds does not count, else it would excuse anything
CHEAPEST, DEAREST = 1 / 20, 1.5  # seconds of a trial within a stack, over those of the same trial alone


def all_logits(outputs: Outputs) -> Floats:
    """Logits of every split [M, D], in float64."""
    answers = [logits.reshape(len(outputs), -1) for logits in outputs.logits.values()]
    return np.concatenate(answers, axis=1).astype(np.float64)


def all_confidences(models: Models) -> Floats:
    """Logit-scaled confidences of every split [M, D]: what scores are made of, whatever is added to all logits of a model."""
    return np.concatenate([models.confidence_on(split) for split in models.outputs.logits], axis=1)


def distance_shares(again: Floats, scored: Floats, trials: Sequence[int], widest: float = np.inf) -> Floats:
    """How far each model of `again` [T, D] is from the scored model of its trial, over how far that is from other seeds [T].

    Distances are root mean squares of differences, that from other seeds is the median, and `widest` at most; `scored` is [N, D].
    Where other seeds give the same model, NaN.

    >>> scored = np.array([[0.0, 0.0], [1.0, 1.0], [3.0, 3.0], [-2.0, -2.0]])
    >>> distance_shares(np.array([[1.1, 0.9]]), scored, [1]).round(3).tolist()
    [0.05]
    """
    shares = []
    for row, trial in zip(again, trials, strict=True):
        usual = min(_distance_to_others(scored, trial), widest)
        own = float(np.sqrt(((row - scored[trial]) ** 2).mean()))
        shares.append(own / usual if usual > 0 else np.nan)
    return np.array(shares)


def _distance_to_others(models: Floats, chosen: int) -> float:
    others = np.delete(models, chosen, axis=0) - models[chosen]
    return float(np.median(np.sqrt((others**2).mean(axis=1))))


class TimedTrials(Metric):
    """Whether the trials that are timed come to the models that are scored, and take as long; flag `timed differently`.

    The budget is compared with trials that run once more, alone. Which these are is drawn after all have run, so a method cannot
    know it; but one that may be stacked sees whether it is. A method that is not stacked must give the same answers bit for bit
    on a CPU. Others round differently in stacks, which training amplifies: in the median, the model of a timed trial must be
    less than .6 as far from the scored model of its own seed as that is from other seeds, by the logit-scaled confidences of all
    splits, or equal it up to a thousandth of the retrained models' spread, as do methods that draw nothing. Seeds count as at
    most half as far again from each other as retrained models are. A trial's part of the seconds of its stack must be between a
    twentieth and three halves of what it takes alone, give or take a hundredth of one retraining. On a GPU, which is faster with
    stacks, it must be at most that, in half of the timed trials: they are rehearsed, and the first that are scored are not.
    """

    quick = True
    version = 2
    source = "docs/evidence/runtime.md: distances of honest methods, and how often they are taken for cheats"
    pitfalls = "A method that knows which files of the user it has written can tell its second run from the first."
    quantities = (
        Quantity(
            "timed_distance",
            "ratio",
            "lower",
            0,
            np.inf,
            "how far timed trials are from their scored ones, over how far those are from other seeds; medians",
            family="runtime",
        ),
    )

    def score(self, evidence: Evidence) -> Findings:
        """Nothing where no trial ran again."""
        again = evidence.again
        if again is None or not again.trials:
            return Findings(notes=("needs trials that ran again to be timed, and there are none",))
        one, scored = (all_confidences(models) for models in (_models(again, evidence), evidence.unlearned))
        retrained = all_confidences(evidence.retrained)
        widest = WIDEST * float(np.median([_distance_to_others(retrained, index) for index in range(len(retrained))]))
        shares = distance_shares(one, scored, again.trials, widest)
        estimates = {} if np.isnan(shares).any() else {"timed_distance": Estimate(float(np.median(shares)))}
        seen = _different_models(again, evidence, shares) or _different_seconds(again, evidence.timing.retraining)
        return Findings(estimates, flags={TIMED_DIFFERENTLY: seen} if seen else {})


def _models(again: Again, evidence: Evidence) -> Models:
    return Models(again.outputs, evidence.unlearned.labels)


def _different_models(again: Again, evidence: Evidence, shares: Floats) -> str:
    """Which timed trials came to other models, in words. Of stacks the median counts, as it does of the times."""
    if again.exact:
        one, scored = all_logits(again.outputs), all_logits(evidence.unlearned.outputs)[list(again.trials)]
        other = (one != scored).any(axis=1)
        told = "gave other models than were scored: all that a method draws must come from its trial's seeds"
    else:
        one, scored = all_confidences(_models(again, evidence)), all_confidences(evidence.unlearned)[list(again.trials)]
        spread = all_confidences(evidence.retrained).std(axis=0).mean()
        other = ~(shares < NEAR) & (np.abs(one - scored).max(axis=1) > EQUAL * spread)
        other &= 2 * other.sum() >= len(other)
        told = "gave models that are not those of the same seeds in stacks"
    found = [str(trial) for trial, differs in zip(again.trials, other, strict=True) if differs]
    return f"run again alone, trials {', '.join(found)} {told}" if found else ""


def _different_seconds(again: Again, retraining: float) -> str:
    """Which timed trials took another time, in words."""
    slack = SLACK * retraining
    times = list(zip(again.trials, again.seconds, again.scored_seconds, strict=True))
    dear = [each for each in times if each[2] > DEAREST * each[1] + slack]
    cheap = [each for each in times if each[2] < CHEAPEST * each[1] - slack]
    for trial, alone, scored in [*dear, *cheap] if again.on_cpu else dear * (2 * len(dear) >= len(times)):
        return f"trial {trial} took {alone:.2f} s alone, and {scored:.2f} s when it was scored"
    return ""


@hookimpl
def register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register the comparison."""
    register(TimedTrials)
